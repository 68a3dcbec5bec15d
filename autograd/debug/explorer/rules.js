// Why a cell holds the number that it holds: the terms that made it, and their sum, again.
//
// A tensor was made by a line, and a line follows one of a few rules (rules.py lists them).
// `explainCell` reads the terms of one cell by that rule, computes the cell from them in the type's
// own arithmetic, and compares with the number that the engine stored.

import { broadcastCell, withIndex } from "./cells.js";
import { cellOf, flatOf, readNumber, valueAt } from "./data.js";
import { readFormula } from "./formula.js";
import { epsilonOf, isFloating, roundTo, spacingAt, sumAsStored, sumBound, sumExactly, ulpsApart } from "./precision.js";

const rulePerFunction = 4; // units in the last place by which libraries differ in exp, tanh, ...
const rulePerKernel = 64; // units in the last place of the largest number, for a whole operation
const ruleLetters = "abcdefghijklmnopqrstuvwxyz";

// What made a cell:
//   line, rule  null for a leaf or a constant: nothing made it
//   terms       [{factors, value}]: the value is the product of the factors' values, or a function
//               of them; null if one is not in the page. A factor is {id, cell, value} or {number}.
//   total       the cell computed from its terms, null if that is not possible
//   stored      the engine's number
//   way         of a sum: "exact" if rounding the exact sum gives the stored number, "order", "fused"
//               or "pairs" if adding in this way gives it, null if none of them does
//   ulps        how many numbers of the type the two are apart, null if one is unknown
//   bound       how far apart rounding may bring them
//   agrees      whether they are no farther apart, null if that cannot be said
//   kernel      whether a fast kernel may have computed the stored number, and not these lines
//   missing     how many terms are not in the page
export function explainCell(graph, id, cell) {
  const tensor = graph.tensors[id];
  const line = tensor.line === null ? null : graph.lines[tensor.line];
  const rule = line === null ? null : ruleOf(line);
  const found = { id, cell, tensor, line, rule, terms: [], stored: valueAt(graph, id, cell) };
  const read = ruleTerms[rule];
  if (read) found.terms = read(graph, line, tensor, cell);
  return ruleFinished(graph, found);
}

// The same where the line and the factors of its terms were read elsewhere: {line, stored, terms}.
export function explainGiven(graph, id, cell, { line, stored, terms }) {
  const tensor = graph.tensors[id];
  const value = (factors) => ruleOfFactors[line.rule]?.(line, factors, tensor.dtype) ?? ruleProduct(factors).value;
  const read = terms.map((factors) => ({ factors, value: value(factors) }));
  const known = ruleShifts[line?.rule]?.(read) ?? read;
  return ruleFinished(graph, { id, cell, tensor, line, rule: line?.rule ?? null, terms: known, stored });
}

function ruleFinished(graph, found) {
  const { tensor } = found;
  found.missing = found.terms.filter((term) => term.value === null).length;
  const computed = found.missing > 0 ? ruleUnknown : ruleTotal(found, tensor.dtype);
  const { total, way } = computed;
  found.kernel = graph.kernels === "any" && tensor.kind !== "inner" && found.rule !== "add" && found.rule !== "seed";
  const bound = found.kernel && total !== null ? computed.bound + ruleOfKernel(graph, tensor) : computed.bound;
  const comparable = total !== null && found.stored !== null;
  const ulps = comparable ? ulpsApart(total, found.stored, tensor.dtype) : null;
  const agrees = comparable ? ulps === 0 || Math.abs(total - found.stored) <= bound : null;
  return Object.assign(found, { total, bound, way: way ?? null, ulps, agrees });
}

// How far a fast kernel may be from its definition, whose lines these are: it adds in another order
// and has functions of its own, so rounding of the size of the largest numbers is left.
function ruleOfKernel(graph, tensor) {
  let largest = 0;
  for (const x of graph.values(tensor.id)) if (Math.abs(x) > largest && Number.isFinite(x)) largest = Math.abs(x);
  return rulePerKernel * epsilonOf(tensor.dtype) * largest;
}

