// The backward of attention, one head at a time: every matrix between the gradient of the output and
// those of queries, keys and values, and what each element was computed from.

import { attentionBothWays, attentionHeads, attentionMasked, attentionMatrix, attentionParts, attentionRowSum, attentionScale, attentionSteps, attentionUses } from "./attention_math.js";
import { attentionCanvas, attentionGrid } from "./attention_matrix.js";
import { h } from "./dom.js";
import { exact, number } from "./format.js";
import { sumExactly } from "./precision.js";
import { explainCell } from "./rules.js";
import { nameTensor } from "./state.js";

const attentionForward = ["Q", "K", "V", "S", "P", "Y"];
const attentionBackward = ["dO", "dV", "dP", "dS", "dQ", "dK"];
const attentionSquare = ["S", "P", "dP", "dS"]; // a row for each query, a column for each key
const attentionTerms = 12;

// The formula of each matrix, and what its row and column are.
const attentionFormulas = {
  Q: ["Q", "queries", "t, d"], K: ["K", "keys", "s, d"], V: ["V", "values", "s, d"],
  S: ["S = Q Kᵀ / √D", "scores", "t, s"], P: ["P = softmax(S)", "weights", "t, s"], Y: ["O = P V", "output", "t, d"],
  dO: ["dO", "arrives", "t, d"], dV: ["dV = Pᵀ dO", "for the values", "s, d"], dP: ["dP = dO Vᵀ", "for the weights", "t, s"],
  dS: ["dS = P (dP − r)", "for the scores", "t, s"], dQ: ["dQ = dS K / √D", "for the queries", "t, d"],
  dK: ["dK = dSᵀ Q / √D", "for the keys", "s, d"],
};

export const attentionView = {
  id: "attention",
  title: "Attention backward",
  available: (graph) => graph.steps.some((step) => step.phase === "backward" && step.op.endsWith("Attention")) &&
    attentionSteps(graph).length > 0,
  render: renderAttention,
};

function renderAttention(root, context) {
  const { graph, state, step } = context;
  const steps = attentionSteps(graph);
  const now = steps.find((s) => s.name === state.attn) ?? steps.find((s) => s.n === step.n || s.forward === step.n) ?? steps[0];
  const parts = attentionParts(graph, now), { heads, batches } = attentionHeads(graph, parts);
  const head = attentionWhole(state.head, heads), batch = attentionWhole(state.batch, batches);
  const made = {};
  const get = (name) => (made[name] ??= attentionMatrix(graph, parts, name, batch, head));
  const name = attentionFormulas[state.part] ? state.part : "dS";
  const at = attentionPlace(state.at, get(name).shape, attentionGrid(graph, get(name)));
  const chosen = { ...context, now, steps, parts, heads, head, batches, batch, get, name, at, dtype: graph.tensors[parts.dS].dtype };
  root.append(
    h("h3", {}, `Attention backward: ${now.name}`),
    attentionChoices(chosen),
    h("p", {}, "Choose an element: outlined are the elements that it was computed from."),
    h("details", {}, h("summary", {}, "What the letters and colours mean"),
      h("p", {}, "Attention is four products and one softmax, each with its own gradient: dP is the gradient of P, and so on. ",
        "A query stands at position t, a key and its value at s; d is a channel, and D the number of channels of a head. ",
        "r is the sum of a row of dP P: one number for each query."),
      h("p", {}, "Hatched is what the mask hides: query t sees the keys s ≤ t alone, so those elements of dS are zero."),
      h("p", {}, "m is the largest number of a picture in size: what has the full colour.")),
    h("p", { class: "attention-legend" }, h("span", {}, "-m"), h("i", {}), h("span", {}, "m")),
    ...attentionSampled(chosen),
    ...attentionPictures(chosen),
    attentionCell(chosen),
    attentionRows(chosen),
    attentionWhy(chosen));
}

// What is not as the formulas under the pictures say, and what is not in the page.
function attentionSampled({ graph, parts, get }) {
  const { rows, columns } = attentionGrid(graph, get("P")), [queries, keys] = get("P").shape;
  const { scale, plain } = attentionScale(graph, parts);
  return [
    rows.length < queries || columns.length < keys ? h("p", { class: "faint" }, `The page holds ${rows.length} of the ${queries} rows of weights, and ${columns.length} of the ${keys} columns.`) : null,
    plain ? null : h("p", { class: "faint" }, scale === undefined ? "Here the scores are capped as well: dS is the gradient of the capped scores." : `Here the factor is ${number(scale)} in place of 1/√D.`),
  ].filter(Boolean);
}

function attentionWhole(text, below) {
  const value = Number(text ?? "0");
  return Number.isInteger(value) && value >= 0 && value < below ? value : 0;
}

