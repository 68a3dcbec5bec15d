// A two-dimensional slice of a tensor: its last two axes, at given indices of those before them.

import { shownIndices } from "./cells.js";

const slicesRow = 64; // elements in a line of a long vector

// {id, rows, columns, rowAxis, columnAxis, value(i, j), cell(i, j), place(cell)}: `rows` and `columns`
// are the indices along the two axes that are in the page. A vector is one row, or several where it
// is long: then its columns have no index of their own (`wrapped`).
export function sliceOf(graph, tensor, lead) {
  const { id, shape } = tensor;
  const values = graph.values(id);
  const grid = shape.map((_, axis) => shownIndices(tensor, axis));
  if (shape.length < 2) return sliceOfVector(id, shape, grid, values);
  const [rowAxis, columnAxis] = [shape.length - 2, shape.length - 1];
  const [rows, columns] = [grid[rowAxis], grid[columnAxis]];
  let start = 0;
  lead.forEach((index, axis) => { start = start * grid[axis].length + Math.max(0, grid[axis].indexOf(index)); });
  start *= rows.length * columns.length;
  return {
    id, rows, columns, rowAxis, columnAxis, wrapped: false,
    value: (i, j) => values[start + i * columns.length + j],
    cell: (i, j) => [...lead, rows[i], columns[j]],
    place: (cell) => {
      const inside = cell !== null && lead.every((index, axis) => cell[axis] === index);
      const [i, j] = inside ? [rows.indexOf(cell.at(-2)), columns.indexOf(cell.at(-1))] : [-1, -1];
      return i < 0 || j < 0 ? null : [i, j];
    },
  };
}

function sliceOfVector(id, shape, grid, values) {
  const all = shape.length ? grid[0] : [0];
  const wrapped = all.length > slicesRow;
  const width = wrapped ? slicesRow : all.length;
  const count = Math.max(1, Math.ceil(all.length / width));
  return {
    id, wrapped, rowAxis: null, columnAxis: shape.length ? 0 : null,
    rows: Array.from({ length: count }, (_, i) => all[i * width] ?? 0),
    columns: wrapped ? Array.from({ length: width }, (_, j) => j) : all,
    value: (i, j) => values[i * width + j],
    cell: (i, j) => (i * width + j < all.length ? (shape.length ? [all[i * width + j]] : []) : null),
    place: (cell) => {
      const at = cell === null ? -1 : shape.length ? all.indexOf(cell[0]) : 0;
      return at < 0 ? null : [Math.floor(at / width), at % width];
    },
  };
}

// The indices of the leading axes that a cell names, or the first ones that are in the page.
export function leadOf(tensor, cell) {
  return tensor.shape.slice(0, -2).map((_, axis) => {
    const indices = shownIndices(tensor, axis);
    return cell !== null && indices.includes(cell[axis]) ? cell[axis] : indices[0];
  });
}

// Where an arrow key leads from a place of a slice; null if it is no such key.
export function sliceStep(slice, [i, j], key) {
  const [bottom, right] = [slice.rows.length - 1, slice.columns.length - 1];
  const next = {
    ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1],
    Home: [i, 0], End: [i, right], PageUp: [0, j], PageDown: [bottom, j],
  }[key];
  if (!next) return null;
  const place = [Math.min(Math.max(next[0], 0), bottom), Math.min(Math.max(next[1], 0), right)];
  return slice.cell(...place) === null ? [i, j] : place;
}
