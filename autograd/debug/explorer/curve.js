// The U-curve: the error of D(h) = (L(x + h) - L(x - h)) / 2h against the step h, and its picture.
import { h, svg } from "./dom.js";
import { number } from "./format.js";

export const curveEps = { float32: 2 ** -23, float64: 2 ** -52 };
const curveLeast = 1e-17; // a log scale has no 0: it is drawn at the lower end
const curveMost = 1e3;

// Relative errors of the measured slopes.
export function curveErrors(slopes, exact) {
  return Array.from(slopes, (d) => Math.abs(d - exact) / Math.abs(exact));
}

// The index of the smallest error; -1 where none is a number.
export function curveBest(errors) {
  let best = -1;
  errors.forEach((e, i) => {
    if (Number.isFinite(e) && (best < 0 || e < errors[best])) best = i;
  });
  return best;
}

// The two branches as laws. Truncation: c h^2, with c read off where h is large; null where the
// error does not fall as h^2 there. Rounding: r / h, with r = eps |L| / |gradient|.
export function curveLaws(curve, loss) {
  const errors = curveErrors(curve.slopes64, curve.exact);
  const best = curve.steps[Math.max(curveBest(errors), 0)];
  const ratios = [];
  for (let i = 0; i < errors.length; i++) {
    const step = curve.steps[i];
    if (step > 5 * best && step < 0.05 && errors[i] > 0) ratios.push(errors[i] / step ** 2);
  }
  ratios.sort((a, b) => a - b);
  const straight = ratios.length < 2 || ratios.at(-1) > 30 * ratios[0];
  const truncation = straight ? null : ratios[Math.floor(ratios.length / 2)];
  const rounding = {};
  for (const type of ["float32", "float64"]) {
    rounding[type] = (curveEps[type] * Math.abs(loss)) / Math.abs(curve.exact);
  }
  return { truncation, rounding };
}

// Where c h^2 + r / h is smallest: its derivative 2 c h - r / h^2 is 0.
export function curveValley(laws, type) {
  return laws.truncation === null ? null : Math.cbrt(laws.rounding[type] / (2 * laws.truncation));
}

// The largest step that x + h cannot see in float32: D(h) is 0 from there on.
export function curveLost(curve) {
  let lost = null;
  for (let i = curve.steps.length - 1; i >= 0 && curve.slopes32[i] === 0; i--) lost = curve.steps[i];
  return lost;
}

// 10^-4.5 as "3.2e-5".
export function stepText(step) {
  return step.toExponential(1).replace(".0e", "e");
}

const curveBox = { width: 640, height: 400, left: 64, right: 16, top: 16, bottom: 48 };

function curveScales(steps, errors, box) {
  const { width, height, left, right, top, bottom } = box;
  const low = Math.log10(steps.at(-1)) - 0.3;
  const high = Math.log10(steps[0]) + 0.3;
  const seen = errors.filter((e) => e > 0 && Number.isFinite(e));
  const least = Math.max(Math.min(...seen, 1e-2), curveLeast);
  const most = Math.min(Math.max(...seen, 1), curveMost);
  const [floor, ceiling] = [Math.floor(Math.log10(least) - 1), Math.ceil(Math.log10(most) + 0.2)];
  const x = (step) => left + ((Math.log10(step) - low) / (high - low)) * (width - left - right);
  const y = (error) => {
    const log = Math.min(Math.max(Math.log10(error), floor), ceiling);
    return top + ((ceiling - log) / (ceiling - floor)) * (height - top - bottom);
  };
  const inside = (error) => error >= 10 ** floor && error <= 10 ** ceiling;
  return { x, y, floor, ceiling, inside, box };
}

