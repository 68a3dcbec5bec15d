// The tables of the proof, as rows.

import { cellOf } from "./data.js";

const proofTables = new WeakMap(); // graph -> its tables, decoded

// The tables of a graph: {checks: [row], curves: [row], byTensor: Map id -> [check]}.
export function proofOf(graph) {
  if (proofTables.has(graph)) return proofTables.get(graph);
  const column = (reference) => graph.page.array(reference).data;
  const { checks, curves, verdicts } = graph.proof;
  const rows = proofRows(checks, column).map((row) => ({ ...row, verdict: verdicts[row.verdict] }));
  const steps = column(curves.steps);
  const [slopes32, slopes64] = [column(curves.slopes32), column(curves.slopes64)];
  const { steps: _, slopes32: __, slopes64: ___, ...columns } = curves;
  const drawn = proofRows(columns, column).map((row, i) => ({
    ...row, steps,
    slopes32: slopes32.subarray(i * steps.length, (i + 1) * steps.length),
    slopes64: slopes64.subarray(i * steps.length, (i + 1) * steps.length),
  }));
  const byTensor = new Map();
  for (const row of rows) {
    if (!byTensor.has(row.tensor)) byTensor.set(row.tensor, []);
    byTensor.get(row.tensor).push(row);
  }
  const found = { checks: rows, curves: drawn, byTensor };
  proofTables.set(graph, found);
  return found;
}

function proofRows(columns, column) {
  const names = Object.keys(columns);
  const data = names.map((name) => column(columns[name]));
  return Array.from({ length: data[0].length }, (_, i) =>
    Object.fromEntries(names.map((name, k) => [name, data[k][i]])));
}

// The part of the tolerance that is relative to the largest entry.
export function proofRelativePart(check) {
  return check.tolerance - check.noise - check.rounding;
}

// |g - D|, and the same relative to the larger of the two.
export function proofGap(check) {
  const gap = Math.abs(check.gradient - check.difference);
  const size = Math.max(Math.abs(check.gradient), Math.abs(check.difference));
  return { gap, relative: size > 0 ? gap / size : 0 };
}

// A line for each tensor: the number of checks, the worst gap as a share of its tolerance.
export function proofOverview(graph) {
  return [...proofOf(graph).byTensor].map(([tensor, checks]) => {
    const worst = Math.max(...checks.map((c) => proofGap(c).gap / c.tolerance));
    const wrong = checks.filter((c) => c.verdict === "differs").length;
    const open = checks.filter((c) => c.verdict === "not measured").length;
    return { tensor, count: checks.length, worst, wrong, open };
  });
}

// An element in a sentence: h.0.attn.c_attn[3, 5].
export function proofName(tensor, element) {
  const cell = cellOf(element, tensor.shape);
  return cell.length === 0 ? tensor.key : `${tensor.key}[${cell.join(", ")}]`;
}
