// Cells: elements of a tensor, named by an index for each axis, and how broadcasting reads them.

import { cellOf } from "./data.js";

export function sizeOf(shape) {
  return shape.reduce((product, n) => product * n, 1);
}

// "[0, 2, 5]", and nothing for the only element of a tensor without axes.
export function cellText(cell) {
  return cell.length ? `[${cell.join(", ")}]` : "";
}

// Whether these are indices of an element of a tensor of this shape.
export function isCellOf(shape, cell) {
  return cell.length === shape.length && cell.every((i, axis) => Number.isInteger(i) && i >= 0 && i < shape[axis]);
}

// The part of the address that names a cell.
export function cellState(cell) {
  return cell.join(",");
}

// The cell of an input that broadcasting reads for a cell of the output.
export function broadcastCell(shape, cell) {
  const extra = cell.length - shape.length;
  return shape.map((n, axis) => (n === 1 ? 0 : cell[axis + extra]));
}

// The first of the output's cells that read a cell of an input, and how many there are.
export function readersOf(shape, cell, outShape) {
  const extra = outShape.length - shape.length;
  const copied = (axis) => axis < extra || shape[axis - extra] === 1;
  return {
    first: outShape.map((n, axis) => (copied(axis) ? 0 : cell[axis - extra])),
    count: outShape.reduce((count, n, axis) => (copied(axis) ? count * n : count), 1),
  };
}

// The indices along an axis whose cells are in the page.
export function shownIndices(tensor, axis) {
  if (tensor.sample !== null) return tensor.sample[axis];
  return Array.from({ length: tensor.shape[axis] }, (_, index) => index);
}

// cell with another index along an axis.
export function withIndex(cell, axis, index) {
  const changed = cell.slice();
  changed[axis] = index;
  return changed;
}

// The cell of the largest number that is in the page; null if there is none.
export function largestCell(graph, tensor) {
  const values = graph.values(tensor.id);
  if (values === null || values.length === 0) return null;
  let best = 0;
  for (let i = 1; i < values.length; i++) if (Math.abs(values[i]) > Math.abs(values[best])) best = i;
  if (tensor.sample === null) return cellOf(best, tensor.shape);
  const places = cellOf(best, tensor.sample.map((axis) => axis.length));
  return places.map((place, axis) => tensor.sample[axis][place]);
}
