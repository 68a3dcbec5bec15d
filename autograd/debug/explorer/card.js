// The operation card: formula, derivation, the lines of its source with the shapes they have in this
// call, what it kept for its backward and why, and the user's line that called it.
import { h, ownMarkup } from "./dom.js";
import { numbersOf } from "./equation.js";
import { bytesText, shapeText, shortest } from "./format.js";
import { nameTensor, titleOf } from "./state.js";
import { tensorInWords } from "./words.js";

const cardTexts = new WeakMap(); // page -> Map from the number of an array to its decoded text
const cardDerivations = new WeakMap(); // page -> Map from a folder to its elements

// A text that is embedded as bytes.
export function cardText(page, reference) {
  if (!cardTexts.has(page)) cardTexts.set(page, new Map());
  const known = cardTexts.get(page);
  if (!known.has(reference.$)) {
    const { data } = page.array(reference);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
    known.set(reference.$, new TextDecoder().decode(bytes));
  }
  return known.get(reference.$);
}

// The functions of an operation's forward and backward, each with its lines.
export function cardSource(page, card) {
  return JSON.parse(cardText(page, card.source));
}

// For each row of each function the lines of this step that were computed there, in order.
// -> Map from "file:row" to a list of lines. A line without a place belongs to the last row.
export function cardRows(graph, step, functions) {
  const rows = new Map();
  const last = functions.at(-1);
  const end = last ? `${last.file}:${last.first + last.lines.length - 1}` : null;
  for (const id of step.lines) {
    const line = graph.lines[id];
    if (["add", "seed"].includes(line.rule) || line.op === "Identity") continue;
    const place = line.file ? `${line.file}:${line.row}` : end;
    if (place === null) continue;
    if (!rows.has(place)) rows.set(place, []);
    rows.get(place).push(line);
  }
  return rows;
}

// The gradients of a card: {name, expression, wanted}; wanted is null where nobody can say.
export function cardGradients(card, step) {
  return card.gradients.map(([name, expression]) => {
    const input = name.replace(/^g_/, "").toLowerCase();
    const place = card.inputs.findIndex((x) => x.toLowerCase() === input);
    return { name, expression, wanted: place < 0 ? null : step.needs[place] ?? null };
  });
}

export const cardView = {
  id: "card",
  title: "Operation",
  available: (graph) => graph !== null && graph.cards !== undefined,
  render(root, page) {
    const { graph } = page;
    const step = cardStep(page);
    const context = { ...page, step };
    const card = step === null ? undefined : graph.cards[step.op];
    if (step !== page.step) root.append(cardElsewhere(page, step));
    if (card === undefined) {
      root.append(cardWithout(context));
      return;
    }
    root.append(
      h("div", { class: "card-head" },
        h("h3", {}, step.op, " ", h("span", { class: "card-faint" }, titleOf(graph, step.out))),
        cardSides(context)),
      cardDoc(context, card),
      cardCaller(step),
      cardFlow(context, card),
      ...cardCode(context, card),
      cardKept(context),
      cardDerivation(context, card));
  },
};

// The step whose card is shown: where the chosen tensor was made, if one was chosen by its name.
function cardStep({ graph, state, step, shown }) {
  if (graph.byKey(state.tensor ?? "") === null || shown === null || shown.step === null) return step;
  if (shown.kind !== "leaf" && shown.kind !== "constant") return graph.steps[shown.step];
  return { ...step, phase: shown.kind, op: "", out: shown.id };
}

function cardElsewhere({ graph, step, link }, { n }) {
  const given = n === step.n ? "The page" : `This is the card of step ${n}; the page`;
  const here = `step ${step.n}${step.op ? `, ${step.op} ${titleOf(graph, step.out)}` : ""}`;
  return h("p", { class: "card-faint" }, `${given} stands at `,
    h("a", { href: link({ tensor: null, of: null, cell: null, hold: null }) }, here), ".");
}

