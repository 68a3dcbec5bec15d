// Questions about what a step of the backward pass will hand on, and the answers. No DOM.

import { cellText } from "./cells.js";
import { cellOf } from "./data.js";
import { number, shapeText } from "./format.js";
import { explainCell, valueOf } from "./rules.js";
import { titleOf } from "./state.js";
import { countOf, ruleInWords } from "./words.js";

export const PREDICT_KINDS = ["shape", "sign", "value"];
const PREDICT_TERMS = 6; // a sum of more terms is not asked for by heart

// The question before step n, or null where nothing is handed on:
//   kind       "shape", "sign" or "value"
//   text       the question
//   given      what is needed for the answer: [{name, text}]
//   choices    the texts to choose from, null where a number is typed
//   answer     the text of the right choice, or the number
//   why        the rule behind it, in sentences
//   tensor     the id of the contribution that is asked for, and its cell where one is asked for
// `wanted` is one of PREDICT_KINDS, or anything else for all of them in turn.
export function predictQuestion(graph, n, wanted = "") {
  const step = graph.steps[n];
  if (!step || step.phase !== "backward" || !step.contributions.length) return null;
  const asked = step.contributions[n % step.contributions.length];
  const order = PREDICT_KINDS.includes(wanted) ? [wanted] : predictTurn(n);
  for (const kind of [...order, "shape"]) {
    const question = { shape: predictShape, sign: predictSign, value: predictValue }[kind](graph, step, asked);
    if (question) return { ...question, kind, tensor: asked.tensor };
  }
  return null;
}

function predictTurn(n) {
  return PREDICT_KINDS.map((_, i) => PREDICT_KINDS[(n + i) % PREDICT_KINDS.length]);
}

// What is known before the step runs: the operation, its inputs and the gradient of its output.
function predictScene(graph, step, asked) {
  const name = graph.tensors[asked.to].key, out = graph.tensors[step.out];
  const inputs = step.inputs.map((input) => (typeof input === "number" ? graph.tensors[input] : null));
  const shown = (tensor) => tensor.key + (tensor.shape.length ? ` ${shapeText(tensor.shape)}` : "");
  const names = inputs.map((input, i) => (input ? shown(input) : String(step.inputs[i].number)));
  return { name, out, inputs, forward: `${shown(out)} = ${step.op}(${names.join(", ")})` };
}

// Which of several inputs with the same name is meant.
function predictWhich(step, asked) {
  const same = step.contributions.filter(({ to }) => to === asked.to).length > 1;
  return same ? ` as its ${["first", "second", "third"][asked.input] ?? `${asked.input + 1}th`} input` : "";
}

// --- shape ----------------------------------------------------------------------------------------------

function predictShape(graph, step, asked) {
  const { name, out, inputs, forward } = predictScene(graph, step, asked);
  const { shape } = graph.tensors[asked.to];
  const wrong = predictWrongShapes(shape, out.shape, inputs.map((input) => (input ? input.shape : null)));
  if (!wrong.length) return null;
  const choices = [shapeText(shape), ...wrong.slice(0, 3).map(shapeText)];
  predictShuffle(choices, step.n);
  const broadcast = inputs[asked.input] && graph.lines[graph.tensors[asked.tensor].line ?? -1];
  const summed = broadcast && broadcast.rule === "sum" && typeof broadcast.inputs[0] === "number"
    ? ` It was used at several positions, and its gradient is the sum over them: from `
      + `${shapeText(graph.tensors[broadcast.inputs[0]].shape)} to ${shapeText(shape)}.` : "";
  return {
    text: `Which shape has the gradient that ${step.op} hands on to ${name}${predictWhich(step, asked)}?`,
    given: [{ name: "forward", text: forward }, { name: `gradient of ${out.key}`, text: shapeText(out.shape) }],
    choices, answer: shapeText(shape), cell: null,
    why: `A gradient has one number for each number of its tensor: ${name} has the shape ${shapeText(shape)}, and so has its gradient.${summed}`,
  };
}

// Shapes that one might think of: the output's (not summed over what was broadcast), the transpose,
// another input's, and one with an axis summed away or kept.
export function predictWrongShapes(shape, out, inputs) {
  const transposed = shape.length > 1 ? [...shape.slice(0, -2), shape.at(-1), shape.at(-2)] : [1, ...shape];
  const candidates = [out, transposed, ...inputs, shape.slice(1), shape.slice(0, -1), [...shape, 1], [...shape.slice(0, -1), 1]];
  const taken = new Set([shapeText(shape)]), wrong = [];
  for (const candidate of candidates) {
    if (!candidate || taken.has(shapeText(candidate))) continue;
    taken.add(shapeText(candidate));
    wrong.push(candidate);
  }
  return wrong;
}

