// The logit lens: what each layer would say comes next, and how the loss depends on each token.

import { h, svg } from "./dom.js";
import { number } from "./format.js";
import { readingAvailable, readingOf, readingPlace, readingText, readingQuoted, readingShade, readingPercent, readingStrip, readingChoice, readingGridKeys, readingGridPointer, readingChosen, readingReveal } from "./reading.js";

const LENS_COLUMNS = 24;  // positions that are shown at once
const LENS_SHADES = [["p", "probability"], ["entropy", "entropy"], ["rank", "rank of the next token"]];

export const lensView = {
  id: "lens",
  title: "Logit lens",
  forPage: true,
  available: (graph, page) => readingAvailable(graph, page),
  render: lensRender,
};

function lensRender(root, context) {
  const reading = readingOf(context.page);
  const place = readingPlace(reading, context.state);
  const n = place.layer === null ? reading.N - 1 : place.layer + 1;
  const at = { context, reading, n, t: place.at, shade: lensShadeOf(context.state) };
  root.append(h("div", {},
    h("h3", {}, "The prompt"), lensPrompt(at),
    h("h3", {}, "What each layer would say comes next"),
    h("p", {}, "The layers add to one vector a token, the residual stream. Each row reads it after one layer, ",
      "by the model's own last normalization and output layer. The last row is the model's prediction. ",
      "The first rows were never trained to be read like this: they often name the token itself, or anything."),
    h("div", { class: "lens-bar" }, readingChoice("Shade", "lens-shade", LENS_SHADES, at.shade, (shade) => context.go({ shade: shade === "p" ? null : shade })),
      lensPages(at)),
    lensGrid(at), lensLegend(at), lensDetails(at), lensChecks(at)));
}

function lensShadeOf(state) {
  return LENS_SHADES.some(([value]) => value === state.shade) ? state.shade : "p";
}

function lensGo(at, n, t, quiet = false) {
  if (n < 0 || t < 0 || n >= at.reading.N || t >= at.reading.T) return;
  at.context.go({ block: n === 0 ? "embedding" : n - 1, token: t }, quiet);
}

// --- the prompt, by what the loss says to each token

function lensPrompt(at) {
  const { context, reading, t } = at;
  const { gradients } = reading;
  const options = [["surprise", "surprise"], ...(gradients ? [["length", "|dL/dx|"], ["times", "x dL/dx"]] : [])];
  const by = options.some(([value]) => value === context.state.by) ? context.state.by : gradients ? "length" : "surprise";
  const last = (reading.N - 1) * (reading.T - 1);
  const surprise = (i) => (i === 0 ? NaN : -reading.logp[last + i - 1]);
  const known = (i) => gradients && i < gradients.length.length;
  const most = (values) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  const scale = by === "surprise" ? 10 : most(gradients[by === "length" ? "length" : "timesInput"]);
  const style = (i) => {
    if (by === "surprise") return readingShade(surprise(i) / scale, "--warm");
    if (!known(i)) return null;
    const x = by === "length" ? gradients.length[i] : gradients.timesInput[i];
    return readingShade(Math.abs(x) / scale, by === "times" && x > 0 ? "--cold" : "--warm");
  };
  const title = (i) => [
    `position ${i}`,
    i > 0 ? `surprise ${number(surprise(i))} nats` : "predicted nowhere",
    known(i) ? `|dL/dx| ${number(gradients.length[i])}, x dL/dx ${number(gradients.timesInput[i])}` : null,
  ].filter(Boolean).join("; ");
  const about = {
    surprise: "The stronger, the less the model expected the token: -log p, in nats.",
    length: "The stronger, the more the loss changes with this token's embedding x: the length of its gradient.",
    times: "Blue: less of this embedding would lower the loss. Orange: more of it would. To first order.",
  }[by];
  return [
    readingChoice("Colour", "lens-by", options, by, (value) => context.go({ by: value })),
    readingStrip(reading, t, "Tokens of the prompt", style, title, (i, quiet) => lensGo(at, at.n, i, quiet)),
    h("p", { class: "faint" }, about, gradients ? ` L is the loss of ${gradients.of === "last" ? "the last token" : "all tokens, on average"}: ${number(gradients.loss)} nats.` : ""),
    h("p", { "aria-live": "polite" }, "Position ", String(t), ", ", readingQuoted(reading.tokens[t]), ": ", title(t).replace(/^position \d+; /, ""), "."),
  ];
}

// --- the grid

