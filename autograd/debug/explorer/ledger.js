// The accumulation ledger: the contributions to one gradient as they arrive, and what "=" would do.

import { h } from "./dom.js";
import { number, exact, shapeText } from "./format.js";
import { reducedAxes } from "./rules.js";
import { nameTensor } from "./state.js";
import { countOf } from "./words.js";
import { ledgerAccounts, ledgerUsedTwice, ledgerSums, ledgerComparison, ledgerOff, ledgerLength, ledgerCell, ledgerFlat, ledgerInnerSum, ledgerTerms, ledgerRows } from "./ledger_sums.js";

const LEDGER_LISTED = 60, LEDGER_TERMS = 16, LEDGER_ROWS = 30, LEDGER_CHOICES = 200;

export const ledgerView = {
  id: "ledger",
  title: "Accumulation",
  available: (graph) => ledgerAccounts(graph).size > 0,
  render: renderLedger,
};

function renderLedger(root, context) {
  const { graph, state } = context;
  const twice = ledgerUsedTwice(graph), accounts = ledgerAccounts(graph);
  const chosen = context.tensor && accounts.has(context.tensor.id) ? context.tensor.id
    : twice.length ? twice[0] : accounts.keys().next().value;
  const assigns = state.assign === "1";
  root.append(h("h3", {}, "Accumulation"),
    h("p", {}, "A gradient is a sum with one term for each use of the tensor. Such a term is called a contribution: a use hands it back, and it is added with ",
      h("code", {}, "+="), "."),
    ledgerChoice(context, twice, chosen));
  const tensor = graph.tensors[chosen];
  if (!context.tensor || context.tensor.id !== chosen)
    root.append(h("p", { class: "faint" }, `${context.tensor ? context.tensor.name : "The chosen tensor"} gets no gradient; this is ${tensor.key}.`));
  const added = ledgerSums(graph, chosen), engine = tensor.grad === null ? null : graph.values(tensor.grad);
  if (!added || !engine) {
    root.append(h("p", {}, "The contributions to this gradient were not kept."));
    return;
  }
  const at = { context, graph, tensor, assigns, added, engine, entries: accounts.get(chosen),
    kept: assigns ? ledgerSums(graph, chosen, true) : added };
  at.flat = ledgerChosenCell(at);
  at.cell = ledgerCell(tensor, at.flat);
  root.append(ledgerSwitch(at), ...ledgerTable(at).filter(Boolean), ledgerVerdict(at), ledgerInside(at));
}

// The tensors that were used more than once; and the chosen one, if it is none of them.
function ledgerChoice(context, twice, chosen) {
  const { graph } = context;
  if (!twice.length) return h("p", {}, "No tensor of this graph was used more than once: every gradient has one contribution.");
  const option = (id) => h("option", { value: graph.tensors[id].key, selected: id === chosen },
    `${graph.tensors[id].key}${graph.tensors[id].shape.length ? ` ${shapeText(graph.tensors[id].shape)}` : ""}: ${countOf(ledgerAccounts(graph).get(id).length, "use")}`);
  const listed = twice.slice(0, LEDGER_CHOICES);
  const group = h("optgroup", { label: `used more than once: ${countOf(twice.length, "tensor")}` }, listed.map(option));
  const more = twice.length > listed.length ? ` The first ${listed.length} are listed; the field above finds the others.` : "";
  const { key } = graph.tensors[chosen], several = twice.includes(chosen);
  return h("p", { class: "ledger-choice" }, h("label", {}, "Gradient of ",
    h("select", { "data-key": "ledger-choice",
      onchange: (event) => context.go({ tensor: event.target.value, of: "gradient", cell: null }) },
    listed.includes(chosen) ? null : h("optgroup", { label: "chosen" }, option(chosen)), group)), more,
  several ? null : ` ${key} was used once: its gradient is that one contribution. The list has the tensors that were used more than once.`);
}

// The chosen cell if it is embedded, otherwise the one to which every contribution adds most.
function ledgerChosenCell(at) {
  const { cell, shown } = at.context;
  if (cell && shown && String(shown.shape) === String(at.tensor.shape)) {
    const flat = ledgerFlat(at.tensor, cell);
    if (flat >= 0) return flat;
  }
  let best = 0, most = -1, size = -1;
  for (let i = 0; i < at.engine.length; i++) {
    const least = Math.min(...at.added.parts.map((part) => Math.abs(part[i])));
    if (least > most || (least === most && Math.abs(at.engine[i]) > size)) [best, most, size] = [i, least, Math.abs(at.engine[i])];
  }
  return best;
}

