// What a cell goes into: the lines that read it, and the cells that they make of it.

import { readersOf, withIndex } from "./cells.js";
import { cellOf, flatOf } from "./data.js";
import { mapOf, reducedAxes } from "./rules.js";

// [{line, cell, count}] in the order of the lines: `count` cells of the line's output read this
// one, and `cell` is the first of them. It is null, and count 0, where the page cannot say which.
export function usesOf(graph, id, cell) {
  const uses = [];
  for (const number of new Set(graph.usedBy.get(id) ?? [])) {
    const line = graph.lines[number];
    const found = line.inputs
      .map((input, position) => (input === id ? useAs(graph, line, position, cell) : null))
      .filter((use) => use !== null);
    const known = found.find((use) => use.count > 0);
    if (known) uses.push({ line, ...known });
    else if (found.some((use) => use.cell === null)) uses.push({ line, cell: null, count: 0 });
  }
  return uses;
}

const useUnknown = { cell: null, count: 0 };
const useNone = { cell: [], count: 0 };

function useAs(graph, line, position, cell) {
  const { shape } = graph.tensors[line.inputs[position]];
  const out = graph.tensors[line.out].shape;
  const rule = usePlaces[line.rule];
  return rule ? rule({ graph, line, position, cell, shape, out }) : useUnknown;
}

function useCopied({ cell, shape, out }) {
  const { first, count } = readersOf(shape, cell, out);
  return { cell: first, count };
}

function useReduced({ line, cell, shape }) {
  const axes = reducedAxes(line, shape.length);
  const place = line.attrs.keepdims
    ? cell.map((index, axis) => (axes.includes(axis) ? 0 : index))
    : cell.filter((_, axis) => !axes.includes(axis));
  return { cell: place, count: 1 };
}

function useRunning({ line, cell, shape }) {
  return { cell, count: shape[line.attrs.axis] - cell[line.attrs.axis] };
}

const usePlaces = {
  elementwise: useCopied,
  add: useCopied,

  matmul: ({ position, cell, shape, out }) => {
    const lead = readersOf(shape.slice(0, -2), cell.slice(0, -2), out.slice(0, -2));
    const [row, column] = cell.slice(-2);
    const place = position === 0 ? [row, 0] : [0, column];
    return { cell: [...lead.first, ...place], count: lead.count * out.at(position === 0 ? -1 : -2) };
  },

  linspace: ({ line, cell, shape, out }) => {
    const { axis } = line.attrs;
    const { first, count } = readersOf(shape, cell, out.filter((_, i) => i !== axis));
    const place = first.slice();
    place.splice(axis, 0, 0);
    return { cell: place, count: count * out[axis] };
  },

  cross: ({ cell, shape, out }) => {
    const { first, count } = readersOf(shape, cell, out);
    return { cell: withIndex(first, first.length - 1, (cell.at(-1) + 1) % 3), count: 2 * count };
  },

  move: ({ graph, line, position, cell, shape, out }) => {
    if (line.attrs.map === undefined) return useUnknown;
    const flat = flatOf(cell, shape);
    const inputs = line.attrs.input === undefined ? null : mapOf(graph, line, "input");
    return usePositions(mapOf(graph, line, "map"), out, (from, at) =>
      from === flat && (inputs === null || inputs[at] === position));
  },

  scatter: ({ graph, line, cell, shape, out }) => {
    if (line.attrs.map === undefined) return useUnknown;
    const flat = flatOf(cell, shape);
    const targets = mapOf(graph, line, "map");
    if (line.attrs.from === undefined) return { cell: cellOf(targets[flat], out), count: 1 };
    const places = new Set();
    mapOf(graph, line, "from").forEach((from, i) => { if (from === flat) places.add(targets[i]); });
    return places.size ? { cell: cellOf(Math.min(...places), out), count: places.size } : useNone;
  },
};
for (const rule of ["sum", "mean", "max", "min", "prod", "logsumexp", "var", "std"]) usePlaces[rule] = useReduced;
for (const rule of ["cumsum", "cumprod"]) usePlaces[rule] = useRunning;

function usePositions(map, out, reads) {
  let first = -1;
  let count = 0;
  map.forEach((from, at) => {
    if (!reads(from, at)) return;
    if (count === 0) first = at;
    count += 1;
  });
  return count ? { cell: cellOf(first, out), count } : useNone;
}
