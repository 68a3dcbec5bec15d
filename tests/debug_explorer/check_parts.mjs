// Reads a page and says what the modules of the attention, memory and zoo views make of it, as JSON.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, path] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`));
const { loadPage, unpacked } = await load("data");
const { attentionBothWays, attentionHeads, attentionMasked, attentionMatrix, attentionParts, attentionRowSum, attentionScale, attentionSteps, attentionUses } = await load("attention_math");
const { memoryAlive, memoryBuffers, memoryCurves, memoryPeak, memoryRetained } = await load("memory_series");
const { zooFirst, zooHarm, zooHunt } = await load("zoo_hunt");

const html = readFileSync(path, "utf8");
const text = (id) => html.match(new RegExp(`id="${id}">([^<]*)<`))[1];
const page = loadPage(new TextDecoder().decode(await unpacked(text("data"))), await unpacked(text("arrays")));
const graph = page.graphs[0];
const found = {};

found.attention = attentionSteps(graph).map((step) => {
  const parts = attentionParts(graph, step), { heads, batches } = attentionHeads(graph, parts), rows = [];
  const dtype = graph.tensors[parts.dS].dtype, masked = [], uses = [], shown = {};
  for (let batch = 0; batch < batches; batch++) for (let head = 0; head < heads; head++) {
    const made = {}, get = (name) => (made[name] ??= attentionMatrix(graph, parts, name, batch, head));
    const [queries, keys] = get("dS").shape;
    for (let t = 0; t < queries; t++) {
      const both = attentionBothWays(get, t), sum = (pairs) => pairs.reduce((a, [x, y]) => a + x * y, 0);
      rows.push({ batch, head, t, ...attentionRowSum(get, t, dtype), r: both.stored, channels: sum(both.channels), keys: sum(both.keys) });
      for (let s = 0; s < keys; s++) masked.push(attentionMasked(get("S"), t, s));
    }
    for (const name of Object.keys(parts)) {
      const [r, c] = get(name).shape;
      (shown[name] ??= []).push(Array.from({ length: r }, (_, i) => Array.from({ length: c }, (_, j) => String(get(name).at(i, j)))));
    }
    const seen = (t, s) => !attentionMasked(get("S"), t, s);
    const used = attentionUses("dK", 1, 0, seen);
    uses.push(Array.from({ length: queries }, (_, t) => used.Q(t, 0)));
    // a wrong softmax, elementwise: its rows do not sum to zero
    const wrong = (name) => name !== "dS" ? get(name) : { ...get(name), at: (t, s) => {
      const p = get("P").at(t, s);
      return get("dP").at(t, s) * p * (1 - p);
    } };
    rows.at(-1).wrongHolds = attentionRowSum(wrong, queries - 1, dtype).holds;
  }
  return { step: step.n, name: step.name, plain: attentionScale(graph, parts).plain, heads, batches, rows, masked, uses, shown };
});

if (graph.memory) {
  const { series, recompute } = graph.memory;
  const buffers = memoryBuffers(page, series);
  const plain = memoryCurves(buffers, series.steps), kept = memoryCurves(memoryRetained(buffers), series.steps);
  found.memory = { tape: [...plain.tape], waiting: [...plain.waiting], grad: [...plain.grad], total: [...plain.total],
    retained: [...kept.tape], peak: memoryPeak(plain.tape), alive: memoryAlive(buffers, 21).length,
    again: recompute ? memoryPeak(memoryCurves(memoryBuffers(page, recompute), recompute.steps).tape) : null };
}
if (graph.bugs && !graph.bugs.refused) {
  const hunt = zooHunt(page, graph);
  found.zoo = hunt.bugs.map((bug) => ({ name: bug.name, at: bug.at, first: zooFirst(hunt, bug)?.key ?? null, ...zooHarm(hunt, bug) }));
  found.right = zooFirst(hunt, { gradients: hunt.records.map((record) => record.proof) });
  found.steps = hunt.rows.map((row) => [row.n, row.key]);
}
console.log(JSON.stringify(found, (_, x) => (typeof x === "number" && !Number.isFinite(x) ? String(x) : x)));