function attentionPlace(text, shape, { rows, columns }) {
  const place = (text ?? "").split(",").map(Number);
  const fits = text && place.length === 2 && place.every((x, axis) => Number.isInteger(x) && x >= 0 && x < shape[axis]);
  return fits ? place : [rows[Math.min(1, rows.length - 1)], columns[0]];
}

// ---- which operation, which head

function attentionChoices({ steps, now, heads, head, batches, batch, link, go }) {
  const choose = (label, count, value, key) => count < 2 ? null : h("span", { role: "group", "aria-label": label }, `${label} `,
    Array.from({ length: count }, (_, i) => h("button", { type: "button", "aria-pressed": String(i === value),
      "data-key": `attention-${key}-${i}`, onclick: () => go({ [key]: i }) }, String(i))));
  return h("div", { class: "attention-choices" },
    h("nav", { "aria-label": "attention operations" }, steps.map((step) => h("a", { href: link({ attn: step.name }),
      "aria-current": step === now && "true" }, step.name))),
    choose("Head", heads, head, "head"), choose("Batch", batches, batch, "batch"),
    h("a", { href: link({ step: now.n, tensor: null, of: null, cell: null, attn: null }) }, `to step ${now.n}`));
}

// ---- the pictures

function attentionPictures(chosen) {
  const { graph, get, go, name, at } = chosen;
  const scores = get("S"), seen = (t, s) => !attentionMasked(scores, t, s);
  const pictures = new Map(), word = attentionWords(chosen);
  const paint = (of, cell) => {
    const uses = attentionUses(of, ...cell, seen);
    for (const [other, { paint: draw }] of pictures)
      draw((r, c) => other === of && r === cell[0] && c === cell[1], uses[other] ?? (() => false));
  };
  for (const part of [...attentionForward, ...attentionBackward]) {
    const title = part === "Y" ? "O" : part;
    pictures.set(part, attentionCanvas(graph, get(part), {
      hidden: (r, c) => attentionSquare.includes(part) && !seen(r, c),
      at: part === name ? at : null,
      words: { rows: word, columns: attentionSquare.includes(part) ? word : null },
      label: (cell) => (cell ? `${title}[${cell.join(", ")}] = ${number(get(part).at(...cell))}` : `${title}, ${get(part).shape.join(" by ")}`),
      move: (row, column, quiet) => go({ part, at: `${row},${column}` }, quiet),
      hover: (cell) => (cell ? paint(part, cell) : paint(name, at)),
      open: () => go({ view: "cell", ...nameTensor(graph, get(part).id), cell: get(part).cell(...at).join(",") }),
    }));
  }
  const figure = (part) => h("figure", { class: `attention-figure${part === name ? " is-chosen" : ""}` },
    h("figcaption", {}, h("b", {}, attentionFormulas[part][0]), h("span", {}, `${attentionFormulas[part][1]} (${attentionFormulas[part][2]})`),
      h("span", { class: "attention-largest" }, `m = ${number(pictures.get(part).largest)}`)),
    pictures.get(part).framed);
  queueMicrotask(() => paint(name, at));
  return [
    h("h4", {}, "Forward"), h("div", { class: "attention-row" }, attentionForward.map(figure)),
    h("h4", {}, "Backward"), h("div", { class: "attention-row" }, attentionBackward.map(figure)),
  ];
}

// ---- one element

function attentionCell(chosen) {
  const { graph, get, name, at, link, state } = chosen;
  const matrix = get(name), [row, column] = at;
  const found = explainCell(graph, matrix.id, matrix.cell(row, column));
  const title = name === "Y" ? "O" : name;
  const hidden = attentionSquare.includes(name) && attentionMasked(get("S"), row, column);
  const said = hidden ? [h("p", {}, `The mask hides key ${column} from query ${row}: `, name === "S" ? "the score is minus infinity."
    : name === "dP" ? "dP has a number here, but it is multiplied by P = 0 on the way to dS." : `${title} is 0 here.`)] : [];
  return h("section", { class: "attention-cell", tabindex: "0", "aria-live": "polite", "aria-label": "The chosen element" },
    h("h4", {}, `${title}[${row}, ${column}] = ${number(matrix.at(row, column))}`, h("span", {}, attentionWho(chosen, name, at),
      state.at === undefined ? " (an example: choose another in the pictures)" : "")),
    h("pre", { class: "attention-formula" }, attentionText(chosen).join("\n")),
    said,
    found.total === null || hidden ? null : h("p", { class: found.agrees ? "good" : "bad" },
      `Computed again: ${exact(found.total, found.tensor.dtype)}. Stored: ${exact(found.stored, found.tensor.dtype)}`
      + (found.ulps === 0 ? ", the same to the last bit." : found.agrees ? `, ${found.ulps} float numbers apart: rounding in another order.` : ". They differ.")),
    h("p", {}, h("a", { href: link({ view: "cell", ...nameTensor(graph, matrix.id), cell: matrix.cell(row, column).join(",") }) },
      "All terms of this element, each with its own origin")));
}