function ledgerSwitch(at) {
  const one = (id, on, text, value) => h("button", { type: "button", "data-key": `ledger-${id}`, "aria-pressed": String(on),
    onclick: () => at.context.go({ assign: value }) }, text);
  return h("div", { class: "ledger-switch", role: "group", "aria-label": "How a contribution is stored" },
    "Each contribution ", one("add", !at.assigns, "is added: +=", null),
    one("assign", at.assigns, "takes the place of the last: =", 1));
}

function ledgerTable(at) {
  const { graph, context, tensor, entries, added, kept, flat, cell, assigns } = at;
  const where = cell.length ? `[${cell.join(", ")}]` : "", single = added.parts[0].length === 1;
  const rows = entries.slice(0, LEDGER_LISTED).map((entry, i) => {
    const overwritten = assigns && i < entries.length - 1;
    const gone = context.step && entry.step > context.step.n;
    return h("tr", { class: `${overwritten ? "is-lost" : ""}${gone ? " is-ahead" : ""}` },
      h("th", { scope: "row" }, String(i + 1)),
      h("td", {}, h("a", { href: context.link({ step: entry.step }), title: `step ${entry.step}` },
        entry.op ? `${entry.name}: ${entry.op}${entry.input === null ? "" : `, input ${entry.input}`}` : "the start: dL/dL"),
        entry.site ? h("code", { class: "ledger-line", title: `${entry.site.file}:${entry.site.line}` }, entry.site.source) : null),
      h("td", { class: "number" }, h("a", { href: context.link({ ...nameTensor(graph, entry.tensor), cell: cell.join(","), view: "cell" }),
        title: "where this number came from" }, exact(added.parts[i][flat], tensor.dtype))),
      h("td", { class: "number ledger-sum" }, exact(kept.sums[i][flat], tensor.dtype)),
      single ? null : h("td", { class: "number" }, number(ledgerLength(added.parts[i]))));
  });
  const column = (text) => h("th", { scope: "col", class: "number" }, text);
  const length = single ? "" : ` The length of a contribution is the root of the sum of its squares${tensor.sample === null ? "" : ", here over the elements on the page"}.`;
  const more = entries.length > rows.length ? ` The first ${rows.length} of ${entries.length} are shown; all are added.` : "";
  return [h("p", { class: "ledger-caption" }, `The gradient of ${tensor.key}, ${shapeText(tensor.shape)}: ${countOf(entries.length, "contribution")}, `
    + `in the order of the pass.${more}${length}`),
  h("div", { class: "scroll" }, h("table", { class: "ledger-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "#"), h("th", { scope: "col" }, "from"),
      column(where ? `at ${where}` : "value"), column(assigns ? "after = " : "sum so far"),
      single ? null : column("its length"))),
    h("tbody", {}, rows))),
  entries.some((entry) => context.step && entry.step > context.step.n)
      ? h("p", { class: "faint" }, `\u25CB arrives after step ${context.step.n}, where the page is now.`) : null];
}

function ledgerHooked(graph, tensor) {
  const { line } = graph.tensors[tensor.grad];
  return line !== null && graph.lines[line].rule === "hook";
}

function ledgerVerdict(at) {
  const { tensor, added, kept, engine, assigns, flat, context } = at;
  const where = at.cell.length ? ` at [${at.cell.join(", ")}]` : "";
  const sum = ledgerComparison(added.sums.at(-1), engine, tensor.dtype);
  const of = tensor.sample === null ? `${sum.elements} elements` : `the ${sum.elements} elements of the sample`;
  const elements = sum.elements === 1 ? "" : sum.equal === sum.elements ? ` in all ${of}` : ` in ${sum.equal} of ${of}`;
  const agreement = sum.equal === sum.elements
    ? h("p", { class: "good" }, `\u2713 The sum, made here in ${tensor.dtype}, is the engine's gradient`, elements, ", to the last bit.")
    : sum.ulps <= 4 * added.parts.length
      ? h("p", { class: "good" }, `\u2713 The sum, made here in ${tensor.dtype}, is the engine's gradient bit for bit`, elements,
        `; elsewhere rounding moves it by at most ${sum.ulps} unit${sum.ulps === 1 ? "" : "s"} in the last place.`)
      : ledgerHooked(context.graph, tensor) ? h("p", {}, `A hook replaced the sum: the gradient that goes on differs from it by up to ${number(sum.off)}.`)
      : h("p", { class: "bad" }, `\u2717 The sum differs from the engine's gradient by up to ${number(sum.off)}.`);
  if (!assigns) return h("div", { class: "ledger-verdict", "aria-live": "polite" }, agreement);
  const lost = ledgerComparison(kept.sums.at(-1), engine, tensor.dtype);
  const got = kept.sums.at(-1)[flat], off = ledgerOff(got, engine[flat]);
  const wrong = lost.equal === lost.elements
    ? h("p", {}, at.entries.length === 1 ? "With one contribution, = and += give the same."
      : "Here the last contribution happens to be the whole sum.")
    : h("p", { class: "bad" }, `\u2717 With = here, and += everywhere else, the gradient${where} would be ${exact(got, tensor.dtype)} and not `,
      `${exact(engine[flat], tensor.dtype)}: off by ${exact(off, "float64")}. `,
      lost.elements === 1 ? "" : `${lost.elements - lost.equal} of ${of} would be wrong, by a difference of length `
        + `${number(lost.length)} (${lost.right ? `${number((100 * lost.length) / lost.right)} % of the gradient's` : "the gradient is 0"}). `,
      at.entries.length > 2 ? `Only the last of ${at.entries.length} contributions would be left.` : "Only the last contribution would be left.");
  return h("div", { class: "ledger-verdict", "aria-live": "polite" }, wrong, agreement,
    h("p", {}, h("a", { href: context.link({ view: "order" }) }, "The other way to lose a part: to hand the sum on too early.")));
}

