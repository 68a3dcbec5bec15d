// A rule in words, for one cell: "Row 2 of g times column 5 of W: the sum of 16 products."

import { cellText } from "./cells.js";
import { readNumber } from "./data.js";
import { isNumber, reducedAxes } from "./rules.js";
import { number } from "./format.js";
import { titleOf } from "./state.js";

const reductionWords = {
  sum: "The sum", mean: "The mean", max: "The largest", min: "The smallest", prod: "The product",
  var: "The variance", std: "The standard deviation", logsumexp: "The logarithm of the sum of exponentials",
};

// `found` is what explainCell returned.
export function ruleInWords(graph, found) {
  const { line, rule, terms, cell, tensor } = found;
  if (line === null) return givenInWords(tensor);
  const n = terms.length;
  const name = (input) => (isNumber(input) ? number(readNumber(input.number)) : titleOf(graph, input));
  const [first, second] = line.inputs;
  if (rule in reductionWords) {
    const { shape } = graph.tensors[first];
    const axes = reducedAxes(line, shape.length);
    const along = axes.length && axes.length < shape.length ? ` along ${axes.length > 1 ? "axes" : "axis"} ${axes.join(" and ")}` : "";
    return `${reductionWords[rule]} of ${countOf(n, "element")} of ${name(first)}${along}.`;
  }
  switch (rule) {
    case "matmul": {
      const [row, column] = cell.slice(-2);
      const batch = cell.length > 2 ? ` (in the matrices at ${cellText(cell.slice(0, -2))})` : "";
      return `Row ${row} of ${name(first)} times column ${column} of ${name(second)}${batch}: the sum of ${countOf(n, "product")}.`;
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
      if (line.attrs.formula === "a") return `The element of ${name(first)} at the same place.`;
      return `${formulaWith(line, name)}, element by element.`;
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
    case "seed":
      return "The derivative of the loss with respect to itself is 1: the backward pass starts here.";
    default:
      return `${line.op} computed this tensor as a whole: this page does not take it apart.`;
  }
}

function givenInWords(tensor) {
  if (tensor.kind === "leaf") return "A leaf: this number was given, nothing computed it.";
  if (tensor.kind === "constant") return "A constant: this number was given, and it gets no gradient.";
  return "How this number was computed is not on the page: only the first call of each kind is taken apart in a graph of this size.";
}

function moveInWords(line, factor, name) {
  if (factor.number !== undefined) return `The number ${number(factor.number)} is filled in here.`;
  const from = `${name(factor.id)}${cellText(factor.cell)}`;
  if (line.op === "Where") return `The condition chooses ${from} here.`;
  if (line.op === "BroadcastTo") return `A copy of ${from}.`;
  return `${from}, at a new place.`;
}

export function countOf(n, noun) {
  return n === 1 ? `1 ${noun}` : `${n} ${noun}s`;
}

// The formula with the names of the inputs, and the numbers, in the places of its letters.
export function formulaWith(line, name) {
  const compound = line.inputs.length > 1 || line.attrs.formula.includes("(") === false;
  return line.attrs.formula.replace(/\b[a-z]\b/g, (letter) => {
    if (letter in line.attrs) return number(readNumber(line.attrs[letter]));
    const text = name(line.inputs[letter.charCodeAt(0) - 97]);
    return compound && text.includes(" ") ? `(${text})` : text;
  });
}
