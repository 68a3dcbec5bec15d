// What has not come into being yet at a step, and what never will: in words.

import { countOf } from "./words.js";

// null for what is there at the step; otherwise {text, step}, with the number of the step that makes it.
export function aheadOf(graph, tensor, step) {
  if (step === null || tensor.kind === "leaf" || tensor.kind === "constant") return null;
  if (tensor.step === null || tensor.step <= step.n) return null;
  const parts = tensor.kind === "gradient" ? graph.tensors[tensor.of].contributions : [];
  const arrived = parts.filter((id) => graph.tensors[id].step <= step.n).length;
  if (arrived === 0) return { text: `Not computed yet at step ${step.n}: it will be, at step`, step: tensor.step };
  if (arrived === parts.length) return { text: "All its contributions are there; its turn comes at step", step: tensor.step };
  const part = `${arrived} of ${countOf(parts.length, "contribution")} ${arrived === 1 ? "has" : "have"} arrived`;
  return { text: `Not complete yet: ${part}; it will be, at step`, step: tensor.step };
}

// Why a tensor of the graph has no gradient; null if it has one, or is itself no value.
export function withoutGradient({ key, kind, grad }) {
  if (key === undefined || grad !== null) return null;
  if (kind === "constant") return "It has no gradient: it is a constant, so none was asked for.";
  return "It has no gradient: the backward pass that was recorded did not reach it.";
}
