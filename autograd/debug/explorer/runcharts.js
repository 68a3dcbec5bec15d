// Pictures of a run: lines over its checkpoints, and a heat map of layers and checkpoints.

import { h, svg } from "./dom.js";

// The pictures of a training run: a heat map and lines, with a mark at the chosen step.

const runMargin = { left: 58, right: 12, top: 8, bottom: 24 };

// Positions on an axis: logarithmic (numbers above 0 only), or linear; base is a number it includes.
export function runScale(values, log, from, to, base = null) {
  const usable = values.filter((x) => Number.isFinite(x) && (!log || x > 0));
  if (!log && base !== null && usable.length > 0) usable.push(base);
  if (usable.length === 0) return { at: () => (from + to) / 2, ticks: [], low: 0, high: 0, log, one: true };
  const f = log ? Math.log10 : (x) => x;
  let low = usable.reduce((a, b) => Math.min(a, b));
  let high = usable.reduce((a, b) => Math.max(a, b));
  const one = low === high; // the middle of an axis around it
  const value = low;
  if (one) [low, high] = log ? [low / 2, high * 2] : [low - (base === null ? 0.5 : 0), high + 0.5];
  const at = (x) => from + ((f(x) - f(low)) / (f(high) - f(low))) * (to - from);
  return { at, low, high, log, one, value, ticks: runTicks(low, high, log) };
}

// Round numbers between two: powers of ten, or steps of 1, 2 or 5 times one.
export function runTicks(low, high, log) {
  if (log && high / low >= 20) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first) / 5));
    const powers = [];
    for (let p = first; p <= last; p += every) powers.push(10 ** p);
    if (powers.length >= 2) return powers;
  }
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high * (1 + 1e-9); n++) {
    ticks.push(Number((n * step).toPrecision(9)));
  }
  return ticks;
}

function runAxes({ x, y, width, height, mark, steps }) {
  const bottom = height - runMargin.bottom;
  const tick = (n) => (Math.abs(n) >= 1e-3 && Math.abs(n) < 1e5) || n === 0 ? String(n) : n.toExponential();
  return [
    y.ticks.map((n) => [
      svg("line", { x1: runMargin.left, x2: width - runMargin.right, y1: y.at(n), y2: y.at(n), class: "run-grid" }),
      svg("text", { x: runMargin.left - 6, y: y.at(n) + 4, "text-anchor": "end" }, tick(n))]),
    x.ticks.filter(Number.isInteger).map((n) => svg("text", {
      x: x.at(n), y: bottom + 16, "text-anchor": "middle",
    }, n)),
    svg("line", { x1: runMargin.left, x2: width - runMargin.right, y1: bottom, y2: bottom, class: "run-axis" }),
    steps && svg("line", { x1: x.at(mark), x2: x.at(mark), y1: runMargin.top, y2: bottom, class: "run-mark" }),
  ];
}

// A line through the points that there are: it is interrupted at NaN (and at 0 on a log axis).
function runPath(xs, ys, x, y) {
  let path = "";
  let pen = "M";
  ys.forEach((value, i) => {
    if (!Number.isFinite(value) || (y.log && value <= 0)) {
      pen = "M";
    } else {
      path += `${pen}${x.at(xs[i]).toFixed(1)} ${y.at(value).toFixed(1)}`;
      pen = "L";
    }
  });
  return path;
}

function runSvg(width, height, label, ...children) {
  return svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, class: "run-chart", role: "img", "aria-label": label,
  }, ...children);
}

// Series of points {x, y, colour, dots, thin} over the steps.
export function runScatter({ series, width, height, mark, label }) {
  const x = runScale([...series.flatMap((s) => s.x), mark], false, runMargin.left, width - runMargin.right);
  const y = runScale(series.flatMap((s) => s.y), false, height - runMargin.bottom, runMargin.top);
  return runSvg(width, height, label,
    runAxes({ x, y, width, height, mark, steps: true }),
    series.map((s) => {
      const there = s.x.map((at, i) => [at, s.y[i]]).filter(([, value]) => Number.isFinite(value));
      return [
        svg("path", {
          d: runPath(there.map((p) => p[0]), there.map((p) => p[1]), x, y), fill: "none",
          style: `stroke: ${s.colour}; stroke-width: ${s.thin ? 1 : 1.8}`,
        }),
        s.dots && there.length <= 60 && there.map(([at, value]) => svg("circle", {
          cx: x.at(at), cy: y.at(value), r: 2.6, style: `fill: ${s.colour}`,
        }))];
    }));
}