// The first position that is shown.
function lensStart({ reading, t }) {
  if (reading.T <= LENS_COLUMNS) return 0;
  const half = LENS_COLUMNS / 2;
  return Math.max(0, Math.min(reading.T - LENS_COLUMNS, Math.floor(t / half) * half - half));
}

function lensPages(at) {
  const { reading } = at;
  if (reading.T <= LENS_COLUMNS) return null;
  const start = lensStart(at), end = Math.min(reading.T, start + LENS_COLUMNS);
  const button = (text, label, t, off) => h("button", { type: "button", "aria-label": label, "data-key": `lens-${label}`,
    "aria-disabled": String(off), onclick: () => { if (!off) lensGo(at, at.n, t); } }, text);
  return h("div", { class: "reading-choice", role: "group", "aria-label": "Positions" },
    button("\u2190", "earlier positions", Math.max(0, start - 1), start === 0),
    h("span", {}, ` positions ${start} to ${end - 1} of ${reading.T} `),
    button("\u2192", "later positions", Math.min(reading.T - 1, end), end === reading.T));
}

function lensGrid(at) {
  const { reading, n: chosen, t } = at;
  const start = lensStart(at), end = Math.min(reading.T, start + LENS_COLUMNS);
  const columns = Array.from({ length: end - start }, (_, i) => start + i);
  const head = h("tr", {}, h("th", { scope: "col" }, "after"), columns.map((i) =>
    h("th", { scope: "col", class: i === t ? "is-chosen" : null, title: `position ${i}` }, lensShort(reading.tokens[i]))));
  const rows = reading.states.map((name, n) => h("tr", {}, h("th", { scope: "row", class: n === chosen ? "is-chosen" : null }, name),
    columns.map((i) => lensCell(at, n, i))));
  const grid = h("table", { class: "lens-grid", role: "grid", "aria-label": "Most likely next token, by layer and position",
    onkeydown: (event) => readingGridKeys(event, (down, right) => lensGo(at, chosen + down, t + right, true)) },
  h("thead", {}, head), h("tbody", {}, rows));
  readingGridPointer(grid, (n, i) => lensGo(at, n, start + i), (n, i) => lensTitle(at, n, start + i));
  return readingReveal(h("div", { class: "scroll lens-box" }, grid), grid.querySelector("th"));
}

function lensCell(at, n, t) {
  const { reading } = at;
  const id = reading.topIds[(n * reading.T + t) * reading.K];
  const p = reading.topP[(n * reading.T + t) * reading.K];
  const text = reading.vocabulary[id];
  const right = t + 1 < reading.T && reading.ids[t + 1] === id;
  const chosen = n === at.n && t === at.t;
  const cell = h("td", { class: right ? "is-right" : null, style: lensShade(at, n, t, p) }, lensShort(text));
  if (chosen) readingChosen(cell, "lens-chosen");
  return cell;
}

function lensTitle({ reading }, n, t) {
  const where = (n * reading.T + t) * reading.K;
  return `${readingText(reading.vocabulary[reading.topIds[where]])}: ${readingPercent(reading.topP[where])}, position ${t}, ${reading.states[n]}`;
}

function lensShade({ reading, shade }, n, t, p) {
  if (shade === "p") return readingShade(p, "--cold");
  if (shade === "entropy") return readingShade(reading.entropy[n * reading.T + t] / Math.log(lensVocabulary(reading)), "--warm");
  if (t + 1 >= reading.T) return null;
  return readingShade(1 - Math.log10(reading.rank[n * (reading.T - 1) + t]) / 4, "--done");
}

// No entropy is larger than that of the largest one that occurs here.
function lensVocabulary(reading) {
  reading.widest ??= Math.exp(reading.entropy.reduce((a, b) => Math.max(a, b), 1));
  return reading.widest;
}

function lensShort(text) {
  const whole = readingText(text);
  return whole.length > 9 ? `${whole.slice(0, 8)}\u2026` : whole;
}

function lensLegend({ reading, shade }) {
  const what = {
    p: "Shade: the probability of the token in the cell.",
    entropy: `Shade: the entropy of the whole prediction, from 0 to ${number(Math.log(lensVocabulary(reading)))} nats.`,
    rank: "Shade: the rank of the token that does come next, from 10,000 and below (none) to 1 (full).",
  }[shade];
  return h("p", { class: "faint" }, what, " Framed: the token does come next. A dot is a space. Arrow keys move the choice.");
}

// --- one cell

