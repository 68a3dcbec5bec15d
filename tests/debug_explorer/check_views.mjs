// node check_views.mjs FOLDER DATA: statistics, slices and trails of the graphs in DATA, as JSON.

import { readFileSync } from "node:fs";

const [folder, file] = process.argv.slice(2);
const { cellOf, loadPage } = await import(`${folder}/data.js`);
const { statisticsFrom } = await import(`${folder}/stats.js`);
const { leadOf, sliceOf, sliceStep } = await import(`${folder}/slices.js`);
const { extendTrail, readTrail } = await import(`${folder}/trail.js`);
const { originOf } = await import(`${folder}/rules.js`);

const page = loadPage(...readFileSync(file, "utf8").split("\n"));
const result = { statistics: [], slices: [], trail: [], origin: null };
const [graph] = page.graphs;
for (const tensor of graph.tensors) {
  if (tensor.kind !== "leaf") continue;
  result.statistics.push([tensor.key, statisticsFrom(graph.values(tensor.id))]);
  const size = tensor.shape.reduce((a, b) => a * b, 1);
  for (const flat of [0, Math.floor(size / 2), size - 1]) {
    const cell = cellOf(flat, tensor.shape);
    const slice = sliceOf(graph, tensor, leadOf(tensor, cell));
    const place = slice.place(cell);
    if (place === null) continue; // not in the sample
    const moved = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"].map((key) => slice.cell(...sliceStep(slice, place, key)));
    result.slices.push({ key: tensor.key, cell, back: slice.cell(...place), value: slice.value(...place), moved });
  }
}
const loss = graph.byKey("loss");
const [first] = graph.tensors.filter((t) => t.kind === "leaf" && t.shape.length === 2);
let trail = readTrail(graph, "", loss.id, []);
const steps = [];
for (const cell of [[0, 0], [0, 1], [0, 0]]) {
  const text = extendTrail(graph, trail, first.id, cell);
  trail = readTrail(graph, text, first.id, cell);
  steps.push(trail.length);
}
for (const text of ["999999:0", "1:-5", "a:b,,", "1", `${loss.id}:0`, null]) steps.push(readTrail(graph, text, first.id, [0, 0]).length);
for (const id of [first.id, first.grad]) {
  for (let i = 0; i < 150; i++) {
    const cell = cellOf(i, first.shape);
    trail = readTrail(graph, extendTrail(graph, trail, id, cell), id, cell);
  }
}
result.trail = [...steps, trail.length, trail[0].id === loss.id];
const moved = graph.tensors.find((t) => t.kind === "inner" && t.line !== null && graph.lines[t.line].op === "Transpose");
const { id, cell } = originOf(graph, moved.id, [1, 0]);
result.origin = [graph.tensors[id].key, cell];
console.log(JSON.stringify(result, (key, x) => (typeof x === "number" && !Number.isFinite(x) ? String(x) : x)));