// The token at each position as a function, null where the tokens are not known.
function attentionWords({ graph, batch, get }) {
  const labels = graph.labels ?? {};
  const tokens = Array.isArray(labels.rows) ? labels.rows[batch] : labels.tokens;
  const [queries, keys] = get("P").shape;
  return Array.isArray(tokens) && tokens.length === queries && queries === keys ? (i) => tokens[i] : null;
}

// ", query 3 "dog", key 1 "cat"" where the tokens are known.
function attentionWho(chosen, name, [row, column]) {
  const word = attentionWords(chosen), token = (i) => (word ? ` ${JSON.stringify(word(i))}` : "");
  if (attentionSquare.includes(name)) return `, query ${row}${token(row)}, key ${column}${token(column)}`;
  const query = attentionFormulas[name][2].startsWith("t");
  return `, ${query ? "query" : "key"} ${row}${token(row)}, channel ${column}`;
}

// The formula of the chosen element, with its indices, and then with its numbers.
function attentionText({ get, name, at: [i, j], parts, graph }) {
  const value = (part, r, c) => get(part).at(r, c);
  const [queries, keys] = get("P").shape, channels = get("V").shape[1];
  const seen = (t, s) => !attentionMasked(get("S"), t, s);
  const range = (n) => Array.from({ length: n }, (_, k) => k);
  const sum = (head, letter, over, left, right) => [
    `${head} = sum over ${letter} of ${left[0](letter)} ${right[0](letter)}`,
    `  = ${attentionSum(over.map((k) => [left[1](k), right[1](k)]))}`];
  const root = graph.tensors[parts.Q].shape.at(-1), { plain } = attentionScale(graph, parts);
  const scaled = (t, s) => get("scaled").at(t, s), scaledName = (t, s) => (plain ? `(dS[${t},${s}]/√${root})` : `dS'[${t},${s}]`);
  switch (name) {
    case "S": return [...sum(plain ? `S[${i},${j}] √${root}` : `(Q Kᵀ)[${i},${j}]`, "d", range(root), [(d) => `Q[${i},${d}]`, (d) => value("Q", i, d)],
      [(d) => `K[${j},${d}]`, (d) => value("K", j, d)]), `S[${i},${j}] = ${number(value("S", i, j))}`];
    case "P": return [`P[${i},${j}] = exp(S[${i},${j}]) / sum over u ≤ ${i} of exp(S[${i},u])`,
      `  = exp(${number(value("S", i, j))}) / (${range(keys).filter((u) => seen(i, u)).slice(0, attentionTerms).map((u) => `exp(${number(value("S", i, u))})`).join(" + ")})`,
      `  = ${number(value("P", i, j))}`];
    case "Y": return sum(`O[${i},${j}]`, "s", range(keys).filter((s) => seen(i, s)), [(s) => `P[${i},${s}]`, (s) => value("P", i, s)], [(s) => `V[${s},${j}]`, (s) => value("V", s, j)]);
    case "dV": return sum(`dV[${i},${j}]`, "t", range(queries).filter((t) => seen(t, i)), [(t) => `P[${t},${i}]`, (t) => value("P", t, i)], [(t) => `dO[${t},${j}]`, (t) => value("dO", t, j)]);
    case "dP": return sum(`dP[${i},${j}]`, "d", range(channels), [(d) => `dO[${i},${d}]`, (d) => value("dO", i, d)], [(d) => `V[${j},${d}]`, (d) => value("V", j, d)]);
    case "dS": return [`dS[${i},${j}] = P[${i},${j}] (dP[${i},${j}] - r[${i}])`,
      `  = ${number(value("P", i, j))} (${number(value("dP", i, j))} - ${attentionSigned(value("r", i, 0))})`, `  = ${number(value("dS", i, j))}`,
      `with r[${i}], the row sum = sum over d of dO[${i},d] O[${i},d] = sum over u of dP[${i},u] P[${i},u] = ${number(value("r", i, 0))}`];
    case "dQ": return sum(`dQ[${i},${j}]`, "s", range(keys).filter((s) => seen(i, s)), [(s) => scaledName(i, s), (s) => scaled(i, s)], [(s) => `K[${s},${j}]`, (s) => value("K", s, j)]);
    case "dK": return sum(`dK[${i},${j}]`, "t", range(queries).filter((t) => seen(t, i)), [(t) => scaledName(t, i), (t) => scaled(t, i)], [(t) => `Q[${t},${j}]`, (t) => value("Q", t, j)]);
    default: return [`${name}[${i},${j}] = ${number(value(name, i, j))}`];
  }
}