function lensDetails(at) {
  const { reading, n, t } = at;
  const where = (n * reading.T + t) * reading.K;
  const rows = Array.from({ length: reading.K }, (_, k) => {
    const id = reading.topIds[where + k], p = reading.topP[where + k];
    const right = t + 1 < reading.T && reading.ids[t + 1] === id;
    return h("tr", { class: right ? "is-right" : null }, h("td", { class: "number" }, String(k + 1)), h("td", {}, readingQuoted(reading.vocabulary[id])),
      h("td", { class: "number" }, readingPercent(p)), h("td", { class: "lens-share" }, h("span", { style: `width:${(100 * p).toFixed(1)}%` })));
  });
  const next = t + 1 < reading.T ? n * (reading.T - 1) + t : null;
  return h("div", { class: "lens-pair" },
    h("section", { "aria-label": "The chosen cell" },
      h("h4", {}, "After ", readingQuoted(reading.tokens[t]), `, position ${t}, read after ${reading.states[n]}`),
      h("table", { class: "lens-top" }, h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, "rank"), h("th", { scope: "col" }, "next token"),
        h("th", { scope: "col", class: "number" }, "p"), h("td", {}))), h("tbody", {}, rows)),
      h("p", {}, `Entropy ${number(reading.entropy[n * reading.T + t])} nats: as unsure as among ${number(Math.exp(reading.entropy[n * reading.T + t]))} tokens that are equally likely.`),
      next === null ? h("p", { class: "faint" }, "This is the last token: what follows is not known.")
        : h("p", {}, "Next comes ", readingQuoted(reading.tokens[t + 1]), `: rank ${reading.rank[next].toLocaleString("en")}, log p ${number(reading.logp[next])}, p ${readingPercent(Math.exp(reading.logp[next]))}.`),
      reading.maps.L > 0 && n > 0 ? h("p", {}, h("a", { href: at.context.link({ view: "maps", block: n - 1, token: t }) }, `Where the heads of layer ${n - 1} look from here`)) : null),
    h("section", { "aria-label": "This position over the layers" }, h("h4", {}, "This position, layer by layer"), lensChart(at)));
}

const LENS_CHART = { width: 380, height: 170, left: 40, right: 10, top: 22, bottom: 24 };

function lensChart(at) {
  const { reading, n: chosen, t } = at;
  const { width, height, left, right, top, bottom } = LENS_CHART;
  const states = reading.states.map((_, n) => n);
  const entropy = states.map((n) => reading.entropy[n * reading.T + t]);
  const lines = [["entropy", entropy, "--warm"]];
  if (t + 1 < reading.T) lines.push(["-log p of the next token", states.map((n) => -reading.logp[n * (reading.T - 1) + t]), "--cold"]);
  const most = Math.max(1, ...lines.flatMap(([, values]) => values.slice(1)));
  const first = lines.findLast(([, values]) => values[0] > 1.2 * most);  // the embedding is too far off to be drawn
  const x = (n) => left + (width - left - right) * (states.length > 1 ? n / (states.length - 1) : 0.5);
  const y = (value) => height - bottom - (height - top - bottom) * value / most;
  const label = lines.map(([name, values]) => `${name} from ${number(values[0])} to ${number(values.at(-1))} nats`).join("; ");
  return h("div", { class: "scroll" }, svg("svg", { class: "lens-chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    [0, most / 2, most].map((value) => [svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "lens-rule" }),
      svg("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, value >= 10 ? value.toFixed(0) : value === 0 ? "0" : value.toFixed(1))]),
    svg("line", { x1: x(chosen), x2: x(chosen), y1: top, y2: height - bottom, class: "lens-here" }),
    svg("text", { x: left, y: height - 6 }, reading.states[0]),
    svg("text", { x: width - right, y: height - 6, "text-anchor": "end" }, reading.states.at(-1)),
    lines.map(([name, values, colour], i) => [
      svg("polyline", { points: values.flatMap((value, n) => (value > 1.2 * most ? [] : [`${x(n).toFixed(1)},${y(value).toFixed(1)}`])).join(" "), style: `stroke:var(${colour})`, class: "lens-line" }),
      values[chosen] > 1.2 * most ? null : svg("circle", { cx: x(chosen), cy: y(values[chosen]), r: 3.5, style: `fill:var(${colour})` }),
      svg("text", { x: left + 110 * i, y: 12, style: `fill:var(${colour})` }, `${name}${i ? "" : ", in nats"}`)])),
  first ? h("p", { class: "faint" }, `Off the scale, at the embedding: ${number(first[1][0])}.`) : null);
}

function lensChecks({ reading }) {
  return h("p", { class: "faint" }, "Checked: the last row's logits and those of the model's own forward pass differ by at most ",
    reading.difference === 0 ? "0, exactly." : `${number(reading.difference)}.`);
}
