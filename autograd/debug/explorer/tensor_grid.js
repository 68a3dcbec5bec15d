// A slice of a tensor as a table of numbers or as a heat map, in which one cell is chosen.

import { cellState, cellText } from "./cells.js";
import { flatOf } from "./data.js";
import { h } from "./dom.js";
import { exact, number } from "./format.js";
import { heatBackground, heatPalette, heatPixel } from "./heat.js";
import { sliceStep } from "./slices.js";

// `grid` is {graph, tensor, slice, chosen (a cell or null), largest, labels: [of rows, of columns],
// groups, title, proven (a Set of flat indices), choose(cell), open(cell), read(text or null)}.
export function numberTable(grid) {
  const { slice, tensor, labels, groups } = grid;
  const place = slice.place(grid.chosen);
  const [rowLabel, columnLabel] = labels;
  const head = (indices, label, scope) => indices.map((index, j) =>
    h("th", { scope, class: "number" }, slice.wrapped && scope === "col" ? `+${j}` : index, label ? h("span", { class: "tensor-label" }, label(index)) : null));
  const rows = slice.rows.map((index, i) => h("tr", { role: "row" },
    slice.rowAxis === null && !slice.wrapped ? null : h("th", { scope: "row", class: "number" }, index, rowLabel ? h("span", { class: "tensor-label" }, rowLabel(index)) : null),
    slice.columns.map((_, j) => tableCell(grid, i, j, place))));
  const corner = slice.rowAxis === null && !slice.wrapped ? null : h("td", {});
  const table = h("table", { class: "tensor-table", role: "grid", "aria-label": grid.title },
    groups ? h("thead", {}, h("tr", { role: "row" }, corner && h("td", {}), groups.map((group) => h("th", { class: "tensor-group", colspan: group.size, scope: "colgroup" }, group.text)))) : null,
    h("thead", {}, h("tr", { role: "row" }, corner, head(slice.columns, columnLabel, "col"))),
    h("tbody", {}, rows));
  table.addEventListener("click", (event) => gridClick(grid, event));
  table.addEventListener("keydown", (event) => gridKey(grid, event, place ?? [0, 0]));
  const wide = tensor.shape.length ? table : h("p", { class: "tensor-alone mono" }, exact(slice.value(0, 0), tensor.dtype));
  return h("div", { class: "scroll tensor-scroll", "data-key": `tensor-scroll-${tensor.id}` }, wide);
}

function tableCell(grid, i, j, place) {
  const { slice, tensor } = grid;
  const cell = slice.cell(i, j);
  if (cell === null) return h("td", {});
  const x = slice.value(i, j);
  const chosen = place !== null && place[0] === i && place[1] === j;
  const first = place === null && i === 0 && j === 0;
  const proven = grid.proven.has(flatOf(cell, tensor.shape));
  const known = Number.isFinite(x);
  return h("td", {
    role: "gridcell", class: `number tensor-cell${chosen ? " is-chosen" : ""}${known ? "" : " is-broken"}`,
    style: known ? `background: ${heatBackground(x, grid.largest)}` : null,
    tabindex: chosen || first ? "0" : "-1", "aria-selected": String(chosen), "data-place": `${i},${j}`,
    "data-key": chosen || first ? `tensor-cell-${tensor.id}` : null, "aria-label": cellSpoken(grid, i, j, proven),
  }, shortNumber(x), proven ? h("span", { class: "tensor-proven", title: "proven by finite differences" }) : null);
}

function cellSpoken({ slice, tensor, labels }, i, j, proven) {
  const cell = slice.cell(i, j);
  const row = labels[0] && slice.rowAxis !== null ? ` (${labels[0](slice.rows[i])})` : "";
  const column = labels[1] ? ` (${labels[1](slice.columns[j])})` : "";
  return `${cellText(cell)}${row}${column}: ${exact(slice.value(i, j), tensor.dtype)}${proven ? ", proven by finite differences" : ""}`;
}

// Three digits.
export function shortNumber(x) {
  if (!Number.isFinite(x) || Number.isInteger(x)) return number(x);
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e5) return x.toExponential(1);
  return x.toPrecision(3);
}