function curveAxes(steps, { x, y, floor, ceiling, box }) {
  const { width, height, left, right, top, bottom } = box;
  const parts = [];
  const power = (n) => [`10`, svg("tspan", { dy: -5, "font-size": 10 }, String(n))];
  for (let n = floor; n <= ceiling; n += 1) {
    const at = y(10 ** n);
    if (n % 2 !== 0) continue;
    parts.push(svg("line", { x1: left, x2: width - right, y1: at, y2: at, class: "proof-grid" }));
    parts.push(svg("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, power(n)));
  }
  const first = Math.ceil(Math.log10(steps.at(-1)) - 1e-9);
  for (let n = first; n <= Math.log10(steps[0]) + 1e-9; n += 1) {
    const at = x(10 ** n);
    parts.push(svg("line", { x1: at, x2: at, y1: top, y2: height - bottom, class: "proof-grid" }));
    if ((n - first) % (width < 480 ? 4 : 2) === 1) {
      parts.push(svg("text", { x: at, y: height - bottom + 18, "text-anchor": "middle" }, power(n)));
    }
  }
  parts.push(svg("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" },
    "step h: large on the right"));
  parts.push(svg("text", { x: 14, y: (top + height - bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 14 ${(top + height - bottom) / 2})` }, "relative error of D(h)"));
  return parts;
}

function curvePath(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function curveLine(type, curve, errors, { x, y }) {
  const points = [];
  errors.forEach((e, i) => {
    if (Number.isFinite(e)) points.push([x(curve.steps[i]), y(e)]);
  });
  const mark = type === "float32"
    ? ([px, py]) => svg("rect", { x: px - 2.5, y: py - 2.5, width: 5, height: 5 })
    : ([px, py]) => svg("circle", { cx: px, cy: py, r: 2.8 });
  return svg("g", { class: `proof-${type}` },
    svg("path", { d: curvePath(points), fill: "none" }), points.map(mark));
}

function curveLaw(law, from, to, { x, y, inside }) {
  const points = [];
  for (let k = 0; k <= 40; k++) {
    const step = from * (to / from) ** (k / 40);
    if (inside(law(step))) points.push([x(step), y(law(step))]);
  }
  return points.length < 2 ? null : svg("path", { d: curvePath(points), class: "proof-law" });
}

function curveLabel(text, step, error, scales, dx, dy, name, anchor = "start") {
  const [px, py] = [scales.x(step) + dx, scales.y(error) + dy];
  return svg("text", { x: px, y: py, class: name, "text-anchor": anchor }, text);
}

// The picture, as wide as there is room. ``chosen`` is the index of the step that is marked, or -1.
export function curvePicture(curve, loss, chosen, room) {
  const box = { ...curveBox, width: Math.min(Math.max(room, 320), curveBox.width) };
  const steps = Array.from(curve.steps);
  const known = {
    float32: curveErrors(curve.slopes32, curve.exact), float64: curveErrors(curve.slopes64, curve.exact),
  };
  const scales = curveScales(steps, [...known.float32, ...known.float64], box);
  const laws = curveLaws(curve, loss);
  const parts = curveAxes(steps, scales), labels = []; // labels last, above all lines
  const smallest = steps.at(-1);
  const { truncation } = laws;
  if (truncation !== null) {
    const low = (curveValley(laws, "float64") ?? steps[0]) / 3;
    parts.push(curveLaw((step) => truncation * step ** 2, steps[0], low, scales));
    const middle = Math.sqrt(steps[0] * low);
    parts.push(curveLabel("∝ h²", middle, truncation * middle ** 2, scales, 10, 10, "proof-note"));
  }
  for (const type of ["float32", "float64"]) {
    const law = (step) => laws.rounding[type] / step;
    parts.push(curveLaw(law, smallest, curveValley(laws, type) ?? steps[0], scales));
    const at = smallest ** 0.7 * (curveValley(laws, type) ?? steps[0]) ** 0.3;
    if (scales.inside(law(at))) {
      parts.push(curveLabel("∝ 1/h", at, law(at), scales, 10, -8, "proof-note"));
    }
  }
  for (const type of ["float32", "float64"]) {
    const errors = known[type];
    parts.push(curveLine(type, curve, errors, scales));
    const best = curveBest(errors);
    if (best >= 0) {
      const [step, error] = [steps[best], errors[best]];
      parts.push(svg("circle", { cx: scales.x(step), cy: scales.y(error), r: 7,
        class: `proof-best proof-${type}` }));
      const place = scales.x(step) / box.width;
      const anchor = place > 0.7 ? "end" : place < 0.3 ? "start" : "middle";
      labels.push(curveLabel(`${type}: best h = ${stepText(step)}`, step, error, scales,
        { end: 8, start: -8, middle: 0 }[anchor], 23, `proof-label proof-${type}`, anchor));
    }
  }
  if (chosen >= 0) {
    const at = scales.x(steps[chosen]);
    parts.push(svg("line", { x1: at, x2: at, y1: box.top,
      y2: box.height - box.bottom, class: "proof-chosen" }));
  }
  const { width, height } = box;
  const spoken = "Error of the measured slope against the step, both on logarithmic scales. "
    + "Two curves in the shape of a U; the table below has their numbers.";
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken,
    class: "proof-curve" }, parts, labels);
}

// The numbers behind the picture.
export function curveTable(curve) {
  const errors = {
    float32: curveErrors(curve.slopes32, curve.exact),
    float64: curveErrors(curve.slopes64, curve.exact),
  };
  const best = { float32: curveBest(errors.float32), float64: curveBest(errors.float64) };
  const cell = (type, i) => h("td", {}, number(errors[type][i]),
    best[type] === i ? h("strong", {}, " least") : null);
  return h("table", { class: "proof-table" },
    h("caption", {}, "D(h) and its relative error for every step"),
    h("thead", {}, h("tr", {}, ["h", "D(h), float32", "error", "D(h), float64", "error"].map(
      (name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, Array.from(curve.steps, (step, i) => h("tr", {},
      h("th", { scope: "row" }, stepText(step)),
      h("td", {}, number(curve.slopes32[i])), cell("float32", i),
      h("td", {}, number(curve.slopes64[i])), cell("float64", i)))));
}