function attentionSigned(x) {
  return x < 0 ? `(${number(x)})` : number(x);
}

function attentionSum(pairs) {
  const shown = pairs.slice(0, attentionTerms).map(([a, b]) => `${attentionSigned(a)} × ${attentionSigned(b)}`);
  const more = pairs.length > attentionTerms ? ` + ... ${pairs.length - attentionTerms} more` : "";
  const known = pairs.every(([a, b]) => a !== null && b !== null);
  return `${shown.join(" + ")}${more} = ${known ? number(sumExactly(pairs.map(([a, b]) => a * b))) : "?"}`;
}

// ---- rows of dS

function attentionRows(chosen) {
  const { get, go, dtype, name, at } = chosen;
  const rows = Array.from({ length: get("dS").shape[0] }, (_, t) => ({ t, ...attentionRowSum(get, t, dtype), both: attentionBothWays(get, t) }));
  const known = rows.filter((row) => row.sum !== undefined);
  const all = attentionAll(chosen);
  if (!known.length) return h("section", { "aria-label": "Rows of dS" }, h("h4", {}, "Every row of dS sums to zero"), all);
  const worst = known.reduce((a, b) => (Math.abs(b.sum) / (b.bound || 1) > Math.abs(a.sum) / (a.bound || 1) ? b : a));
  const broken = known.filter((row) => !row.holds);
  const total = (pairs) => (pairs.flat().includes(null) ? null : sumExactly(pairs.map(([a, b]) => (b === 0 ? 0 : a * b))));
  const cell = (x) => h("td", { class: "number" }, number(x));
  const column = (text) => h("th", { scope: "col", class: "number" }, text);
  return h("section", { "aria-label": "Rows of dS" },
    h("h4", {}, "Every row of dS sums to zero"),
    h("p", { class: broken.length ? "bad" : "good" }, broken.length ? `${broken.length} of ${known.length} rows do not: the first is row ${broken[0].t}.`
      : `Checked: all ${known.length} rows do, but for rounding. Closest to what rounding allows comes row ${worst.t}: it sums to ${number(worst.sum)}, and ${number(worst.bound)} is allowed.`),
    all,
    h("div", { class: "scroll attention-sums", tabindex: "0", role: "group", "aria-label": "sums of the rows" },
      h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "row t"), column("sum of dS"), column("allowed"), column("r, stored"),
          column("sum of dO O"), column("sum of dP P"))),
        h("tbody", {}, rows.map((row) => h("tr", { class: row.t === at[0] && name === "dS" && "is-chosen" },
          h("th", { scope: "row" }, h("button", { type: "button", "data-key": `attention-sum-${row.t}`, onclick: () => go({ part: "dS", at: `${row.t},0` }) }, String(row.t))),
          cell(row.sum), cell(row.bound), cell(row.both.stored), cell(total(row.both.channels)), cell(total(row.both.keys))))))));
}

// The same over all heads and elements, as Python found it (heads.py).
function attentionAll({ graph, now }) {
  const found = graph.heads?.[now.name];
  if (!found) return null;
  const { rows, hold, sum, bound, at } = found;
  return h("p", { class: hold === rows ? "good" : "bad" }, hold === rows ? `All ${rows} rows of all heads sum to zero within their bounds. ` : `${rows - hold} of the ${rows} rows of all heads do not. `,
    `Closest to its bound is the row [${at.join(", ")}]: it sums to ${number(sum)}, and rounding allows ${number(bound)}.`);
}

function attentionWhy({ get }) {
  const [keys, channels] = [get("dS").shape[1], get("V").shape[1]];
  return h("details", {}, h("summary", {}, "Why zero, why two ways to r, and how much rounding is allowed"),
    h("p", {}, "Adding one number to all scores of a row changes no weight. So the loss does not change either: the gradient has no part along that direction, and the sum of its row is zero."),
    h("p", {}, "In symbols: the sum of P (dP - r) over a row is sum(P dP) - r sum(P). The weights sum to 1, and r is sum(P dP)."),
    h("p", {}, "r is also sum(dO O) over the channels, since O is P V and dP is dO V: both are the sum of P dO V over keys and channels. ",
      "The engine takes the way along the channels. It needs O, which is saved anyway, and no second pass over the keys."),
    h("p", {}, `Allowed is (${channels} + ${keys} + 8) eps A. A is the sum of P |dO| |V| over the row: all that cancels is smaller. `,
      `Each dP and r is a sum over ${channels} channels, O and the sum of P over ${keys} keys, and every addition and multiplication rounds by eps/2 at most. The other 8 are the steps in between.`));
}
