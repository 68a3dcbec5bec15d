// The table of a cell's terms: each with its operands, which lead on, and the sum as it grows.

import { cellText } from "./cells.js";
import { h } from "./dom.js";
import { exact, number } from "./format.js";
import { originOf, valueOf } from "./rules.js";
import { holdsGradient, sideOf, towardsMarks } from "./towards.js";
import { cellLink } from "./trail.js";
import { cellInWords, countOf, tensorInWords } from "./words.js";

const termsShown = 12; // of a long sum, at first
const termsAdded = ["sum", "mean", "matmul", "einsum", "add", "scatter", "cumsum", "cross", "linspace", "logsumexp", "var", "std"];
const termsMeaning = { logsumexp: "exp(x \u2212 maximum)", var: "(x \u2212 mean)\u00b2", std: "(x \u2212 mean)\u00b2" };
const termsTotals = {
  max: "the largest", min: "the smallest", prod: "the product", cumprod: "the product",
  var: "the sum, divided by their number", std: "the root of the sum, divided by their number",
  logsumexp: "the logarithm of the sum, plus the maximum",
};

// `view` is a context with a trail, `found` what explainCell returned. In the table of a gradient each
// link is marked: on to the loss, or to a value from forward.
export function cellTable(context, found) {
  const view = { ...context, marked: holdsGradient(context.graph, found.id) };
  const table = found.rule === "elementwise" ? termsOfFormula(view, found) : termsInRows(view, found);
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Terms" }, table);
}

// The operands of a formula that have a name, one in each row.
function termsOfFormula(view, { terms }) {
  const named = terms[0].factors.filter((factor) => factor.number === undefined);
  const rows = named.map((factor) => h("tr", {},
    h("td", {}, termName(view, factor)), termNumber(view, factor),
    view.marked ? h("td", { class: "cell-side" }, towardsMarks[sideOf(view.graph, factor)]?.text) : null));
  return h("table", { class: "cell-terms" }, h("tbody", {}, rows));
}

// Of a long sum the largest terms come first, and the rest as one row.
function termsInRows(view, found) {
  const { terms, rule } = found;
  const all = view.state.terms === "all" || terms.length <= termsShown + 1;
  const ranked = all ? terms : terms.toSorted((a, b) => Math.abs(b.value ?? 0) - Math.abs(a.value ?? 0));
  const rows = all ? ranked : ranked.slice(0, termsShown);
  const rest = ranked.slice(rows.length);
  const sums = terms.length > 1 && termsAdded.includes(rule);
  const columns = rule === "add" ? [{ alone: false, title: "contribution", name: (i) => `contribution ${i + 1}` }] : termColumns(view, terms);
  if (view.marked) columns.forEach((column, place) => { column.sides = termSides(view, terms, place); });
  const meaning = columns.length > 1 ? "product" : termsMeaning[rule] ?? null;
  const width = columns.length + (meaning ? 1 : 0) + (sums ? 1 : 0);
  let sum = 0;
  const body = rows.map((term, i) => {
    sum += term.value;
    return h("tr", {},
      term.factors.map((factor, place) => termCell(view, factor, columns[place], i)),
      meaning ? h("td", { class: "number" }, cellNumber(term.value)) : null,
      sums ? h("td", { class: "number faint" }, cellNumber(sum)) : null);
  });
  if (rest.length) {
    const left = rest.reduce((total, term) => total + term.value, 0);
    const text = ` ${sums ? "The" : "There are"} ${countOf(rest.length, "smaller term")}${sums ? ` together: ${cellNumber(left)}` : ""}`;
    body.push(h("tr", {}, h("td", { colspan: sums ? width - 1 : width },
      h("button", { type: "button", "data-key": "cell-all", onclick: () => view.go({ terms: "all" }) }, `Show all ${terms.length}`), text),
      sums ? h("td", { class: "number faint" }, cellNumber(sum + left)) : null));
  }
  const running = rest.length ? "sum so far, largest first" : "sum so far";
  return h("table", { class: "cell-terms" },
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { class: "number", scope: "col" }, column.title, column.sides)),
      meaning ? h("th", { class: "number", scope: "col" }, meaning) : null,
      sums ? h("th", { class: "number", scope: "col" }, running) : null)),
    h("tbody", {}, body), termsFoot(found, width));
}