// A step without an operation, where backward starts or a gradient lands: the operations around it.
// The same for a tensor that was given.
function cardWithout({ graph, step, shown, link }) {
  if (step === null) return h("p", {}, "Nothing was recorded.");
  if (shown !== null && shown.id === step.out && ["leaf", "constant"].includes(step.phase)) {
    return cardGiven({ graph, shown, link });
  }
  const to = (n) => link({ step: n, tensor: null, of: null, cell: null });
  const near = graph.steps.filter((other) => graph.cards[other.op] !== undefined &&
    (step.phase === "start" ? other.out === step.out :
      other.contributions.some((contribution) => contribution.to === step.out)));
  const first = new Map();
  for (const other of graph.steps) {
    if (graph.cards[other.op] && !first.has(other.op)) first.set(other.op, other.n);
  }
  return h("div", {},
    h("p", {}, "No operation runs in this step. ", near.length > 0 && (step.phase === "start" ?
      `${titleOf(graph, step.out)} was computed by, and is handed on by:` : "What lands here was contributed by:")),
    h("ul", { class: "card-list" }, near.map((other) => h("li", {}, h("a", { href: to(other.n) },
      `${other.op} ${titleOf(graph, other.out)}, ${other.phase}, step ${other.n}`)))),
    h("h4", {}, "All operations of this graph"),
    h("ul", { class: "card-list" }, [...first].map(([op, n]) => h("li", {}, h("a", { href: to(n) }, op)))));
}

function cardGiven({ graph, shown, link }) {
  const uses = graph.steps.filter((other) => other.phase === "forward" && other.inputs.includes(shown.id));
  return h("div", {},
    h("p", {}, `${titleOf(graph, shown.id)} was given: no operation computed it. What uses it:`),
    h("ul", { class: "card-list" }, uses.map((other) => h("li", {},
      h("a", { href: link({ step: other.n, tensor: null, of: null, cell: null }) },
        `${other.op} ${titleOf(graph, other.out)}, step ${other.n}`)))));
}

function cardSides({ step, link }) {
  const other = step.phase === "forward" ? step.backward : step.forward;
  const side = (phase, title) => {
    if (phase === step.phase) return h("a", { "aria-current": "true", href: link({}) }, title);
    if (other === undefined) return h("span", { class: "card-faint" }, `no ${phase} here`);
    return h("a", { href: link({ step: other, tensor: null, of: null, cell: null }) }, title);
  };
  return h("nav", { class: "card-sides", "aria-label": "side of the card" },
    side("forward", "Forward"), side("backward", "Backward"));
}

// ---- what the docstring says

function cardDoc(context, card) {
  const { step } = context;
  const { doc } = card;
  const row = (title, ...content) => [h("dt", {}, title), h("dd", {}, ...content)];
  const code = (text) => h("code", {}, text);
  if (doc.formula === undefined) {
    return h("p", {}, "This operation has no docstring: its source is all that is known of it.");
  }
  const gradients = cardGradients(card, step);
  const derivative = gradients.length === 0 && doc.derivative ? row("Derivative", doc.derivative) :
    gradients.length === 0 ? [] : row("Derivative",
      gradients.map(({ name, expression, wanted }) => h("div", {},
        code(`${name} = ${expression}`),
        wanted === false && h("span", { class: "card-faint" }, " not wanted in this call"))),
      card.definitions.length > 0 && h("div", {}, "with ",
        card.definitions.map(([name, expression], i) =>
          [i > 0 && ", ", code(`${name} = ${expression}`)])));
  const numbers = cardNumbers(context, card);
  const inNumbers = numbers.length > 0 && row("In numbers", numbers.map((text) => h("div", {}, code(text))));
  return h("dl", { class: "card-doc" },
    row("Formula", code(doc.formula.replace(/\.$/, ""))),
    step.phase === "forward" && inNumbers,
    doc.shapes && row("Shapes", code(doc.shapes)),
    derivative,
    step.phase !== "forward" && inNumbers,
    doc.saves && row("Saves", doc.saves),
    doc.note && row("Note", doc.note));
}

// Where single numbers are computed: "g_a = 1 \u00d7 6 = 6".
function cardNumbers({ graph, step }, card) {
  const made = step.phase === "forward" ? [["y", step.out]]
    : step.contributions.map(({ input, tensor }) => [`g_${cardInput(card, input)}`, tensor]);
  return made.map(([name, id]) => [name, numbersOf(graph, id)]).filter(([, text]) => text !== null)
    .map(([name, text]) => `${name} = ${step.phase === "backward" && !text.includes("=") ? "g = " : ""}${text}`);
}

function cardCaller(step) {
  const { site } = step;
  if (!site) return h("p", { class: "card-faint" }, "The line that called it is not known.");
  return h("div", { class: "card-caller" },
    h("p", {}, "Called at ", h("code", {}, `${site.file}:${site.line}`),
      step.module && [" in the module ", h("code", {}, step.module)]),
    site.source && h("pre", { class: "card-wide", tabindex: "0", "aria-label": "the calling line" },
      site.source));
}

