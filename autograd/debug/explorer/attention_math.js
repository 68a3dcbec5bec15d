// The parts of an attention's backward, found among its lines, and what must hold for them.

import { valueAt } from "./data.js";
import { epsilonOf, sumExactly } from "./precision.js";

export const ATTENTION_OPS = ["CausalAttention", "GroupedQueryAttention"];

// The backward steps of attention operations whose lines are in the page, in the order of forward.
export function attentionSteps(graph) {
  return graph.steps.filter((step) => step.phase === "backward" && ATTENTION_OPS.includes(step.op) &&
    attentionParts(graph, step) !== null).reverse();
}

// The tensors of one backward step, by name, null where the lines are not those that are expected.
// Each line is known by the statement that it comes from (line.text).
export function attentionParts(graph, step) {
  const lines = step.lines.map((id) => graph.lines[id]);
  const product = (pattern) => lines.find((line) => line.rule === "matmul" && pattern.test(line.text ?? ""));
  const from = (id) => graph.tensors[id].line === null ? null : graph.lines[graph.tensors[id].line];
  const turned = (id) => from(id)?.op === "Transpose" ? from(id).inputs[0] : null;
  const [scores, gV, gP, gQ, gK] = [/^(S|scores) = /, /^g_[Vv] = /, /^g_[Pp] = /, /^g_[Qq] = /, /^g_[Kk] = /].map(product);
  const masked = lines.find((line) => line.op === "Where" && /^(S|scores) = /.test(line.text ?? ""));
  if (!scores || !gV || !gP || !gQ || !gK || !masked) return null;
  const P = turned(gV.inputs[0]);
  const slope = lines.find((line) => line.op === "Multiply" && line.inputs.includes(P) &&
    line.inputs.some((id) => typeof id === "number" && from(id)?.op === "Subtract" && from(id).inputs[0] === gP.out));
  if (P === null || !slope) return null;
  const difference = from(slope.inputs.find((id) => id !== P));
  const r = difference.inputs[1], along = from(from(r).inputs[0]);
  const parts = {
    Q: scores.inputs[0], K: turned(scores.inputs[1]), V: turned(gP.inputs[1]),
    S: masked.out, P, Y: along.inputs.find((id) => id !== gV.inputs[1]),
    dO: gV.inputs[1], dV: gV.out, dP: gP.out, r, dS: slope.out, scaled: gQ.inputs[0],
    dQ: gQ.out, dK: gK.out,
  };
  return Object.values(parts).every((id) => typeof id === "number") ? parts : null;
}

// What the scores are multiplied by, and whether that is 1/√D and nothing else happens to them.
export function attentionScale(graph, parts) {
  const line = (id) => graph.lines[graph.tensors[id].line];
  const product = line(line(parts.S).inputs.find((id) => typeof id === "number"));
  const scale = product.op === "Multiply" ? product.inputs.find((x) => typeof x !== "number")?.number : undefined;
  const plain = scale !== undefined && Math.abs(scale * Math.sqrt(graph.tensors[parts.Q].shape.at(-1)) - 1) < 1e-6;
  return { scale, plain };
}

// How many heads there are, and the leading indices of a tensor for one of them: heads of the keys
// and values may be fewer, and serve several heads of the queries.
export function attentionHeads(graph, parts) {
  const lead = graph.tensors[parts.P].shape.slice(0, -2);
  return { batches: lead[0], heads: lead.slice(1).reduce((a, b) => a * b, 1), lead };
}

export function attentionLead(graph, parts, id, batch, head) {
  const { lead } = attentionHeads(graph, parts);
  const places = [batch];
  for (let axis = lead.length - 1; axis >= 1; axis--) {
    places.splice(1, 0, head % lead[axis]);
    head = Math.floor(head / lead[axis]);
  }
  const shape = graph.tensors[id].shape.slice(0, -2);
  return places.map((place, axis) => (shape[axis] === 1 ? 0 : place));
}

// One head of a tensor: {id, shape: [rows, columns], at(row, column), cell(row, column)}.
export function attentionMatrix(graph, parts, name, batch, head) {
  const id = parts[name], lead = attentionLead(graph, parts, id, batch, head);
  const cell = (row, column) => [...lead, row, column];
  return { name, id, shape: graph.tensors[id].shape.slice(-2), cell, at: (row, column) => valueAt(graph, id, cell(row, column)) };
}

// Whether query t may not look at key s: the masked score is minus infinity.
export function attentionMasked(scores, t, s) {
  return scores.at(t, s) === -Infinity;
}

// Both ways to r_t, the row sum of dP P: along the channels of one position, and along the keys.
export function attentionBothWays(get, t) {
  const channels = attentionIndices(get("dO").shape[1]), keys = attentionIndices(get("P").shape[1]);
  return {
    stored: get("r").at(t, 0),
    channels: channels.map((d) => [get("dO").at(t, d), get("Y").at(t, d)]),
    keys: keys.map((u) => [get("dP").at(t, u), get("P").at(t, u)]),
  };
}

// The sum of row t of dS, which is zero but for rounding, and how far rounding may bring it:
//
//   sum_s dS = sum_s P dP - r sum_s P, and without rounding the sum of P is 1, and r = sum_s P dP.
//
// Every term is at most A = sum_s P_s sum_d |dO_d| |V_sd|. To form dP takes N roundings (N channels),
// r as many, O and the sum of P one for each of the M keys, and the rest a few: each changes its
// result by at most eps/2 of its size, so 2 (N + M + 8) eps/2 A cannot be passed.
export function attentionRowSum(get, t, dtype) {
  const [keys, channels] = [attentionIndices(get("dS").shape[1]), attentionIndices(get("V").shape[1])];
  const row = keys.map((s) => get("dS").at(t, s));
  if (row.includes(null)) return null;
  const sum = sumExactly(row);
  const size = sumExactly(keys.map((s) => {
    const p = get("P").at(t, s);
    return p === 0 ? 0 : p * channels.reduce((a, d) => a + Math.abs(get("dO").at(t, d) * get("V").at(s, d)), 0);
  }));
  const bound = (channels.length + keys.length + 8) * epsilonOf(dtype) * size;
  return { sum, size, bound, holds: Math.abs(sum) <= bound };
}

// What an element of a matrix was computed from: {name: (row, column) => used}.
export function attentionUses(name, row, column, seen) {
  const [rows, columns] = [(r) => r === row, (r) => r === column];
  const looks = (t, s) => seen(t, s);
  return {
    S: { Q: rows, K: columns },
    P: { S: (t, s) => t === row && looks(t, s) },
    Y: { P: (t, s) => t === row && looks(t, s), V: (s, d) => looks(row, s) && d === column },
    dV: { P: (t, s) => s === row && looks(t, s), dO: (t, d) => looks(t, row) && d === column },
    dP: { dO: rows, V: columns },
    r: { dO: rows, Y: rows },
    dS: { P: (t, s) => t === row && s === column, dP: (t, s) => t === row && s === column, dO: rows, Y: rows },
    dQ: { dS: (t, s) => t === row && looks(t, s), K: (s, d) => looks(row, s) && d === column },
    dK: { dS: (t, s) => s === row && looks(t, s), Q: (t, d) => looks(t, row) && d === column },
  }[name] ?? {};
}

function attentionIndices(n) {
  return Array.from({ length: n }, (_, i) => i);
}
