// A rule in words, for one cell: "Row 2 of g times column 5 of W: the sum of 16 products."

import { cellText, sizeOf } from "./cells.js";
import { readNumber } from "./data.js";
import { number, shortest } from "./format.js";
import { isNumber, reducedAxes, valueOf } from "./rules.js";
import { titleOf } from "./state.js";

const wordsLongest = 48; // characters of a description; beyond that the operation's name has to do

const wordsGradient = /^(gradient of|contribution( \d+)? to) /;

const reductionWords = {
  sum: "The sum", mean: "The mean", max: "The largest", min: "The smallest", prod: "The product",
  var: "The variance", std: "The standard deviation", logsumexp: "The logarithm of the sum of exponentials",
};

const movedWords = {
  BroadcastTo: (x) => `${x} repeated`, GetItem: (x) => `a part of ${x}`, Reshape: (x) => `${x} reshaped`,
  Transpose: (x) => `${x} transposed`,
};

const kindWords = {
  Add: "a sum", Divide: "a quotient", MatMul: "a matrix product", Mean: "a mean", Multiply: "a product",
  Subtract: "a difference", Sum: "a sum",
};

// `found` is what explainCell returned.
export function ruleInWords(graph, found) {
  const { line, rule, terms, cell, tensor } = found;
  if (line === null) return givenInWords(tensor);
  const n = terms.length;
  const name = (input) => inputInWords(graph, input);
  const [first, second] = line.inputs;
  if (rule in reductionWords) {
    const ndim = graph.tensors[first]?.shape.length ?? 0;
    const axes = reducedAxes(line, ndim);
    const along = axes.length && axes.length < ndim ? ` along ${axes.length > 1 ? "axes" : "axis"} ${axes.join(" and ")}` : "";
    return `${reductionWords[rule]} of ${countOf(n, "element")} of ${name(first)}${along}.`;
  }
  switch (rule) {
    case "matmul": {
      const [row, column] = cell.slice(-2);
      const batch = cell.length > 2 ? ` (in the matrices at ${cellText(cell.slice(0, -2))})` : "";
      return `Row ${row} of ${asNoun(name(first))} times column ${column} of ${asNoun(name(second))}${batch}: the sum of ${countOf(n, "product")}.`;
    }
    case "move":
      return moveInWords(line, terms[0].factors[0], name);
    case "scatter":
      if (n === 0) return `No element of ${name(first)} belongs here: it is 0.`;
      return n === 1 ? `One element of ${name(first)} belongs here.` : `The sum of the ${n} elements of ${name(first)} that belong here.`;
    case "add":
      if (n === 1) return "One contribution arrived, and it is the whole gradient.";
      return `The sum of ${countOf(n, "contribution")}: this tensor is used more than once.`;
    case "elementwise":
      if (line.attrs.formula === "a") return `${capital(name(first))}, passed on unchanged.`;
      return elementInWords(line, formulaWith(line, name), found);
    case "einsum":
      return `The sum of ${countOf(n, "product")}: ${line.attrs.letters.join(", ")} to ${line.attrs.out || "one number"}.`;
    case "cumsum":
      return `The sum of the ${countOf(n, "element")} of ${name(first)} up to this one.`;
    case "cumprod":
      return `The product of the ${countOf(n, "element")} of ${name(first)} up to this one.`;
    case "cross":
      return `A component of the vector product of ${name(first)} and ${name(second)}: two products, one subtracted.`;
    case "linspace":
      return `On the way from ${name(first)} to ${name(second)}.`;
    case "unmapped":
      return `${line.op} moved the elements of ${name(first)}; in a graph of this size the page does not hold from where to where.`;
    case "hook":
      return "A hook replaced the gradient: the sum of the contributions went in, and this came out.";
    case "seed":
      return "The derivative of the loss with respect to itself is 1: the backward pass starts here.";
    default:
      return `${line.op} computed this tensor as a whole: this page does not take it apart.`;
  }
}

function givenInWords(tensor) {
  if (tensor.kind === "leaf") return "A leaf: this number was given, nothing computed it.";
  if (tensor.kind === "constant") return "A constant: this number was given, and it gets no gradient.";
  return "How this number was computed is not on the page: in a graph of this size only the first call of each kind is taken apart.";
}

// "(gradient of loss) \u00d7 b = 1 \u00d7 6 = 6."
function elementInWords(line, text, { terms, cell, total, tensor }) {
  const { dtype } = tensor;
  const beside = cell.length ? ", element by element" : "";
  if (total === null) return `${text}${beside}.`;
  const numbers = formulaOf(line, terms[0].factors.map((factor) => shortest(valueOf(factor), dtype)));
  return `${text}${beside}${beside ? ": here" : " ="} ${numbers} = ${shortest(total, dtype)}.`;
}

// The formula with texts in the places of its inputs: "-2 \u00d7 (3 + 4)".
export function formulaOf(line, texts) {
  const brackets = (text) => (/^-|\s/.test(text) ? `(${text})` : text);
  return formulaWith(line, (_, i) => texts[i], brackets).replace(/^\((-[^()\s]+)\)(?= [\u00d7/+-] )/, "$1");
}