// One line for each row of values.
export function runLines({ values, names, dashed, steps, colours, width, height, log, mark, label }) {
  const x = runScale(steps, false, runMargin.left, width - runMargin.right);
  const all = values.flat();
  const positive = log && all.some((v) => v > 0);
  const y = runScale(all, positive, height - runMargin.bottom, runMargin.top, 0);
  return runSvg(width, height, label,
    runAxes({ x, y, width, height, mark, steps: true }),
    values.map((row, n) => svg("path", {
      d: runPath(steps, row, x, y), fill: "none", style: `stroke: ${colours[n]}; stroke-width: 1.8`,
      "stroke-dasharray": dashed[n] ? "2 3" : null,
    }, svg("title", {}, names[n]))));
}

// Rows by steps; the darker, the larger. choose(n) is called with the column that was clicked.
export function runHeatMap({ names, hrefs, values, steps, at, log, label, choose, format, width: room }) {
  const all = values.flat();
  const scale = runScale(all, log && all.some((v) => v > 0), log ? 6 : 0, 100, 0);
  const longest = names.reduce((most, name) => Math.max(most, name.length), 0);
  const cell = Math.max(7, Math.min(34, Math.floor((room - 7 * longest - 16) / steps.length)));
  const row = 18;
  const colour = (v) => `color-mix(in srgb, var(--accent) ${scale.at(v).toFixed(1)}%, var(--sheet))`;
  const empty = (v) => !Number.isFinite(v) || (scale.log && v <= 0);
  const width = cell * steps.length + 2;
  const height = row * names.length + 22;
  const every = Math.ceil(steps.length / Math.max(1, Math.floor(width / 52)));
  const picture = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "run-heat",
    onclick: (event) => {
      const box = picture.getBoundingClientRect();
      const n = Math.floor(((event.clientX - box.left) / box.width) * (width / cell));
      choose(Math.min(Math.max(n, 0), steps.length - 1));
    },
  },
  values.map((line, r) => line.map((v, s) => svg("rect", {
    x: s * cell + 1, y: r * row + 1, width: cell - (cell > 10 ? 1 : 0), height: row - 1,
    style: empty(v) || v === 0 ? "fill: none; stroke: var(--line)" : `fill: ${colour(v)}`,
  }, svg("title", {}, `${names[r]}, step ${steps[s]}: ${format(v)}`)))),
  steps.map((step, s) => s % every === 0 && svg("text", {
    x: s * cell + cell / 2, y: height - 6, "text-anchor": s === 0 && cell < 20 ? "start" : "middle",
  }, step)),
  svg("rect", { x: at * cell + 0.5, y: 0.5, width: cell, height: row * names.length + 1, class: "run-column" }));
  const box = h("div", { class: "run-scroll scroll" }, picture);
  queueMicrotask(() => { // once it is on the page: the chosen column is in sight
    const left = at * cell;
    if (left < box.scrollLeft || left + cell > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left + cell / 2 - box.clientWidth / 2;
    }
  });
  const legend = scale.one ? [`all ${format(scale.value ?? NaN)}`]
    : [format(scale.low), h("span", { class: "run-ramp" }), format(scale.high),
      scale.log ? ", on a logarithmic scale" : ""];
  return h("div", {},
    h("div", { class: "run-map" },
      h("ol", { class: "run-names" }, names.map((name, n) => h("li", {},
        hrefs[n] ? h("a", { href: hrefs[n] }, name) : name))), box),
    h("p", { class: "run-legend" }, legend));
}