function termsFoot({ rule, terms, total, tensor }, width) {
  if (total === null || terms.length < 2) return null;
  const words = rule === "mean" ? `the sum, divided by ${terms.length}` : termsTotals[rule] ?? "the sum";
  return h("tfoot", {}, h("tr", {}, h("th", { scope: "row", colspan: width - 1 }, `${words}, in ${tensor.dtype}`),
    h("td", { class: "number" }, h("b", {}, exact(total, tensor.dtype)))));
}

// One column for each place among the factors. If the same tensor stands there in every row, it heads
// the column (`alone`), otherwise each row names its own.
function termColumns({ graph }, terms) {
  return terms[0].factors.map((_, place) => {
    const factors = terms.map((term) => term.factors[place]);
    const ids = new Set(factors.map((factor) => factor.id));
    if (factors.some((factor) => factor.id === null)) return { alone: true, title: factors[0].name || "an inner variable" };
    if (ids.size !== 1 || ids.has(undefined)) return { alone: false, title: factors[0].id === undefined ? "a number" : "element" };
    const [id] = ids;
    const origins = new Set(factors.map((factor) => originOf(graph, factor.id, factor.cell).id));
    const [origin] = origins;
    if (origins.size > 1) return { alone: false, title: tensorInWords(graph, id) };
    if (origin === id) return { alone: true, title: tensorInWords(graph, id) };
    return { alone: true, title: [tensorInWords(graph, id), h("span", { class: "cell-origin" }, `elements of ${tensorInWords(graph, origin)}`)] };
  });
}

// What the signs of a column mean: one, or both.
function termSides({ graph }, terms, place) {
  const sides = new Set(terms.map((term) => sideOf(graph, term.factors[place])).filter((side) => side !== null));
  return [...sides].map((side) => h("span", { class: "cell-side" }, `${towardsMarks[side].sign} ${towardsMarks[side].text}`));
}

function termCell(view, factor, column, i) {
  if (factor.number !== undefined) return termNumber(view, factor);
  return h("td", { class: "number" }, termName(view, factor, column.alone, column.name?.(i)), " ", h("b", {}, termValue(view, factor)));
}

// A link to the element, or to where it was moved from.
function termName(view, factor, alone = false, name = null) {
  if (factor.number !== undefined) return "";
  const { graph } = view;
  if (factor.id === null) return `${alone ? "" : factor.name || "an inner variable"}${cellText(factor.cell)}`;
  const origin = originOf(graph, factor.id, factor.cell);
  const full = cellInWords(graph, origin.id, origin.cell);
  const text = name ?? (alone ? `[${origin.cell.join(",")}]` : full);
  const mark = view.marked ? towardsMarks[sideOf(graph, factor)] : null;
  return h("a", { href: cellLink(view, origin.id, origin.cell), "aria-label": mark ? `${full}, ${mark.text}` : full },
    mark && h("span", { class: "cell-sign" }, `${mark.sign} `), text);
}

function termNumber(view, factor) {
  return h("td", { class: "number" }, factor.number !== undefined ? number(factor.number) : h("b", {}, termValue(view, factor)));
}

function termValue({ graph }, factor) {
  const value = valueOf(factor);
  return value === null ? "not on the page" : exact(value, graph.tensors[factor.id]?.dtype ?? "float32");
}

// Nine digits, which tell any two float32 numbers apart.
export function cellNumber(x) {
  if (x === null || Number.isNaN(x)) return "?";
  if (!Number.isFinite(x)) return number(x);
  const size = Math.abs(x);
  if (size > 0 && (size < 1e-4 || size >= 1e9)) return x.toExponential(8).replace(/\.?0+e/, "e");
  return String(Number(x.toPrecision(9)));
}
