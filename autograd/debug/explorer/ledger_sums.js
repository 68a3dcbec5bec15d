// The account of a gradient: its contributions in the order of their arrival, and their sums. No DOM.

import { cellOf, flatOf } from "./data.js";
import { roundTo, ulpsApart } from "./precision.js";
import { explainCell, mapOf, reducedAxes } from "./rules.js";

const ledgerAccountsOf = new WeakMap();

// For each tensor that receives contributions, by its id: what arrived, in the order of the pass.
export function ledgerAccounts(graph) {
  if (!ledgerAccountsOf.has(graph)) {
    const accounts = new Map();
    for (const step of graph.steps) {
      for (const { to, input, tensor } of step.contributions ?? []) {
        if (!accounts.has(to)) accounts.set(to, []);
        accounts.get(to).push({ step: step.n, op: step.op, name: step.name, input, tensor, site: step.site ?? null });
      }
    }
    ledgerAccountsOf.set(graph, accounts);
  }
  return ledgerAccountsOf.get(graph);
}

// The ids of the tensors that were used more than once, in the order of the pass.
export function ledgerUsedTwice(graph) {
  return [...ledgerAccounts(graph)].filter(([, entries]) => entries.length > 1).map(([id]) => id);
}

// The embedded elements of each contribution, and the sum after each one, in the tensor's own type;
// with `assigns`, each takes the place of what was there. Null where a contribution is not known.
export function ledgerSums(graph, id, assigns = false) {
  const { dtype } = graph.tensors[id];
  const parts = ledgerAccounts(graph).get(id).map(({ tensor }) => graph.values(tensor));
  if (parts.some((part) => part === null)) return null;
  const sums = [];
  let before = null;
  for (const part of parts) {
    const sum = new Float64Array(part.length);
    for (let i = 0; i < part.length; i++)
      sum[i] = before === null || assigns ? part[i] : roundTo(before[i] + part[i], dtype);
    sums.push(sum);
    before = sum;
  }
  return { parts, sums };
}

// How an array compares with the engine's: elements, how many are equal, the largest distance.
export function ledgerComparison(got, expected, dtype) {
  const found = { elements: got.length, equal: 0, worst: -1, ulps: 0, off: 0, length: 0, right: 0 };
  let size = -1;
  for (let i = 0; i < got.length; i++) {
    const off = ledgerOff(got[i], expected[i]);
    if (off === 0) found.equal++;
    found.length += off * off;
    found.right += expected[i] * expected[i];
    const ulps = off === 0 ? 0 : ulpsApart(got[i], expected[i], dtype);
    if (ulps > found.ulps) found.ulps = ulps;
    const distance = Number.isNaN(off) ? Infinity : Math.abs(off);
    if (distance > size) [size, found.worst, found.off] = [distance, i, off];
  }
  found.length = Math.sqrt(found.length);
  found.right = Math.sqrt(found.right);
  return found;
}

export function ledgerOff(got, expected) {
  return got === expected || (Number.isNaN(got) && Number.isNaN(expected)) ? 0 : got - expected;
}

export function ledgerLength(values) {
  let sum = 0;
  for (const x of values) sum += x * x;
  return Math.sqrt(sum);
}

// The embedded grid of a tensor, and the cell of one of its elements.
export function ledgerCell(tensor, flat) {
  if (tensor.sample === null) return cellOf(flat, tensor.shape);
  const places = cellOf(flat, tensor.sample.map((axis) => axis.length));
  return places.map((place, axis) => tensor.sample[axis][place]);
}

// Where a cell is among the embedded elements; -1 if it is not.
export function ledgerFlat(tensor, cell) {
  if (tensor.sample === null) return flatOf(cell, tensor.shape);
  const places = cell.map((index, axis) => tensor.sample[axis].indexOf(index));
  return places.includes(-1) ? -1 : flatOf(places, tensor.sample.map((axis) => axis.length));
}

// If a contribution is itself a sum (over the rows that a bias was added to), the line of that sum,
// the tensor that it sums and the number of terms; otherwise null.
export function ledgerInnerSum(graph, id) {
  for (let hops = 0; hops < 4; hops++) {
    const line = graph.tensors[id].line === null ? null : graph.lines[graph.tensors[id].line];
    if (line === null) return null;
    if (line.rule === "sum") {
      const from = graph.tensors[line.inputs[0]];
      const count = reducedAxes(line, from.shape.length).reduce((n, axis) => n * from.shape[axis], 1);
      return count > 1 ? { line, from, count } : null;
    }
    const same = line.op === "Reshape" || (line.rule === "elementwise" && line.attrs.formula === "a");
    if (!same || typeof line.inputs[0] !== "number") return null;
    id = line.inputs[0];
  }
  return null;
}

// The terms of such a sum for one cell of the contribution, whose shape is given: [{cell, value}].
export function ledgerTerms(graph, { line }, cell, shape) {
  const same = cellOf(flatOf(cell, shape), graph.tensors[line.out].shape);  // reshaped at most
  return explainCell(graph, line.out, same).terms.map(({ factors, value }) => ({ cell: factors[0].cell, value }));
}

// If a contribution was scattered into rows of a table: which rows of the gradient that came in
// (numbered through) were added into each row; only the rows that got any. Null otherwise.
export function ledgerRows(graph, id) {
  const line = graph.tensors[id].line === null ? null : graph.lines[graph.tensors[id].line];
  const { shape } = graph.tensors[id];
  if (line === null || line.rule !== "scatter" || shape.length !== 2 || !line.attrs.map) return null;
  const map = mapOf(graph, line, "map"), width = shape[1], rows = new Map();
  if (line.attrs.from !== undefined || map.some((to, i) => to % width !== i % width)) return null;
  for (let i = 0; i < map.length; i += width) {
    const row = Math.floor(map[i] / width);
    if (!rows.has(row)) rows.set(row, []);
    rows.get(row).push(i / width);
  }
  return [...rows].map(([row, from]) => ({ row, from })).sort((a, b) => b.from.length - a.from.length || a.row - b.row);
}
