// The tensor view: a value and its gradient, as numbers or colours, slice by slice, with statistics.

import { aheadOf, withoutGradient } from "./ahead.js";
import { cellState, cellText, shownIndices, sizeOf, withIndex } from "./cells.js";
import { valueAt } from "./data.js";
import { clear, h, svg } from "./dom.js";
import { exact, number, shapeText } from "./format.js";
import { heatBackground } from "./heat.js";
import { axisLabels, headGroups } from "./labels.js";
import { leadOf, sliceOf } from "./slices.js";
import { nameTensor } from "./state.js";
import { statisticsOf } from "./stats.js";
import { heatMap, numberTable } from "./tensor_grid.js";
import { wholeButton } from "./whole.js";
import { countOf, tensorInWords } from "./words.js";

const tensorNumbers = 400; // cells that are shown as numbers
const tensorColumns = 20;
const tensorMost = 1100; // cells that can be shown as numbers on request
const tensorSide = 12; // slices next to each other

export const tensorView = {
  id: "tensor",
  title: "Tensor",
  available: () => true,
  render: tensorRender,
};

function tensorRender(root, context) {
  const { graph, shown, cell, state } = context;
  if (shown === null) {
    root.append(h("p", {}, "No tensor is chosen."));
    return;
  }
  const pair = tensorPair(graph, shown), tensors = pair.filter((tensor) => tensor.data !== null);
  if (!tensors.length) {
    root.append(h("p", {}, `${tensorInWords(graph, shown.id)}, ${shapeText(shown.shape)}: nobody kept its numbers. Give explore a function that computes the loss, and all are there.`));
    return;
  }
  const { shape } = shown;
  const lead = leadOf(shown, cell);
  const beside = tensorBeside(shape, state);
  const tools = [tensorSlices(context, lead, beside), tensorModes(context, beside)].filter((part) => part !== null);
  if (tools.length) root.append(h("div", { class: "tensor-tools" }, tools));
  if (tensors.length < pair.length) {
    root.append(h("p", {}, "Nobody kept its value, and here is the gradient alone. Give explore a function that computes the loss, and all is there."));
  }
  if (tensors.some((tensor) => tensor.changed)) {
    root.append(h("p", {}, "This tensor has been changed, before the loss was computed or after it: these are the numbers that it holds now, and nothing else tells which they were."));
  }
  for (const tensor of tensors) root.append(tensorPanel(root, context, tensor, lead, beside));
  const without = withoutGradient(shown);
  if (without !== null) root.append(h("p", { class: "faint" }, without));
  root.append(tensorStatistics(graph, tensors));
  const another = tensorBefore !== shown;
  tensorBefore = shown;
  queueMicrotask(() => { // after the boxes have been scrolled to where they were
    if (another) root.scrollTop = 0;
    tensorReveal(root);
  });
}

let tensorBefore = null; // what was shown when the view was drawn the last time

// Scroll each table so far that its chosen cell is seen.
function tensorReveal(root) {
  for (const cell of root.querySelectorAll(".tensor-cell.is-chosen")) {
    const [box, row] = [cell.closest(".tensor-scroll"), cell.parentNode.firstElementChild];
    const fixed = row === cell ? 0 : row.offsetWidth;
    if (cell.offsetLeft - fixed < box.scrollLeft) box.scrollLeft = cell.offsetLeft - fixed - 4;
    const right = cell.offsetLeft + cell.offsetWidth - box.clientWidth;
    if (right > box.scrollLeft) box.scrollLeft = right + 4;
    const bottom = cell.offsetTop + cell.offsetHeight - box.clientHeight;
    if (bottom > box.scrollTop) box.scrollTop = bottom + 4;
    if (cell.offsetTop < box.scrollTop) box.scrollTop = cell.offsetTop - 40;
  }
}

// The value and its gradient, if one of the two is chosen, that one first; otherwise the chosen tensor
// alone.
function tensorPair(graph, shown) {
  if (shown.kind === "gradient") return [shown, graph.tensors[shown.of]];
  if (shown.key !== undefined && shown.grad !== null) return [shown, graph.tensors[shown.grad]];
  return [shown];
}

