// The cell view: one element, the terms that made it, and where each of them came from.

import { aheadOf } from "./ahead.js";
import { cellState, isCellOf, largestCell } from "./cells.js";
import { valueAt } from "./data.js";
import { clear, h } from "./dom.js";
import { exact, number } from "./format.js";
import { explainCell, originOf } from "./rules.js";
import { hasServer, serverTerms } from "./server.js";
import { cellTable } from "./terms.js";
import { holdsGradient, towardsLoss, towardsMarks } from "./towards.js";
import { cellLink, cellPlace, readTrail } from "./trail.js";
import { usesOf } from "./uses.js";
import { cellInWords, countOf, ruleInWords, tensorInWords, verdictInWords } from "./words.js";

const cellUses = 8; // that are listed
const cellInsides = 12; // contributions that can be opened in place
const cellDepth = 3; // of explanations inside of explanations
const cellTrailShown = 5; // the first and the last places of the way; the others on request
const cellSums = ["matmul", "sum", "mean", "einsum", "scatter", "max"];

export const cellView = {
  id: "cell",
  title: "Cell",
  available: () => true,
  render: cellRender,
};

function cellRender(root, context) {
  const { graph, shown } = context;
  if (shown === null || shown.data === null) {
    root.append(h("p", {}, "Nobody kept the numbers of this tensor: give explore a function that computes the loss, and all are there."));
    return;
  }
  const cell = context.cell ?? largestCell(graph, shown);
  if (cell === null) {
    root.append(h("p", {}, "This tensor has no elements."));
    return;
  }
  const trail = readTrail(graph, context.state.trail, shown.id, cell);
  const view = { ...context, trail };
  const place = `${shown.id}:${cellState(cell)}`;
  const found = cellAnswers(graph).get(place) ?? explainCell(graph, shown.id, cell);
  const ahead = aheadOf(graph, shown, context.step);
  const parts = [
    h("h3", { class: "cell-title" }, `${cellInWords(graph, shown.id, cell)} = `,
      h("span", { class: "mono" }, found.stored === null ? "not on the page" : exact(found.stored, shown.dtype))),
    context.cell === null ? h("p", { class: "faint" }, "No element is chosen: this is the largest in size.") : null,
    ahead && h("p", { class: "cell-ahead" }, `${ahead.text} ${ahead.step}.`),
    cellChooser(view, cell),
    cellFollow(view, found),
    cellTrail(view),
    cellExplained(view, found),
    cellAsk(root, view, found, place),
    cellOther(view, cell),
    cellForward(view, cell),
  ];
  root.append(...parts.filter((part) => part !== null));
}

// ---- where we are ---------------------------------------------------------------------------

function cellTrail(view) {
  const { graph, trail } = view;
  if (trail.length < 2) return null;
  const items = trail.map((place, i) => {
    const text = cellInWords(graph, place.id, place.cell);
    const last = i === trail.length - 1;
    return h("li", {}, last ? h("span", { "aria-current": "true" }, text) : h("a", { href: cellLink(view, place.id, place.cell) }, text));
  });
  const hidden = items.length > cellTrailShown + 1 ? items.slice(1, 1 - cellTrailShown) : [];
  const more = h("li", {}, h("button", { type: "button", onclick: () => more.replaceWith(...hidden) }, `${hidden.length} more`));
  if (hidden.length) items.splice(1, hidden.length, more);
  return h("nav", { class: "cell-trail", "aria-label": "How you came here" }, h("ol", {}, h("li", { class: "faint" }, "You came from"), items));
}

// The button that goes on to the loss.
function cellFollow(view, found) {
  const { graph, shown, go } = view;
  const { sign } = towardsMarks.gradient;
  if (cellIsStart(graph, found)) return h("p", { class: "cell-follow" }, `${sign} The loss is reached: the way to it ends with this 1.`);
  const next = holdsGradient(graph, shown.id) ? towardsLoss(graph, found) : null;
  if (next === null) return null;
  const name = cellInWords(graph, next.id, next.cell);
  return h("p", { class: "cell-follow" }, h("button", {
    type: "button", "data-key": "cell-follow", title: name, onclick: () => go(cellPlace(view, next.id, next.cell)),
  }, `${sign} Follow the largest term towards the loss`));
}

