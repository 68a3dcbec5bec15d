// Bytes alive over the steps of forward and backward: who holds them, and when they are freed.

import { h, svg } from "./dom.js";
import { bytesText } from "./format.js";
import { memoryAlive, memoryBuffers, memoryCurves, memoryPeak, memoryRetained, MEMORY_KINDS } from "./memory_series.js";

const memoryNames = { tape: "kept for backward", waiting: "gradients on their way", grad: ".grad of leaves" };
const [memoryWidth, memoryHeight, memoryRows, memoryPoints] = [720, 200, 80, 1500];

export const memoryView = {
  id: "memory",
  title: "Memory",
  available: (graph) => Boolean(graph.memory),
  render: renderMemory,
};

function renderMemory(root, context) {
  const { graph, page, state, go, link } = context;
  if (graph.memory.refused) {
    root.append(h("h3", {}, "Memory"), h("p", {}, `The memory of this graph was not measured: ${graph.memory.refused}.`));
    return;
  }
  const again = state.recompute === "1" && graph.memory.recompute;
  const series = again || graph.memory.series, steps = series.steps;
  const measured = memoryBuffers(page, series);
  const retained = state.retain === "1";
  const buffers = retained ? memoryRetained(measured) : measured;
  const curves = memoryCurves(buffers, steps);
  const n = again ? memoryPlace(state.mem, steps) : context.step.n;
  const label = again ? memoryLabels(series) : (i) => memoryOfStep(graph.steps[i]);
  const move = (to, quiet) => {
    const at = Math.min(Math.max(to, 0), steps - 1);
    go(again ? { mem: at } : { step: at, tensor: null, of: null, cell: null }, quiet);
  };
  const turn = again ? series.labels.findIndex(([phase]) => phase === "start") : graph.steps.findIndex((s) => s.phase === "start");
  const chosen = { ...context, series, steps, buffers, curves, n, label, move, turn, retained, again };
  root.append(
    h("h3", {}, "Memory"),
    h("p", {}, "Forward keeps what backward will need, and backward frees it step by step. A buffer is the memory of one array; it is counted once, whoever holds it."),
    memorySwitches(chosen),
    memorySentence(chosen),
    memoryChart(chosen),
    memoryNow(chosen),
    memoryHolders(chosen));
  if (again) root.append(h("p", { class: "faint" }, "The steps of this chart are those of a second run. ",
    h("a", { href: link({ recompute: null, mem: null }) }, "Back to the steps of this page")));
}

function memoryPlace(text, steps) {
  const at = Number(text ?? "0");
  return Number.isInteger(at) && at >= 0 && at < steps ? at : 0;
}

function memoryOfStep({ phase, op, name }) {
  if (phase === "leaf") return `.grad of ${name}`;
  if (phase === "start") return "backward starts";
  return `${phase === "forward" ? "forward" : "backward"} of ${op} ${name}`;
}

function memoryLabels(series) {
  return (i) => {
    const [phase, op, name] = series.labels[i];
    return phase === "again" ? `${op} ${name}, computed again` : memoryOfStep({ phase, op, name });
  };
}

// ---- switches

function memorySwitches({ graph, state, go }) {
  const toggle = (key, text, disabled) => h("label", { class: disabled && "faint" },
    h("input", { type: "checkbox", checked: state[key] === "1" && !disabled, disabled, "data-key": `memory-${key}`,
      onchange: (event) => go({ [key]: event.target.checked ? 1 : null, mem: null }) }), ` ${text}`);
  const { recompute, why } = graph.memory;
  return h("div", { class: "memory-switches" },
    toggle("retain", "retain_graph=True: nothing is freed", false),
    toggle("recompute", "recomputation: of each block only its input is kept, and backward computes the rest again", !recompute),
    !recompute && why ? h("p", { class: "faint" }, why) : null);
}

function memorySentence({ page, graph, curves, again, retained, label }) {
  const [total, tape] = [memoryPeak(curves.total), memoryPeak(curves.tape)];
  const plain = memoryCurves(memoryBuffers(page, graph.memory.series), graph.memory.series.steps);
  const parts = [`The most is alive after step ${total.at}, ${label(total.at)}: ${bytesText(total.bytes)}. `,
    `What is kept for backward is most after step ${tape.at}: ${bytesText(tape.bytes)}. `];
  if (again) {
    const before = memoryPeak(plain.tape).bytes;
    parts.push(`Without recomputation it is ${bytesText(before)}: ${(before / tape.bytes).toFixed(2)} times as much. `);
  }
  if (retained) parts.push(`With retain_graph ${bytesText(curves.tape.at(-1))} stay when backward is over, for a second one.`);
  return h("p", { class: "memory-peak" }, parts);
}

// ---- the chart