// --- contributions that are sums themselves ----------------------------------------------------------

function ledgerInside(at) {
  const found = [];
  at.entries.slice(0, LEDGER_LISTED).forEach((entry, i) => {
    const inner = ledgerInnerSum(at.graph, entry.tensor);
    if (inner) found.push(ledgerBroadcast(at, entry, i, inner));
    const rows = ledgerRows(at.graph, entry.tensor);
    if (rows) found.push(ledgerTableRows(at, entry, i, rows));
  });
  return h("div", { class: "ledger-inside" }, found);
}

function ledgerBroadcast(at, entry, i, inner) {
  const { context, graph, tensor, cell } = at;
  const where = cell.length ? `[${cell.join(", ")}]` : "one number";
  const axes = reducedAxes(inner.line, inner.from.shape.length);
  const terms = ledgerTerms(graph, inner, cell, tensor.shape);
  const link = h("a", { href: context.link({ ...nameTensor(graph, entry.tensor), cell: cell.join(","), view: "cell" }) },
    "see the cell");
  return h("section", { "aria-label": `Inside contribution ${i + 1}` },
    h("h4", {}, `Contribution ${i + 1} is itself a sum`),
    h("p", {}, `${tensor.key} ${shapeText(tensor.shape)} was used for ${inner.count} positions at once: each element's gradient is `,
      `the sum over ax${axes.length > 1 ? "es" : "is"} ${axes.join(", ")} of ${shapeText(inner.from.shape)}. `, link, "."),
    terms.every((term) => term.value !== null) ? h("p", { class: "ledger-terms" }, `At ${where}: `,
      terms.slice(0, LEDGER_TERMS).map((term, k) => [k ? " + " : "",
        h("a", { href: context.link({ ...nameTensor(graph, inner.from.id), cell: term.cell.join(","), view: "cell" }),
          title: `[${term.cell.join(", ")}]` }, number(term.value))]),
      terms.length > LEDGER_TERMS ? ` + ${terms.length - LEDGER_TERMS} more` : "",
      ` = ${number(terms.reduce((sum, term) => sum + term.value, 0))}`) : null);
}

function ledgerTableRows(at, entry, i, rows) {
  const { tensor, context, graph } = at;
  const several = rows.filter(({ from }) => from.length > 1), shown = several.slice(0, LEDGER_ROWS);
  const vocabulary = graph.labels && graph.labels.vocabulary, tokens = graph.labels && graph.labels.tokens;
  const word = (row, from) => {
    const ofRow = Array.isArray(vocabulary) && vocabulary.length === tensor.shape[0] ? vocabulary[row] : undefined;
    const text = ofRow ?? (Array.isArray(tokens) && entry.op === "Embedding" ? tokens[from[0]] : undefined);
    return text === undefined ? "" : ` ${JSON.stringify(text)}`;
  };
  return h("section", { "aria-label": `Rows of contribution ${i + 1}` },
    h("h4", {}, `Contribution ${i + 1}: a row for each lookup`),
    h("p", {}, `${rows.length} of the ${tensor.shape[0]} rows of ${tensor.key} were looked up and get a gradient here. `,
      several.length ? `${several.length} of them ${several.length === 1 ? "was" : "were"} looked up more than once; what they get back is added up.`
        : "None of them was looked up twice."),
    several.length ? h("ul", {}, shown.map(({ row, from }) => h("li", {},
      h("a", { href: context.link({ ...nameTensor(graph, entry.tensor), cell: `${row},${at.cell[1]}`, view: "cell" }) },
        `row ${row}${word(row, from)}`),
      `: ${from.length} contributions, from the positions ${from.slice(0, 20).join(", ")}${from.length > 20 ? ", ..." : ""}`))) : null);
}