// The same order for the same step, in which no place is the right one more often than others.
function predictShuffle(list, seed) {
  let state = (seed + 1) * 2654435761 % 4294967296;
  for (let i = list.length - 1; i > 0; i -= 1) {
    state = (state * 1664525 + 1013904223) % 4294967296;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
}

// --- sign and value of one element ---------------------------------------------------------------------------

function predictSign(graph, step, asked) {
  const values = graph.values(asked.tensor);
  if (values === null) return null;
  const cell = predictCell(graph, asked.tensor, values, step.n);
  const found = explainCell(graph, asked.tensor, cell);
  const { name, out, forward } = predictScene(graph, step, asked);
  const x = found.stored;
  const given = predictGiven(graph, step, found, out);
  if (x === null || Number.isNaN(x) || !given.length) return null; // nothing to tell it from
  return {
    text: `Which sign has the gradient that ${step.op} hands on to ${name}${cellText(cell)}${predictWhich(step, asked)}?`,
    given: [{ name: "forward", text: forward }, ...given],
    choices: ["positive", "negative", "zero"], answer: x > 0 ? "positive" : x < 0 ? "negative" : "zero", cell,
    why: `It is ${number(x)}. ${predictWhy(graph, found)}`,
  };
}

function predictValue(graph, step, asked) {
  const values = graph.values(asked.tensor);
  if (values === null) return null;
  const cell = predictCell(graph, asked.tensor, values, step.n);
  const found = explainCell(graph, asked.tensor, cell);
  const simple = found.agrees && found.stored !== 0 && Number.isFinite(found.stored)
    && found.terms.length > 0 && found.terms.length <= PREDICT_TERMS
    && found.terms.every((term) => term.factors.every((factor) => factor.number !== undefined || predictKnown(graph, step, factor.id)));
  if (!simple) return null;
  const { name, out, forward } = predictScene(graph, step, asked);
  return {
    text: `Which gradient does ${step.op} hand on to ${name}${cellText(cell)}${predictWhich(step, asked)}? Two digits are enough.`,
    given: [{ name: "forward", text: forward }, ...predictGiven(graph, step, found, out)],
    choices: null, answer: found.stored, cell, why: predictWhy(graph, found),
  };
}

// Whether a tensor is known before the step: a value of the forward pass, or the gradient that came in.
function predictKnown(graph, step, id) {
  const tensor = graph.tensors[id];
  return tensor.kind === "gradient" ? tensor.of === step.out : ["leaf", "constant", "computed"].includes(tensor.kind);
}

// One of the large elements, another one in each step.
function predictCell(graph, id, values, seed) {
  const tensor = graph.tensors[id];
  let most = 0;
  for (const x of values) if (Math.abs(x) > most && Number.isFinite(x)) most = Math.abs(x);
  const large = [];
  for (let i = 0; i < values.length; i += 1) if (Math.abs(values[i]) >= most / 4) large.push(i);
  const flat = large.length ? large[(seed * 7919) % large.length] : 0;
  if (tensor.sample === null) return cellOf(flat, tensor.shape);
  return cellOf(flat, tensor.sample.map((axis) => axis.length)).map((place, axis) => tensor.sample[axis][place]);
}

// The numbers that the answer follows from, as far as they are known before; and the element of the
// gradient that came in, if there is one at the same place.
function predictGiven(graph, step, found, out) {
  const given = new Map();
  const add = ({ id, cell, value }) => given.set(`${titleOf(graph, id)}${cellText(cell)}`, number(value));
  for (const { factors } of found.terms.slice(0, PREDICT_TERMS))
    for (const factor of factors)
      if (factor.number === undefined && predictKnown(graph, step, factor.id) && factor.value !== null) add(factor);
  const same = out.grad !== null && String(out.shape) === String(found.tensor.shape);
  if (same) add({ id: out.grad, cell: found.cell, value: explainCell(graph, out.grad, found.cell).stored });
  return [...given].map(([name, text]) => ({ name, text }));
}

function predictWhy(graph, found) {
  const words = ruleInWords(graph, found);
  if (!found.terms.length || found.terms.length > PREDICT_TERMS) return words;
  const factor = (x) => { const value = number(valueOf(x)); return value.startsWith("-") ? `(${value})` : value; };
  const products = found.rule === "matmul" || (found.line && found.line.attrs.formula === "a * b");
  const sums = ["sum", "add", "scatter", "matmul"].includes(found.rule);
  if (!products && !(sums && found.terms.length > 1)) return words;
  const terms = found.terms.map((term) => term.factors.map(factor).join(" * "));
  return `${words} Here: ${terms.join(" + ")} = ${number(found.stored)}.`;
}

// --- answers ------------------------------------------------------------------------------------------------

// null where the text is no number; otherwise whether it agrees with x in two digits.
export function predictAgrees(text, x) {
  const typed = text.trim().replace(",", ".").replace("\u2212", "-");
  if (typed === "" || !Number.isFinite(Number(typed))) return null;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(x))) - 1); // of the second digit
  return Math.abs(Number(typed) - x) <= unit * (0.5 + 1e-9) || Number(Number(typed).toPrecision(2)) === Number(x.toPrecision(2));
}

export function predictScoreText({ right, asked }) {
  return asked === 0 ? "no answer yet" : `${right} of ${countOf(asked, "answer")} right`;
}
