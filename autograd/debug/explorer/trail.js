// The way a reader came: trail=412:5,380:17 in the address, tensors by number and cells by place.

import { cellState } from "./cells.js";
import { cellOf, flatOf } from "./data.js";
import { nameTensor } from "./state.js";

const trailLongest = 200; // beyond that the middle is left out: where it began is kept

// The cells of the trail, [{id, cell}], which ends with the one that is shown; that one alone if the
// address has another way, or none.
export function readTrail(graph, text, id, cell) {
  const steps = (text ?? "").split(",").map((part) => part.split(":").map(Number));
  const valid = steps.filter(([tensor, flat]) => {
    const shape = graph.tensors[tensor]?.shape;
    return shape !== undefined && Number.isInteger(flat) && flat >= 0 && flat < shape.reduce((a, b) => a * b, 1);
  });
  const trail = valid.map(([tensor, flat]) => ({ id: tensor, cell: cellOf(flat, graph.tensors[tensor].shape) }));
  const last = trail.at(-1);
  return last && trailSame(last, { id, cell }) ? trail : [{ id, cell }];
}

function trailSame(a, b) {
  return a.id === b.id && String(a.cell) === String(b.cell);
}

// The trail after a step to a cell: back to it if the way has been there, or one step longer.
export function extendTrail(graph, trail, id, cell) {
  const before = trail.findIndex((place) => trailSame(place, { id, cell }));
  const longer = before >= 0 ? trail.slice(0, before + 1) : [...trail, { id, cell }];
  const kept = longer.length > trailLongest ? [longer[0], ...longer.slice(1 - trailLongest)] : longer;
  return kept
    .map((place) => `${place.id}:${flatOf(place.cell, graph.tensors[place.id].shape)}`)
    .join(",");
}

// The state of a cell: the step in which it was made, its tensor, and the way there. ``view`` is a
// context with a trail.
export function cellPlace({ graph, trail, state }, id, cell) {
  return {
    ...nameTensor(graph, id), step: graph.tensors[id].step ?? state.step, cell: cellState(cell), view: "cell",
    trail: extendTrail(graph, trail, id, cell), terms: null,
  };
}

// The address of that.
export function cellLink(view, id, cell) {
  return view.link(cellPlace(view, id, cell));
}