// ---- what comes in and what goes out, in this call

function cardChip(context, id, label, more) {
  const { graph, link, shown } = context;
  const tensor = graph.tensors[id];
  return h("a", {
    class: "card-chip", href: link({ ...nameTensor(graph, id), cell: null }),
    "aria-current": shown !== null && shown.id === id && "true",
    title: `show ${tensorInWords(graph, id)}`,
  }, label, " ", h("span", { class: "card-shape" }, cardSize(graph, tensor)), more);
}

// The shape; of a single number the number itself.
function cardSize(graph, { id, shape, dtype, data }) {
  return shape.length || data === null ? shapeText(shape) : `= ${shortest(graph.values(id)[0], dtype)}`;
}

function cardFlow(context, card) {
  const { graph, step } = context;
  const forward = step.phase === "forward";
  const name = (i) => cardInput(card, i);
  const inputs = step.inputs.map((input, i) => {
    const needs = step.needs[i] ? "" : ", no gradient";
    const code = h("code", {}, name(i));
    if (typeof input !== "number") return h("li", {}, code, ` is the number ${input.number}`);
    return h("li", {}, code, " is ", cardChip(context, input, titleOf(graph, input)),
      needs && h("span", { class: "card-faint" }, needs));
  });
  const output = h("li", {}, cardChip(context, step.out, titleOf(graph, step.out)));
  const { grad } = graph.tensors[step.out];
  const arriving = h("li", {}, h("code", {}, "g"),
    grad !== null && [" is the ", cardChip(context, grad, titleOf(graph, grad))]);
  const leaving = step.contributions.map(({ to, input, tensor }) => h("li", {},
    cardChip(context, tensor, h("code", {}, `g_${name(input)}`)), `, for ${titleOf(graph, to)}`));
  const nothing = h("li", { class: "card-faint" }, "nothing");
  return h("div", { class: "card-flow" },
    h("div", {}, h("h4", {}, forward ? "Comes in" : "Gradient that comes in"),
      h("ul", { class: "card-list" }, forward ? inputs : arriving)),
    h("div", {}, h("h4", {}, forward ? "Goes out" : "Contributions that go out"),
      h("ul", { class: "card-list" }, forward ? output : leaving.length ? leaving : nothing)));
}

// ---- the source, line by line

function cardCode(context, card) {
  const { graph, page, step } = context;
  const functions = cardSource(page, card)[step.phase] ?? [];
  if (functions.length === 0) {
    return [h("p", { class: "card-faint" }, "The source of this operation is not known.")];
  }
  const rows = cardRows(graph, step, functions);
  const said = rows.size > 0 ?
    "Beside each line: what it computes in this call. A line that computed something is a button." :
    cardUnfollowed(context);
  return [
    h("h4", {}, `The lines of ${step.phase}`),
    h("p", { class: "card-faint" }, said),
    ...functions.map((f) => cardFunction(context, f, rows)),
  ];
}

// Why nothing stands beside the lines.
function cardUnfollowed({ graph, step, link }) {
  if (step.lines.some((id) => graph.lines[id].op === "Identity")) {
    return "Nothing is computed here: g is handed on as it is.";
  }
  const rows = (other) => other.op === step.op && other.phase === step.phase && other.n !== step.n &&
    other.lines.some((id) => graph.lines[id].file);
  const first = graph.steps.find(rows);
  if (first === undefined) return "Which of these lines ran in this call was not recorded.";
  return ["In a graph of this size only the first call of each operation is followed line by line: here ",
    h("a", { href: link({ step: first.n, tensor: null, of: null, cell: null }) }, `step ${first.n}`), "."];
}

function cardFunction(context, { name, file, first, lines }, rows) {
  return h("div", {},
    h("p", { class: "card-file" }, h("code", {}, name), ` in ${file}`),
    h("ol", { class: "card-code", "aria-label": `source of ${name}` }, lines.map((words, i) =>
      cardRow(context, first + i, words, rows.get(`${file}:${first + i}`) ?? []))));
}