function memoryChart({ steps, curves, n, move, turn, label, go }) {
  const top = memoryPeak(curves.total).bytes || 1;
  const x = (i) => (i / steps) * memoryWidth, y = (bytes) => memoryHeight - (bytes / top) * (memoryHeight - 12);
  const every = Math.max(1, Math.ceil(steps / memoryPoints));
  const below = new Float64Array(steps), areas = [];
  for (const kind of MEMORY_KINDS) {
    const [up, down] = [[], []];
    for (let i = 0; i < steps; i += every) {
      const [low, high] = [y(below[i]), y(below[i] + curves[kind][i])];
      up.push(`${x(i)},${high} ${x(Math.min(i + every, steps))},${high}`);
      down.unshift(`${x(Math.min(i + every, steps))},${low} ${x(i)},${low}`);
    }
    curves[kind].forEach((bytes, i) => { below[i] += bytes; });
    areas.push(svg("polygon", { class: `memory-area memory-${kind}`, points: `${up.join(" ")} ${down.join(" ")}` }));
  }
  const text = `after step ${n}, ${label(n)}: ${bytesText(curves.total[n])} alive`;
  const chart = svg("svg", { class: "memory-chart", viewBox: `0 0 ${memoryWidth} ${memoryHeight}`, preserveAspectRatio: "none",
    tabindex: "0", role: "slider", "aria-label": "Bytes alive, step by step", "aria-valuemin": 0, "aria-valuemax": steps - 1,
    "aria-valuenow": n, "aria-valuetext": text, "data-key": "memory-chart",
    onclick: (event) => {
      const box = chart.getBoundingClientRect();
      move(Math.floor(((event.clientX - box.left) / box.width) * steps));
    },
    onkeydown: (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const peak = memoryPeak(curves.total).at;
      const to = { ArrowLeft: n - 1, ArrowDown: n - 1, ArrowRight: n + 1, ArrowUp: n + 1, PageUp: n - 10, PageDown: n + 10,
        Home: 0, End: steps - 1, Enter: peak }[event.key];
      if (to === undefined) return;
      move(to, true);
      event.preventDefault();
      event.stopPropagation();
    } },
    areas,
    svg("line", { class: "memory-turn", x1: x(turn), x2: x(turn), y1: 0, y2: memoryHeight }),
    svg("rect", { class: "memory-cursor", x: x(n), y: 0, width: Math.max(2, x(1)), height: memoryHeight }));
  return h("figure", { class: "memory-figure" },
    h("div", { class: "memory-axis" }, h("span", {}, bytesText(top)), h("span", {}, "forward", h("b", {}, " | "), "backward")),
    chart,
    h("figcaption", {}, MEMORY_KINDS.map((kind) => h("span", { class: "memory-key" }, h("i", { class: `memory-swatch memory-${kind}` }), memoryNames[kind])),
      h("span", { class: "faint" }, "Click, or move the step by the arrow keys; Enter goes to the peak.")),
    h("p", { class: "faint memory-note" }, "Parameters are not counted: they exist with or without a graph. Nor is what an operation needs only while it runs. The gradient of a parameter may be complete early. It is still on its way until its turn comes: a parameter is older than every operation."));
}

// ---- one step

function memoryNow({ n, label, curves, buffers }) {
  const born = buffers.filter((b) => b.start === n), freed = buffers.filter((b) => b.stop === n);
  const leaf = born.length > 0 && born.every((b) => b.kind === "grad");
  const size = (list) => bytesText(list.reduce((a, b) => a + b.bytes, 0));
  return h("section", { "aria-live": "polite", "aria-label": "The chosen step" },
    h("h4", {}, `After step ${n}: ${label(n)}`),
    h("ul", { class: "memory-sums" }, [...MEMORY_KINDS, "total"].map((kind) => h("li", {},
      kind === "total" ? "together " : [h("i", { class: `memory-swatch memory-${kind}` }), `${memoryNames[kind]} `], h("b", {}, bytesText(curves[kind][n]))))),
    h("p", {}, leaf ? "The gradient changes hands: what was on its way is the leaf's .grad now."
      : [`New in this step: ${born.length ? `${size(born)} in ${born.length} ${born.length === 1 ? "buffer" : "buffers"}` : "nothing"}. `,
        `Freed in this step: ${freed.length ? `${size(freed)} (${memoryList(freed, n)})` : "nothing"}.`]));
}

function memoryList(buffers, n) {
  const held = buffers.slice(0, 4).map((b) => memoryHolder(b.holders.findLast((x) => x.stop >= n) ?? b.holders[0], b.kind));
  return held.join("; ") + (buffers.length > 4 ? `; ${buffers.length - 4} more` : "");
}

function memoryHolder({ name, as }, kind) {
  return kind === "tape" ? `${as} of ${name}` : kind === "waiting" ? `gradient of ${name}` : `${name}.grad`;
}

function memoryHolders(chosen) {
  const { buffers, n, graph, link, again } = chosen;
  const alive = memoryAlive(buffers, n).sort((a, b) => b.bytes - a.bytes);
  const shown = alive.slice(0, memoryRows);
  const name = (holder, kind) => {
    const text = memoryHolder(holder, kind);
    return !again && graph.byKey(holder.name) ? h("a", { href: link({ tensor: holder.name, of: kind === "tape" ? null : "gradient", cell: null }) }, text) : text;
  };
  const end = (stop) => (stop === Infinity ? "the end" : again ? `step ${stop}` : h("a", { href: link({ step: stop, tensor: null, of: null, cell: null }) }, `step ${stop}`));
  return h("section", { "aria-label": "Who holds what" },
    h("h4", {}, `Who holds it: ${alive.length} ${alive.length === 1 ? "buffer" : "buffers"}`),
    h("div", { class: "scroll memory-holders", tabindex: "0", role: "group", "aria-label": "buffers that are alive" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, "bytes"), h("th", { scope: "col" }, "held as"),
        h("th", { scope: "col" }, "since"), h("th", { scope: "col" }, "freed in"))),
      h("tbody", {}, shown.map((b) => h("tr", {},
        h("td", { class: "number" }, h("i", { class: `memory-swatch memory-${b.kind}` }), bytesText(b.bytes)),
        h("td", {}, h("ul", {}, b.holders.filter((x) => x.start <= n && n < x.stop).map((x) => h("li", {}, name(x, b.kind))))),
        h("td", {}, `step ${b.start}`), h("td", {}, end(b.stop))))))),
    alive.length > shown.length ? h("p", { class: "faint" }, `and ${alive.length - shown.length} more, none of them larger`) : null);
}
