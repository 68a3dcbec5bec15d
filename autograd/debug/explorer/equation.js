// How a single number was computed, in numbers alone: "-2 \u00d7 (1 + 3) = -8".

import { valueAt } from "./data.js";
import { shortest } from "./format.js";
import { explainCell, isNumber, valueOf } from "./rules.js";
import { formulaOf } from "./words.js";

const equationLongest = 60; // characters
const equationTerms = 6;

// null where more than single numbers went into it, and where it would be too long to read.
export function numbersOf(graph, id) {
  const { shape, data, dtype } = graph.tensors[id];
  if (shape.length > 0 || data === null) return null;
  const value = shortest(valueAt(graph, id, []), dtype);
  const text = equationOf(graph, id);
  if (text === null || text.length > equationLongest) return null;
  return text === value ? value : `${text} = ${value}`;
}

function equationOf(graph, id) {
  const { line, rule, terms, tensor, missing } = explainCell(graph, id, []);
  if (line === null || missing > 0) return null;
  if (rule === "elementwise") {
    return formulaOf(line, line.inputs.map((input, i) => equationPart(graph, input, terms[0].factors[i])));
  }
  if (rule !== "sum" || terms.length > equationTerms) return null;
  return terms.map((term) => shortest(term.value, tensor.dtype)).join(" + ").replaceAll("+ -", "- ");
}

// A number, or what an inner variable was computed from.
function equationPart(graph, input, factor) {
  const tensor = isNumber(input) ? { kind: "number", dtype: "float64" } : graph.tensors[input];
  const inner = tensor.kind === "inner" && tensor.shape.length === 0 && tensor.line !== null;
  const line = inner ? graph.lines[tensor.line] : null;
  const simple = line !== null && line.rule === "elementwise" && line.attrs.formula !== "a";
  return (simple ? equationOf(graph, input) : null) ?? shortest(valueOf(factor), tensor.dtype);
}