// Whether a cell is the 1 with which backward starts, or a gradient which is that 1.
function cellIsStart(graph, { rule, terms }) {
  if (rule === "add" && terms.length === 1) return graph.lines[graph.tensors[terms[0].factors[0].id].line]?.rule === "seed";
  return rule === "seed";
}

// A number field for each axis.
function cellChooser(view, cell) {
  const { shown, go } = view;
  if (!shown.shape.length) return null;
  const fields = shown.shape.map((length, axis) =>
    h("input", {
      type: "number", min: 0, max: length - 1, value: cell[axis], "data-key": `cell-axis-${axis}`,
      "aria-label": `Index along axis ${axis}, of ${length}`,
      onchange: (event) => {
        const next = cell.slice();
        next[axis] = Number(event.target.value);
        if (isCellOf(shown.shape, next)) go({ cell: cellState(next), trail: null });
      },
    }));
  return h("p", { class: "cell-chooser" }, "Element ", fields.map((field, axis) => [axis ? ", " : null, field]),
    h("a", { href: view.link({ view: "tensor", cell: cellState(cell) }) }, "in its tensor"));
}

// ---- what made it ---------------------------------------------------------------------------

function cellExplained(view, found, depth = 0) {
  const { graph } = view;
  const single = found.rule === "add" && found.terms.length === 1;
  const inner = depth < cellDepth ? cellInner(graph, found) : [];
  const moved = found.rule === "move" && inner.length > 0;
  return h("div", {},
    h("p", { class: "cell-words" }, ruleInWords(graph, found)),
    cellSource(found.line),
    found.terms.length && !single && !moved ? cellTable(view, found) : null,
    single || moved ? null : cellVerdict(view, found),
    found.rule === "add" ? found.terms.slice(0, cellInsides).map((term, i) => cellContribution(view, term, i, found.terms.length, depth)) : null,
    inner.map(({ id, cell }) => cellInside(true,
      [h("a", { href: cellLink(view, id, cell) }, cellInWords(graph, id, cell)), ` = ${number(valueAt(graph, id, cell))}`],
      () => cellExplained(view, explainCell(graph, id, cell), depth + 1))));
}

// An explanation inside of another; what is closed is drawn when it is opened.
function cellInside(open, summary, draw) {
  const element = h("details", { class: "cell-inside", open }, h("summary", {}, summary), open ? draw() : null);
  element.addEventListener("toggle", () => { if (element.open && element.children.length === 1) element.append(draw()); });
  return element;
}

// The inner variables that are explained in the same place: what was only moved here, and an operand
// that is a sum.
function cellInner(graph, { rule, line, terms }) {
  if (rule !== "move" && rule !== "elementwise") return [];
  const moved = rule === "move" || line.attrs.formula === "a";
  return terms[0].factors.filter((factor) => graph.tensors[factor.id] !== undefined)
    .map((factor) => originOf(graph, factor.id, factor.cell))
    .filter(({ id }) => {
      const tensor = graph.tensors[id];
      if (tensor.kind !== "inner" || tensor.line === null) return false;
      return moved || cellSums.includes(graph.lines[tensor.line].rule);
    });
}

function cellVerdict({ graph }, found) {
  const words = found.rule === "seed" ? "" : verdictInWords(found, graph);
  if (!words) return null;
  const kind = found.agrees === null ? "faint" : found.agrees ? "good" : "bad";
  return h("p", { class: `cell-verdict ${kind}` }, found.agrees === null ? "" : found.agrees ? "\u2713 " : "\u2717 ", words);
}

function cellSource(line) {
  if (line === null || !line.text) return null;
  return h("p", { class: "cell-source" }, h("code", {}, line.text), " ", line.file ? h("span", { class: "faint" }, `${line.file}:${line.row}`) : null);
}