function cardRow(context, row, words, computed) {
  const { graph, go, shown } = context;
  const text = words.map(([kind, word]) => (kind ? h("span", { class: `card-${kind}` }, word) : word));
  const main = computed.at(-1);
  const chosen = computed.some((line) => shown !== null && line.out === shown.id);
  const code = main === undefined ? h("code", {}, text) : h("button", {
    type: "button", class: "card-line", title: `show ${titleOf(graph, main.out)}`,
    onclick: () => go({ ...nameTensor(graph, main.out), cell: null }),
  }, h("code", {}, text));
  const named = computed.filter((line) => line === main || cardName(context, line) !== "");
  const between = computed.filter((line) => !named.includes(line));
  const chip = (line) => [cardChip(context, line.out, cardName(context, line) || tensorInWords(context.graph, line.out)), " "];
  return h("li", { class: chosen && "card-chosen", value: row },
    h("span", { class: "card-number", "aria-hidden": "true" }, String(row)), code,
    main !== undefined && h("span", { class: "card-chips" }, named.map(chip),
      between.length > 0 && h("span", { class: "card-from" }, "from ", between.slice(0, 7).map(chip),
        between.length > 7 && `and ${between.length - 7} more`)));
}

// The name of what a line made: a variable, a contribution, the output; "" for what is in between.
function cardName({ graph, step }, line) {
  const contribution = step.contributions.find(({ tensor }) => tensor === line.out);
  if (contribution !== undefined) return `g_${cardInput(graph.cards[step.op], contribution.input)}`;
  if (line.out === step.out) return titleOf(graph, line.out);
  const out = graph.tensors[line.out];
  return line.variable || (out.kind === "inner" ? out.name : "");
}

function cardInput(card, i) {
  return card.inputs[Math.min(i, card.inputs.length - 1)] ?? `input ${i}`;
}

// ---- what is kept

function cardKept(context) {
  const { graph, step } = context;
  const n = step.phase === "forward" ? step.n : step.forward;
  const kept = graph.kept?.steps[String(n)];
  if (kept === undefined || kept.length === 0) return null;
  const total = kept.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const row = ({ what, kind, why, tensor, shape, text, bytes }) => h("tr",
    { class: kind === "not kept" && "card-faint" },
    h("th", { scope: "row" }, tensor === undefined || !shape ? h("code", {}, what) :
      cardChip(context, tensor, what)),
    h("td", {}, kind),
    h("td", {}, shape === undefined ? h("code", {}, text) : kind === "not kept" ? "-" : bytesText(bytes)),
    h("td", {}, graph.kept.reasons[why]));
  return h("div", {},
    h("h4", {}, "What it keeps for backward, and why"),
    h("p", { class: "card-faint" }, `${bytesText(total)} in all. What another operation keeps ` +
      "as well is counted here too."),
    h("div", { class: "card-wide", tabindex: "0", role: "group", "aria-label": "what is kept" },
      h("table", { class: "card-kept" },
        h("thead", {}, h("tr", {}, ["what", "kind", "size or value", "why"].map((title) =>
          h("th", { scope: "col" }, title)))),
        h("tbody", {}, kept.map(row)))));
}

// ---- the derivation

let cardOpen = true; // whether the reader wants to see the derivation

function cardDerivation(context, card) {
  const { page } = context;
  if (card.derivation === null) {
    return h("p", { class: "card-faint" }, card.defined &&
      ["Its derivative is a line: see the formula above, and ", h("code", {}, card.defined), "."]);
  }
  if (!cardDerivations.has(page)) cardDerivations.set(page, new Map());
  const known = cardDerivations.get(page);
  if (!known.has(card.folder)) {
    known.set(card.folder, h("div", { class: "card-derivation" },
      ownMarkup(cardText(page, card.derivation))));
  }
  const body = known.get(card.folder);
  cardLinks(body, context);
  return h("details", { open: cardOpen, ontoggle: (event) => { cardOpen = event.target.open; } },
    h("summary", {}, "Derivation, from ", h("code", {}, `autograd/kernels/${card.folder}/README.md`)),
    body);
}

// A link to another derivation leads to the first call of that operation, if there is one.
function cardLinks(body, { graph, link }) {
  for (const anchor of body.querySelectorAll("a[data-folder]")) {
    const [op] = Object.entries(graph.cards)
      .find(([, card]) => card.folder === anchor.dataset.folder) ?? [null];
    const first = op === null ? undefined : graph.steps.find((step) => step.op === op);
    if (first === undefined) anchor.removeAttribute("href");
    else anchor.href = link({ step: first.n, tensor: null, of: null, cell: null });
  }
}