function tensorTitle(graph, tensor) {
  if (tensor.kind === "gradient") return "Gradient";
  if (tensor.kind === "contribution") return "Contribution to the gradient";
  return tensor.key === undefined ? `${tensorInWords(graph, tensor.id)}, an inner variable` : "Value";
}

// ---- which slice, and how it is shown -----------------------------------------------------------

// Whether the slices along the third axis from the end stand next to each other.
function tensorBeside(shape, state) {
  const possible = shape.length > 2 && shape.at(-3) > 1 && shape.at(-3) <= tensorSide;
  return possible && (state.beside ?? (shape.length > 3 ? "1" : "0")) === "1";
}

function tensorSlices({ graph, shown, cell, go }, lead, beside) {
  const choosers = lead.map((index, axis) => {
    const indices = shownIndices(shown, axis);
    if (indices.length < 2 || (beside && axis === lead.length - 1)) return null;
    const list = h("select", { "data-key": `tensor-axis-${axis}`, "aria-label": `Index along axis ${axis}`, onchange: () => {
      const base = cell ?? [...lead, ...shown.shape.slice(-2).map((_, i) => shownIndices(shown, lead.length + i)[0])];
      go({ cell: cellState(withIndex(base, axis, Number(list.value))) });
    } }, indices.map((i) => h("option", { value: i, selected: i === index }, i)));
    return h("label", {}, `${tensorAxis(graph, shown.shape, axis)} `, list);
  });
  return choosers.some((chooser) => chooser !== null) ? h("span", {}, choosers) : null;
}

// What to call an axis before the last two: in a model's graph the first is the batch.
function tensorAxis({ steps, labels }, shape, axis) {
  if (shape.length === 4 && axis === 1 && steps.some((step) => /attention/i.test(step.op ?? ""))) return "head";
  return axis === 0 && (labels?.tokens || labels?.rows) ? "row of the batch" : `axis ${axis}`;
}

function tensorModes({ graph, shown, state, go }, beside) {
  const { shape } = shown;
  const buttons = [];
  const size = tensorShownSize(shown, beside);
  const numbers = tensorAsNumbers(shown, state, beside);
  if (size > 1 && size <= tensorMost) {
    buttons.push(h("button", { type: "button", "data-key": "tensor-as", onclick: () => go({ as: numbers ? "colours" : "numbers" }, true) }, numbers ? "as colours" : "as numbers"));
  }
  if (shape.length > 2 && shape.at(-3) > 1 && shape.at(-3) <= tensorSide) {
    const what = tensorAxis(graph, shape, shape.length - 3) === "head" ? "heads" : "slices";
    buttons.push(h("button", { type: "button", "data-key": "tensor-beside", "aria-pressed": String(beside), onclick: () => go({ beside: beside ? "0" : "1" }, true) }, `all ${what} side by side`));
  }
  return buttons.length ? h("span", {}, buttons) : null;
}

function tensorShownSize(tensor, beside) {
  const lengths = tensor.shape.map((_, axis) => shownIndices(tensor, axis).length);
  return sizeOf(lengths.slice(beside ? -3 : -2));
}

function tensorAsNumbers(tensor, state, beside) {
  const size = tensorShownSize(tensor, beside);
  if (size <= 1) return true;
  if (state.as) return state.as === "numbers" && size <= tensorMost;
  return size <= tensorNumbers && tensor.shape.at(-1) <= tensorColumns;
}

// ---- the numbers ----------------------------------------------------------------------------