// "unmapped": elements were moved, and a graph of this size does not say from where to where.
function ruleOf(line) {
  const moves = line.rule === "move" || line.rule === "scatter";
  return moves && line.attrs.map === undefined ? "unmapped" : line.rule;
}

const ruleUnknown = { total: null, bound: null };

export function isNumber(input) {
  return typeof input !== "number";
}

export function valueOf(factor) {
  return factor.number === undefined ? factor.value : factor.number;
}

// Where an element came from before it was moved: the cell behind reshapes, transposes and copies.
export function originOf(graph, id, cell) {
  for (;;) {
    const tensor = graph.tensors[id];
    const line = tensor.kind === "inner" && tensor.line !== null ? graph.lines[tensor.line] : null;
    const moves = line !== null && (ruleOf(line) === "move" || line.attrs.formula === "a");
    const factor = moves ? ruleTerms[line.rule](graph, line, tensor, cell)[0].factors[0] : {};
    if (factor.id === undefined) return { id, cell };
    [id, cell] = [factor.id, factor.cell];
  }
}

// ---- the terms ------------------------------------------------------------------------------

const ruleTerms = {
  elementwise: (graph, line, tensor, cell) => {
    const factors = line.inputs.map((input) => ruleOperand(graph, input, cell));
    if (factors.some((factor) => valueOf(factor) === null)) return [{ factors, value: null }];
    return [{ factors, value: ruleOfFactors.elementwise(line, factors, tensor.dtype) }];
  },

  matmul: (graph, line, tensor, cell) => {
    const [left, right] = line.inputs;
    const [lead, [row, column]] = [cell.slice(0, -2), cell.slice(-2)];
    const leads = [left, right].map((id) => broadcastCell(graph.tensors[id].shape.slice(0, -2), lead));
    return ruleIndices(graph.tensors[left].shape.at(-1)).map((k) =>
      ruleProduct([ruleFactor(graph, left, [...leads[0], row, k]), ruleFactor(graph, right, [...leads[1], k, column])]),
    );
  },

  sum: (graph, line, tensor, cell) => ruleReduced(graph, line, tensor, cell),

  logsumexp: (graph, line, tensor, cell) => ruleShifts.logsumexp(ruleReduced(graph, line, tensor, cell)),

  var: (graph, line, tensor, cell) => ruleShifts.var(ruleReduced(graph, line, tensor, cell)),

  cumsum: (graph, line, tensor, cell) => {
    const { axis } = line.attrs;
    return ruleIndices(cell[axis] + 1).map((i) => ruleProduct([ruleFactor(graph, line.inputs[0], withIndex(cell, axis, i))]));
  },

  einsum: (graph, line, tensor, cell) => {
    const { letters, out } = line.attrs;
    const lengths = {};
    letters.forEach((word, i) =>
      [...word].forEach((letter, axis) => {
        lengths[letter] = Math.max(lengths[letter] ?? 1, graph.tensors[line.inputs[i]].shape[axis]);
      }),
    );
    let places = [Object.fromEntries([...out].map((letter, axis) => [letter, cell[axis]]))];
    for (const letter of Object.keys(lengths).filter((l) => !out.includes(l))) {
      places = places.flatMap((place) => ruleIndices(lengths[letter]).map((i) => ({ ...place, [letter]: i })));
    }
    return places.map((place) =>
      ruleProduct(
        letters.map((word, i) => {
          const { shape } = graph.tensors[line.inputs[i]];
          return ruleFactor(graph, line.inputs[i], [...word].map((l, axis) => (shape[axis] === 1 ? 0 : place[l])));
        }),
      ),
    );
  },

  // (a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0) along the last axis
  cross: (graph, line, tensor, cell) => {
    const at = cell.at(-1);
    const [next, last] = [(at + 1) % 3, (at + 2) % 3];
    const read = (input, i) => ruleOperand(graph, input, withIndex(cell, cell.length - 1, i));
    const [a, b] = line.inputs;
    return [ruleProduct([read(a, next), read(b, last)]), ruleProduct([{ number: -1 }, read(a, last), read(b, next)])];
  },

  // start (1 - t) + stop t, for t evenly spaced along an axis
  linspace: (graph, line, tensor, cell) => {
    const { axis, steps } = line.attrs;
    const t = cell[axis] / Math.max(steps, 1);
    const rest = cell.filter((_, i) => i !== axis);
    const [start, stop] = line.inputs.map((input) => ruleOperand(graph, input, rest));
    return [ruleProduct([start, { number: 1 - t }]), ruleProduct([stop, { number: t }])];
  },

  move: (graph, line, tensor, cell) => {
    const at = flatOf(cell, tensor.shape);
    const from = mapOf(graph, line, "map")[at];
    if (from < 0) return [ruleProduct([{ number: readNumber(line.attrs.constant ?? 0) }])];
    const input = line.inputs[line.attrs.input === undefined ? 0 : mapOf(graph, line, "input")[at]];
    if (isNumber(input)) return [ruleProduct([{ number: ruleNumber(readNumber(input.number), tensor.dtype) }])];
    return [ruleProduct([ruleFactor(graph, input, cellOf(from, graph.tensors[input].shape))])];
  },

  scatter: (graph, line, tensor, cell) => {
    const [source] = line.inputs;
    const { shape } = graph.tensors[source];
    const places = ruleArrivals(graph, line).get(flatOf(cell, tensor.shape)) ?? [];
    return places.map((from) => ruleProduct([ruleFactor(graph, source, cellOf(from, shape))]));
  },

  add: (graph, line, tensor, cell) => line.inputs.map((input) => ruleProduct([ruleOperand(graph, input, cell)])),
};
// A term that is a function of its factors, and not their product.
const ruleOfFactors = {
  elementwise: (line, factors, dtype) =>
    roundTo(readFormula(line.attrs.formula).evaluate(formulaValues(line, factors, dtype), dtype), dtype),
};