function gridClick(grid, event) {
  const target = event.target.closest("[data-place]");
  if (!target) return;
  const cell = grid.slice.cell(...target.dataset.place.split(",").map(Number));
  if (grid.chosen !== null && cellState(cell) === cellState(grid.chosen)) grid.open(cell);
  else grid.choose(cell);
}

function gridKey(grid, event, place) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") grid.open(grid.slice.cell(...place));
  else {
    const next = sliceStep(grid.slice, place, event.key);
    if (next === null) return;
    grid.choose(grid.slice.cell(...next), true);
  }
  event.preventDefault();
  event.stopPropagation();
}

// The same as a picture. It is one thing to focus on, and arrow keys move the chosen cell in it.
export function heatMap(grid, width, root) {
  const { slice, tensor, groups } = grid;
  const [n, m] = [slice.rows.length, slice.columns.length];
  const size = Math.max(4, Math.min(Math.floor(width / m), 26));
  const [high, wide] = [Math.min(size, Math.max(4, Math.floor(400 / n))), size];
  const sharp = globalThis.devicePixelRatio || 1;
  const canvas = h("canvas", { width: Math.round(m * wide * sharp), height: Math.round(n * high * sharp), style: `width: ${m * wide}px; height: ${n * high}px`, "aria-hidden": "true" });
  const place = slice.place(grid.chosen);
  const spoken = place === null ? "no cell chosen" : `chosen ${cellSpoken(grid, ...place, false)}`;
  const box = h("div", { class: "tensor-map", tabindex: "0", role: "application", "data-key": `tensor-cell-${tensor.id}`,
    "aria-label": `${grid.title}: ${n} rows, ${m} columns, as colours; arrow keys choose a cell; ${spoken}` }, canvas);
  const placeAt = (event) => {
    const area = canvas.getBoundingClientRect();
    const [j, i] = [Math.floor((event.clientX - area.left) / wide), Math.floor((event.clientY - area.top) / high)];
    return i >= 0 && j >= 0 && i < n && j < m && slice.cell(i, j) !== null ? [i, j] : null;
  };
  box.addEventListener("mousemove", (event) => { const at = placeAt(event); grid.read(at && cellSpoken(grid, ...at, false)); });
  box.addEventListener("mouseleave", () => grid.read(null));
  box.addEventListener("click", (event) => {
    const at = placeAt(event);
    if (at === null) return;
    const cell = slice.cell(...at);
    if (grid.chosen !== null && cellState(cell) === cellState(grid.chosen)) grid.open(cell);
    else grid.choose(cell);
  });
  box.addEventListener("keydown", (event) => gridKey(grid, event, place ?? [0, 0]));
  paintMap(canvas, grid, { n, m, wide, high, sharp, place, palette: heatPalette(root) });
  const heads = groups && h("div", { class: "tensor-groups", style: `width: ${m * wide}px` },
    groups.map((group) => h("span", { style: `width: ${group.size * wide}px`, title: group.text }, group.size * wide < 66 ? group.short : group.text)));
  return h("div", { class: "scroll tensor-scroll", "data-key": `tensor-scroll-${tensor.id}` }, heads, box);
}

function paintMap(canvas, grid, { n, m, wide, high, sharp, place, palette }) {
  const { slice, tensor, largest, proven, groups } = grid;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(sharp, sharp);
  const gap = wide > 6 && high > 6 ? 1 : 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      const cell = slice.cell(i, j);
      if (cell === null) continue;
      const x = slice.value(i, j);
      pen.fillStyle = `rgb(${heatPixel(x, largest, palette)})`;
      pen.fillRect(j * wide, i * high, wide - gap, high - gap);
      if (proven.has(flatOf(cell, tensor.shape)) && high > 6) {
        pen.fillStyle = `rgb(${palette.ink})`;
        pen.fillRect(j * wide + 2, i * high + 2, 3, 3);
      }
    }
  }
  pen.fillStyle = pen.strokeStyle = `rgb(${palette.ink})`;
  let edge = 0;
  for (const group of groups ?? []) {
    edge += group.size;
    if (edge < m) pen.fillRect(edge * wide - 1, 0, 1, n * high);
  }
  if (place) {
    pen.lineWidth = 2;
    pen.strokeRect(place[1] * wide + 0.5, place[0] * high + 0.5, wide - 1, high - 1);
  }
}