function tensorPanel(root, context, tensor, lead, beside) {
  const { graph, state, step } = context;
  const largest = tensorLargest(graph, tensor);
  const numbers = tensorAsNumbers(tensor, state, beside);
  const leads = beside ? shownIndices(tensor, lead.length - 1).map((index) => withIndex(lead, lead.length - 1, index)) : [lead];
  const room = Math.max(260, (root.clientWidth || 600) - 40);
  const width = beside ? Math.max(120, Math.floor(room / Math.min(leads.length, 4)) - 16) : room;
  const chosen = tensorChosen(context, tensor, numbers);
  const pictures = leads.map((at) => {
    const grid = { ...tensorGrid(context, tensor, at, largest), read: chosen.read };
    const picture = numbers ? numberTable(grid) : heatMap(grid, width, root);
    return beside ? h("figure", {}, h("figcaption", {}, `${tensorAxis(graph, tensor.shape, lead.length - 1)} ${at.at(-1)}`), picture) : picture;
  });
  const ahead = aheadOf(graph, tensor, step);
  return h("section", { class: `tensor-panel${ahead ? " is-ahead" : ""}`, "aria-label": tensorTitle(graph, tensor) },
    h("h3", {}, tensorTitle(graph, tensor)),
    ahead && h("p", { class: "tensor-ahead" }, `${ahead.text} `, h("a", { href: context.link({ step: ahead.step, ...nameTensor(graph, tensor.id) }) }, ahead.step), "."),
    tensor.shape.length ? chosen.element : null,
    h("div", { class: `tensor-pictures${beside ? " tensor-beside" : ""}` }, pictures),
    tensor.shape.length ? null : chosen.element,
    tensor.shape.length ? tensorLegend(largest, graph.proof?.elements?.[tensor.id]) : null,
    tensorSampled(tensor), wholeButton(context, tensor));
}

function tensorGrid(context, tensor, lead, largest) {
  const { graph, shown, cell, go } = context;
  const name = tensor === shown ? {} : nameTensor(graph, tensor.id);
  const labels = tensor.shape.length < 2 ? [null, axisLabels(graph, tensor, 0, lead)]
    : [-2, -1].map((axis) => axisLabels(graph, tensor, tensor.shape.length + axis, lead));
  return {
    graph, tensor, slice: sliceOf(graph, tensor, lead), chosen: cell, largest, labels,
    groups: tensor.sample === null ? headGroups(graph, tensor) : null,
    title: `${tensorTitle(graph, tensor)} of ${tensor.name || tensorInWords(graph, tensor.id)}`,
    proven: new Set(graph.proof?.elements?.[tensor.id] ?? []),
    choose: (at, quiet) => go({ cell: cellState(at), trail: null }, quiet),
    open: (at) => go({ ...name, cell: cellState(at), trail: null, view: "cell" }),
  };
}

function tensorLargest(graph, tensor) {
  const found = statisticsOf(graph, tensor);
  return found.min === undefined ? 0 : Math.max(Math.abs(found.min), Math.abs(found.max));
}

function tensorSampled({ sample, shape }) {
  if (sample === null) return null;
  const kept = sample.map((axis, i) => `${axis.length} of ${shape[i]}`).join(" by ");
  return h("p", { class: "faint" }, `A sample: of each axis the page holds evenly spaced indices, ${kept}. The statistics below are exact, of all ${sizeOf(shape).toLocaleString("en")} elements.`);
}

// The line above the numbers: {element, read(text)}. It says what the chosen cell holds, or, for as
// long as a text is read, that.
function tensorChosen(context, tensor, numbers) {
  const { graph, cell, shown, link } = context;
  const chosen = cell !== null && (tensor.shape.length > 0 || !cell.length);
  if (!chosen) {
    const tip = numbers ? "Click a number, or use the arrow keys, to choose it." : "Point at a cell to read it; click, or use the arrow keys, to choose it.";
    const element = h("p", { class: "tensor-chosen faint" }, tip);
    return { element, read: (text) => { element.textContent = text ?? tip; } };
  }
  const value = valueAt(graph, tensor.id, cell);
  const name = tensor === shown ? {} : nameTensor(graph, tensor.id);
  const links = [h("a", { href: link({ ...name, cell: cellState(cell), view: "cell", trail: null }) }, "why this number?")];
  if ((graph.tensors[tensor.of]?.contributions ?? []).length > 1) links.push(h("a", { href: link({ ...name, view: "ledger" }) }, "its contributions"));
  if (graph.proof?.elements?.[tensor.id] !== undefined) links.push(h("a", { href: link({ ...name, view: "proof" }) }, "proof"));
  const words = [`${cellText(cell)}: `, h("b", {}, value === null ? "not on the page" : exact(value, tensor.dtype))];
  const number = h("span", { class: "mono" }, words); // of a single number its own figures are enough
  const element = h("p", { class: "tensor-chosen" }, cell.length ? number : null, links);
  return { element, read: (text) => (text === null ? clear(number).append(...words) : clear(number).append(text)) };
}