// Terms that depend on all others: exp(x - max), (x - mean)^2.
const ruleShifts = {
  logsumexp: (terms) => {
    const top = topOf(terms);
    return terms.map((term) => ({ ...term, value: term.value === null ? null : Math.exp(term.value - top) }));
  },
  var: (terms) => {
    const mean = sumExactly(terms.map((term) => term.value)) / terms.length;
    return terms.map((term) => ({ ...term, value: term.value === null ? null : (term.value - mean) ** 2 }));
  },
};
ruleShifts.std = ruleShifts.var;
for (const rule of ["mean", "max", "min", "prod"]) ruleTerms[rule] = ruleTerms.sum;
ruleTerms.std = ruleTerms.var;
ruleTerms.cumprod = ruleTerms.cumsum;

function ruleIndices(n) {
  return Array.from({ length: n }, (_, i) => i);
}

function ruleFactor(graph, id, cell) {
  return { id, cell, value: valueAt(graph, id, cell) };
}

// An input at the cell that broadcasting reads; a number as it is.
function ruleOperand(graph, input, cell) {
  return isNumber(input) ? { number: readNumber(input.number) } : ruleFactor(graph, input, broadcastCell(graph.tensors[input].shape, cell));
}

function ruleProduct(factors) {
  const values = factors.map(valueOf);
  return { factors, value: values.includes(null) ? null : values.reduce((a, b) => a * b) };
}

function ruleNumber(x, dtype) {
  return isFloating(dtype) ? roundTo(x, dtype) : x;
}

// The value of each letter of a line's formula: its inputs, and the numbers among its attributes.
function formulaValues(line, factors, dtype) {
  const values = {};
  for (const [name, x] of Object.entries(line.attrs)) {
    if (name.length === 1) values[name] = ruleNumber(readNumber(x), dtype);
  }
  factors.forEach((factor, i) => {
    values[ruleLetters[i]] = factor.number === undefined ? factor.value : ruleNumber(factor.number, dtype);
  });
  return values;
}