function moveInWords(line, factor, name) {
  if (factor.number !== undefined) return `The number ${number(factor.number)} is filled in here.`;
  const from = `${inBrackets(name(factor.id))}${cellText(factor.cell)}`;
  if (line.op === "Where") return `The condition chooses ${from} here.`;
  if (line.op === "BroadcastTo") return `A copy of ${from}.`;
  return `${from}, at a new place.`;
}

function capital(text) {
  return wordsGradient.test(text) ? `The ${text}` : text;
}

function asNoun(text) {
  return wordsGradient.test(text) ? `the ${text}` : /^an? /.test(text) ? text : inBrackets(text);
}

function inBrackets(text) {
  const whole = !/\s/.test(text) || /^[\w.]+\([^()]*\)$/.test(text);
  return whole ? text : `(${text})`;
}

export function countOf(n, noun) {
  return n === 1 ? `1 ${noun}` : `${n} ${noun}s`;
}

function inputInWords(graph, input) {
  return isNumber(input) ? number(readNumber(input.number)) : tensorInWords(graph, input);
}

// What to call a tensor. An inner one without a name is called after what it was made of: "g
// transposed", or "g * norm".
export function tensorInWords(graph, id, depth = 2) {
  const tensor = graph.tensors[id];
  if (tensor === undefined) return "an inner variable"; // which only Python knows
  if (tensor.kind !== "inner" || tensor.name || tensor.line === null) return titleOf(graph, id);
  const line = graph.lines[tensor.line];
  const name = (input) => (isNumber(input) ? number(readNumber(input.number)) : tensorInWords(graph, input, depth - 1));
  const kind = kindWords[line.op] ?? line.op;
  if (depth === 0 || !line.inputs.length) return kind;
  const formula = line.rule === "elementwise" && line.attrs.formula !== "a";
  const whole = line.op === "GetItem" && sizeOf(tensor.shape) === sizeOf(graph.tensors[line.inputs[0]].shape);
  if (whole) return name(line.inputs[0]); // with new axes alone
  const moved = movedWords[line.op] ?? ((x) => `${kindWords[line.op] ?? line.op} of ${x}`);
  const text = formula ? formulaWith(line, name)
    : line.op === "Where" ? line.inputs.map(name).join(" or ")
    : line.rule === "matmul" ? line.inputs.map((input) => inBrackets(name(input))).join(" @ ") : moved(name(line.inputs[0]));
  return text.length > wordsLongest ? kind : text;
}

// The formula with the names of the inputs, name(input, place), and the numbers, for its letters.
export function formulaWith(line, name, brackets = inBrackets) {
  const { formula } = line.attrs;
  const alone = /^\w+\(\w\)$/.test(formula);
  return formula.replaceAll(" * ", " \u00d7 ").replace(/\b[a-z]\b/g, (letter) => {
    if (letter in line.attrs) return number(readNumber(line.attrs[letter]));
    const place = letter.charCodeAt(0) - 97;
    const text = name(line.inputs[place], place);
    return alone ? text : brackets(text);
  });
}

// A cell by its tensor and its indices: "(n * weight)[0, 2]".
export function cellInWords(graph, id, cell) {
  const text = tensorInWords(graph, id);
  return `${wordsGradient.test(text) || /^an? /.test(text) || !cell.length ? text : inBrackets(text)}${cellText(cell)}`;
}

// How the terms and the stored number compare, in a sentence.
export function verdictInWords(found, graph) {
  const { agrees, missing, terms, way, ulps, bound, total, tensor } = found;
  const { dtype } = tensor;
  if (missing > 0) {
    const lost = terms.some((term) => term.factors.some((factor) => graph.tensors[factor.id]?.data === null));
    const which = `${missing === terms.length ? "The" : `${missing} of the`} ${countOf(terms.length, "term")} ${terms.length === 1 ? "is" : "are"} not on the page`;
    return `${which}: ${lost ? "nobody kept those numbers. Given a function that computes the loss, explore keeps all" : "of a large tensor only a grid of elements is"}.`;
  }
  if (agrees === null) return "";
  const sum = terms.length > 1 && way !== undefined;
  if (agrees && ulps === 0) {
    if (found.rule === "move" || found.line?.attrs.formula === "a") return "The same number, bit for bit.";
    if (!sum || way === null) return `Computed again in ${dtype}, it is the stored number to the last bit.`;
    const how = {
      exact: `Added exactly and rounded to ${dtype} once`,
      order: `Added from the first to the last, each step in ${dtype}`,
      fused: `Multiplied and added in one step each, in ${dtype}, as a matrix product is`,
      pairs: `Added in eight running sums, in ${dtype}, as NumPy does`,
    }[way];
    return `${how}, they give the stored number to the last bit.`;
  }
  const apart = `${countOf(ulps, `number of ${dtype}`).replace(/number of (\w+)s$/, "numbers of $1")} away`;
  if (agrees && found.kernel) {
    return `Computed again it is ${total}, ${apart}. A fast kernel computed the stored number, in another order than these lines of its definition: they differ by rounding.`;
  }
  if (agrees) {
    return `Computed again it is ${total}, ${apart}. Rounding may bring the two ${bound.toExponential(1)} apart: libraries add in other orders, and differ in the last digit of functions.`;
  }
  return `These terms give ${total}, and rounding explains no more than ${bound.toExponential(1)} of difference: the stored number is another one.`;
}