// A contribution to a gradient: who sent it, and the terms of its own.
function cellContribution(view, term, i, n, depth) {
  const { graph } = view;
  const [factor] = term.factors;
  const contribution = graph.tensors[factor.id];
  if (contribution.line === null) return null;
  const step = graph.steps[contribution.step];
  const sender = step && step.op ? `${step.op}, the operation that made ${step.name}` : "the start of the backward pass";
  return cellInside(n <= 2, `${n === 1 ? "Its contribution" : `Contribution ${i + 1}`}: ${number(term.value)}, from ${sender}`,
    () => cellExplained(view, explainCell(graph, factor.id, factor.cell), depth + 1));
}

// ---- terms that are not on the page ---------------------------------------------------------

const cellAsked = new WeakMap(); // graph -> Map from a cell to what Python said of it

function cellAnswers(graph) {
  if (!cellAsked.has(graph)) cellAsked.set(graph, new Map());
  return cellAsked.get(graph);
}

function cellAsk(root, view, found, place) {
  const { graph, page, shown } = view;
  const given = shown.kind === "leaf" || shown.kind === "constant";
  if (given || !(found.missing > 0 || found.rule === "unmapped" || found.line === null)) return null;
  if (!hasServer(page)) {
    return h("p", { class: "faint" }, h("code", {}, "tinygrad-llm explore --serve"), " reads the terms of any element, of large tensors too.");
  }
  const said = h("output", {});
  const read = async () => {
    said.textContent = "Reading.";
    try {
      cellAnswers(graph).set(place, await serverTerms(page, graph, shown.id, found.cell));
      if (!said.isConnected) return;
      cellRender(clear(root), view);
      root.focus({ preventScroll: true });
    } catch (error) {
      said.textContent = `${error.message}.`;
    }
  };
  return h("p", {}, h("button", { type: "button", "data-key": "cell-ask", onclick: read }, "Read the terms from Python"), " ", said);
}

// ---- what is near it ------------------------------------------------------------------------

function cellOther(view, cell) {
  const { graph, shown, tensor } = view;
  const links = [];
  const add = (id, text) => links.push(h("li", {}, h("a", { href: cellLink(view, id, cell) }, text), ` ${number(valueAt(graph, id, cell))}`));
  if (shown.grad !== null && shown.grad !== undefined) add(shown.grad, "its gradient");
  if (shown.kind === "gradient" || shown.kind === "contribution") add(shown.of, "the value");
  if (shown.kind === "contribution" && graph.tensors[shown.of].grad !== null) add(graph.tensors[shown.of].grad, "the whole gradient");
  const proven = graph.proof?.elements?.[shown.id] !== undefined;
  if (proven) links.push(h("li", {}, h("a", { href: view.link({ view: "proof" }) }, "finite differences of this tensor")));
  if (tensor && (tensor.contributions ?? []).length > 1) {
    links.push(h("li", {}, h("a", { href: view.link({ view: "ledger" }) }, "its contributions, one by one")));
  }
  return links.length ? h("div", {}, h("h3", {}, "The same element"), h("ul", { class: "cell-list" }, links)) : null;
}

function cellForward(view, cell) {
  const { graph, shown } = view;
  const uses = usesOf(graph, shown.id, cell);
  if (!uses.length) return null;
  const rows = uses.slice(0, cellUses).map(({ line, cell: into, count }) => {
    const step = graph.steps[line.step];
    const phase = step?.phase === "forward" ? "forward" : "backward";
    const target = into === null ? h("span", {}, tensorInWords(graph, line.out))
      : h("a", { href: cellLink(view, line.out, into) }, cellInWords(graph, line.out, into));
    const where = step && step.op ? `, ${phase}, in ${step.op} (${step.name})` : "";
    return h("li", {}, target, count > 1 ? ` and ${countOf(count - 1, "more element")}` : "", h("span", { class: "faint" }, where));
  });
  const more = uses.length - rows.length;
  return h("div", {}, h("h3", {}, "What it goes into"), h("ul", { class: "cell-list" }, rows, more > 0 ? h("li", {}, `and ${more} more`) : null));
}