function tensorLegend(largest, proven) {
  const marked = proven ? h("span", { class: "tensor-mark" }, h("span", { class: "tensor-proven" }), "proven by finite differences") : null;
  if (!(largest > 0)) return marked && h("p", { class: "tensor-legend faint" }, marked);
  const steps = [-1, -0.25, 0, 0.25, 1];
  return h("p", { class: "tensor-legend faint" }, steps.map((share) =>
    h("span", { style: `background: ${heatBackground(share * largest, largest)}` }, number(share * largest))),
    " the stronger, the larger in size", marked);
}

// ---- statistics -----------------------------------------------------------------------------

const tensorRows = [
  ["smallest", "min"], ["largest", "max"], ["mean", "mean"], ["standard deviation", "std"],
  ["norm (root of the sum of squares)", "norm"], ["zeros", "zeros"], ["NaN", "nans"], ["infinite", "infinities"],
];

function tensorStatistics(graph, tensors) {
  const all = tensors.map((tensor) => statisticsOf(graph, tensor));
  if (all.every((found) => found.size < 2)) return h("div", {});
  const titles = tensors.map((tensor) => tensorTitle(graph, tensor));
  const rows = tensorRows.map(([text, key]) => h("tr", {}, h("th", { scope: "row" }, text),
    all.map((found) => h("td", { class: `number${(key === "nans" || key === "infinities") && found[key] ? " bad" : ""}` }, found[key] === undefined ? "" : number(found[key])))));
  return h("section", { "aria-label": "Statistics" }, h("h3", {}, `Statistics of all ${countOf(all[0].size, "element")}`),
    h("div", { class: "tensor-statistics" },
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("td", {}), titles.map((title) => h("th", { scope: "col", class: "number" }, title)))), h("tbody", {}, rows))),
      all.map((found, i) => tensorHistogram(found, titles[i]))));
}

function tensorHistogram({ histogram, min, max }, title) {
  if (!histogram) return null;
  const [low, high] = min < max ? [min, max] : [min - 1, max + 1];
  const [width, height, top] = [240, 90, Math.max(...histogram)];
  const step = width / histogram.length;
  const peak = histogram.indexOf(top);
  const edge = (i) => number(low + ((high - low) * i) / histogram.length);
  const bars = histogram.map((count, i) => {
    const tall = count ? Math.max(1, (height * count) / top) : 0;
    return svg("rect", { x: i * step + 0.5, y: height - tall, width: step - 1, height: tall, class: "tensor-bar" },
      svg("title", {}, `${count} from ${edge(i)} to ${edge(i + 1)}`));
  });
  const zero = low < 0 && high > 0 ? svg("line", { x1: (-low / (high - low)) * width, x2: (-low / (high - low)) * width, y1: 0, y2: height, class: "tensor-zero" }) : null;
  return h("figure", { class: "tensor-histogram" }, h("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${width} ${height + 16}`, width, height: height + 16, role: "img",
      "aria-label": `Histogram of ${title}: from ${number(low)} to ${number(high)}, most between ${edge(peak)} and ${edge(peak + 1)}` },
      bars, zero, svg("text", { x: 0, y: height + 13, class: "tensor-axis" }, number(low)),
      svg("text", { x: width, y: height + 13, class: "tensor-axis", "text-anchor": "end" }, number(high))));
}