// The axes that a line reduces away, from 0 on.
export function reducedAxes(line, ndim) {
  return line.attrs.axes ?? ruleIndices(ndim);
}

// The elements of input 0 that a reduction brings together in one cell of its output.
function ruleReduced(graph, line, tensor, cell) {
  const [source] = line.inputs;
  const { shape } = graph.tensors[source];
  const axes = reducedAxes(line, shape.length);
  const kept = cell.slice();
  const first = shape.map((_, axis) => {
    const index = line.attrs.keepdims ? cell[axis] : axes.includes(axis) ? 0 : kept.shift();
    return axes.includes(axis) ? 0 : index;
  });
  let cells = [first];
  for (const axis of axes) cells = cells.flatMap((c) => ruleIndices(shape[axis]).map((i) => withIndex(c, axis, i)));
  return cells.map((c) => ruleProduct([ruleFactor(graph, source, c)]));
}

export function mapOf(graph, line, name) {
  return graph.page.array(line.attrs[name]).data;
}

const ruleArrivalsOf = new WeakMap(); // line -> Map from a cell of the output to the elements added there

function ruleArrivals(graph, line) {
  if (!ruleArrivalsOf.has(line)) {
    const found = new Map();
    const sources = line.attrs.from === undefined ? null : mapOf(graph, line, "from");
    mapOf(graph, line, "map").forEach((to, i) => {
      if (!found.has(to)) found.set(to, []);
      found.get(to).push(sources === null ? i : sources[i]);
    });
    ruleArrivalsOf.set(line, found);
  }
  return ruleArrivalsOf.get(line);
}

export function topOf(terms) {
  const top = Math.max(...terms.map((term) => term.factors[0].value));
  return Number.isFinite(top) ? top : 0;
}

// ---- from the terms to the cell -------------------------------------------------------------

const ruleProducts = ["prod", "cumprod"];

// The cell from its terms: `total`, and `bound`, how far from it rounding may bring the engine's.
function ruleTotal({ rule, line, terms, stored }, dtype) {
  if (rule === "seed") return { total: 1, bound: 0 };
  if (!(rule in ruleTerms)) return ruleUnknown;
  const values = terms.map((term) => term.value);
  const n = values.length;
  if (rule === "elementwise") {
    const { functions } = readFormula(line.attrs.formula);
    return { total: values[0], bound: functions * rulePerFunction * spacingAt(values[0], dtype) };
  }
  if (rule === "move") return { total: values[0], bound: 0 };
  if (rule === "max" || rule === "min") return n ? { total: Math[rule](...values), bound: 0 } : ruleUnknown;
  if (ruleProducts.includes(rule)) {
    const total = values.reduce((a, b) => a * b, 1);
    return { total: roundTo(total, dtype), bound: n * epsilonOf(dtype) * Math.abs(total) + spacingAt(0, dtype) };
  }
  const bound = sumBound(values, dtype);
  if (rule === "mean") return { ...sumAsStored(values, stored, dtype, n), bound: bound / n };
  const sum = sumExactly(values);
  if (rule === "var" || rule === "std") return ruleSpread(line, terms, sum, dtype);
  if (rule === "logsumexp") {
    const total = Math.log(sum) + topOf(terms);
    return { total: roundTo(total, dtype), bound: (n + rulePerFunction) * epsilonOf(dtype) * (1 + Math.abs(total)) };
  }
  return { ...sumAsStored(values, stored, dtype), bound };
}

function ruleSpread(line, terms, squares, dtype) {
  const n = terms.length;
  const variance = squares / (n - line.attrs.ddof);
  const largest = Math.max(...terms.map((term) => Math.abs(term.factors[0].value)));
  const deviation = (n + rulePerFunction) * epsilonOf(dtype) * largest; // of each x from the mean
  const root = Math.sqrt(variance);
  if (line.rule === "std") return { total: roundTo(root, dtype), bound: deviation + n * epsilonOf(dtype) * root };
  return { total: roundTo(variance, dtype), bound: 2 * root * deviation + deviation ** 2 + n * epsilonOf(dtype) * variance };
}
