// The way from a gradient to the loss: which operands of a cell lie on it, and which weighs most.

import { explainCell, isNumber, originOf, valueOf } from "./rules.js";

export const towardsMarks = {
  gradient: { sign: "\u25C0", text: "gradient, towards the loss" },
  value: { sign: "\u25CB", text: "value, from forward" },
};

const towardsKnown = new WeakMap(); // graph -> Map from a tensor to whether it holds gradients

// Whether a tensor is a gradient, or was computed from one; all others are values from forward.
export function holdsGradient(graph, id) {
  if (!towardsKnown.has(graph)) towardsKnown.set(graph, new Map());
  const known = towardsKnown.get(graph);
  if (!known.has(id)) {
    const { kind, line } = graph.tensors[id] ?? { kind: "unknown" };
    const inner = kind === "inner" && line !== null;
    known.set(id, inner ? graph.lines[line].inputs.some((input) => !isNumber(input) && holdsGradient(graph, input))
      : kind === "gradient" || kind === "contribution");
  }
  return known.get(id);
}

// "gradient" or "value", for an operand of a cell that holds a gradient; null for a number.
export function sideOf(graph, factor) {
  if (factor.id === undefined || factor.id === null) return null;
  return holdsGradient(graph, factor.id) ? "gradient" : "value";
}

// The operand on the way to the loss whose term is the largest in size, {id, cell}: of a gradient with
// one contribution, that contribution's. null where there is none. `found` is what explainCell returned.
export function towardsLoss(graph, found) {
  if (found.rule === "add" && found.terms.length === 1) {
    const [{ id, cell }] = found.terms[0].factors;
    const inside = explainCell(graph, id, cell);
    if (inside.line !== null) return towardsLoss(graph, inside);
  }
  let [best, most] = [null, -1];
  for (const { factors, value } of found.terms) {
    const there = factors.filter((factor) => sideOf(graph, factor) === "gradient");
    for (const factor of there) {
      const size = Math.abs((there.length > 1 ? valueOf(factor) : value) ?? 0);
      if (size > most) [best, most] = [factor, size];
    }
  }
  return best === null ? null : originOf(graph, best.id, best.cell);
}
