// One matrix of one head as a picture: a square for each element, hatched where the mask hides it.

import { shownIndices } from "./cells.js";
import { h } from "./dom.js";

const attentionWidth = 168, attentionWordsFrom = 12; // a square of so many pixels has room for its word beside it

// The indices that are in the page, of the rows and of the columns.
export function attentionGrid(graph, matrix) {
  const tensor = graph.tensors[matrix.id], last = tensor.shape.length - 1;
  return { rows: shownIndices(tensor, last - 1), columns: shownIndices(tensor, last) };
}

// A canvas with: paint(chosen, used), both functions of (row, column).
//
// `move(row, column)` is called when the reader chooses an element, `hover(row, column)` while the
// pointer is over one, and `hover(null)` when it leaves; `open()` when Enter is pressed.
// `words` has the texts of the rows and of the columns, {rows, columns}, each a function or null.
export function attentionCanvas(graph, matrix, { hidden, at, label, words, move, hover, open }) {
  const { rows, columns } = attentionGrid(graph, matrix);
  const width = words.rows ? attentionWidth - 24 : attentionWidth;
  const size = Math.max(2, Math.min(30, Math.floor(width / Math.max(rows.length, columns.length))));
  const values = rows.map((r) => columns.map((c) => matrix.at(r, c)));
  const largest = values.flat().reduce((a, x) => (Number.isFinite(x) && Math.abs(x) > a ? Math.abs(x) : a), 0);
  const canvas = h("canvas", { class: "attention-canvas", tabindex: "0", role: "application",
    "aria-label": label(at), "data-key": `attention-${matrix.name}` });
  const [across, down] = [columns.length * size + 1, rows.length * size + 1];
  const scale = globalThis.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.ceil(across * scale), Math.ceil(down * scale)];
  [canvas.style.width, canvas.style.height] = [`${across}px`, `${down}px`];

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const [i, j] = [Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size)];
    return i in rows && j in columns ? [rows[i], columns[j]] : null;
  };
  canvas.addEventListener("click", (event) => { const cell = place(event); if (cell) move(...cell, false); });
  canvas.addEventListener("mousemove", (event) => {
    const cell = place(event);
    canvas.title = cell ? `${label(cell)}` : "";
    hover(cell);
  });
  canvas.addEventListener("mouseleave", () => hover(null));
  let pressed = false; // a press gives the focus before the click says which element is meant
  canvas.addEventListener("mousedown", () => { pressed = true; });
  canvas.addEventListener("focus", () => { if (!at && !pressed) move(rows[0], columns[0], true); });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const [i, j] = at ? [rows.indexOf(at[0]), columns.indexOf(at[1])] : [0, 0];
    const next = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1],
      Home: [i, 0], End: [i, columns.length - 1] }[event.key];
    if (event.key === "Enter") open();
    else if (!next) return;
    else if (next[0] in rows && next[1] in columns) move(rows[next[0]], columns[next[1]], true);
    event.preventDefault();
    event.stopPropagation();
  });

  function paint(chosen, used) {
    const draw = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [warm, cold, line, ink, accent, faint] = ["--warm", "--cold", "--line", "--ink", "--accent", "--faint"].map(colour);
    draw.setTransform(scale, 0, 0, scale, 0, 0);
    draw.clearRect(0, 0, across, down);
    rows.forEach((r, i) => columns.forEach((c, j) => {
      const [x, y, value] = [j * size, i * size, values[i][j]];
      if (hidden(r, c)) {
        draw.globalAlpha = 0.55;
        attentionHatch(draw, x, y, size, faint);
      } else if (value !== null) {
        draw.globalAlpha = largest > 0 && Number.isFinite(value) ? Math.min(1, Math.abs(value) / largest) : 0;
        draw.fillStyle = value < 0 ? cold : warm;
        draw.fillRect(x, y, size, size);
      }
      draw.globalAlpha = 1;
      draw.lineWidth = 1;
      draw.strokeStyle = line;
      if (size > 4) draw.strokeRect(x + 0.5, y + 0.5, size, size);
    }));
    rows.forEach((r, i) => columns.forEach((c, j) => {
      const mark = chosen(r, c) ? ink : used(r, c) ? accent : null;
      if (mark === null) return;
      draw.strokeStyle = mark;
      draw.lineWidth = size > 8 ? 2 : 1;
      draw.strokeRect(j * size + 1.5, i * size + 1.5, size - 2, size - 2);
    }));
  }
  const named = (texts, places, side) => texts && size >= attentionWordsFrom && h("div", { class: `attention-${side}`, "aria-hidden": "true",
    style: `--size: ${size}px` }, places.map((place) => h("span", { title: texts(place) }, texts(place))));
  const framed = h("div", { class: "attention-framed" }, named(words.rows, rows, "rows"), canvas, named(words.columns, columns, "columns"));
  return { framed, paint, largest };
}

function attentionHatch(draw, x, y, size, colour) {
  draw.save();
  draw.beginPath();
  draw.rect(x, y, size, size);
  draw.clip();
  draw.beginPath();
  for (let d = -size; d <= size; d += Math.max(3, size / 4)) {
    draw.moveTo(x + d, y + size);
    draw.lineTo(x + d + size, y);
  }
  draw.strokeStyle = colour;
  draw.lineWidth = 1;
  draw.stroke();
  draw.restore();
}
