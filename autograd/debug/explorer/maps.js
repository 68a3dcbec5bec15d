// Attention maps: where every head looks, what kind of head that makes it, and one head in full.

import { h } from "./dom.js";
import { number } from "./format.js";
import { readingAvailable, readingOf, readingPlace, readingText, readingQuoted, readingShade, readingPercent, readingStrip, readingChoice, readingGridKeys, readingGridPointer, readingChosen, readingReveal } from "./reading.js";

const MAPS_LISTED = 12;  // keys of a query that are listed
const MAPS_NUMBERS = [["first", "first token"], ["previous", "token before"], ["repeated", "repeated"], ["entropy", "entropy"]];
const MAPS_ABOUT = {
  first: "The share of its attention that a head gives to the first token. Much of it often means that the head found nothing to look at.",
  previous: "The share that goes to the token right before the query.",
  repeated: "At tokens that were read before, the share that goes to what came next then. Heads that do this continue a repetition: induction heads.",
  entropy: "How widely a head looks, in nats: 0 is one token, log t is t tokens alike.",
};

export const mapsView = {
  id: "maps",
  title: "Attention maps",
  forPage: true,
  available: (graph, page) => readingAvailable(graph, page),
  render: mapsRender,
};

function mapsRender(root, context) {
  const reading = readingOf(context.page);
  const place = readingPlace(reading, context.state);
  const by = MAPS_NUMBERS.some(([name]) => name === context.state.heads) ? context.state.heads : "first";
  const at = { context, reading, maps: reading.maps, t: place.at, by, ...mapsHead(reading.maps, place) };
  root.append(h("div", {},
    h("h3", {}, "Where each head looks"),
    h("p", {}, "At each position, a head divides its attention among the tokens so far. The numbers here are means over all positions but the first."),
    readingChoice("Number", "maps-by", MAPS_NUMBERS, by, (name) => context.go({ heads: name === "first" ? null : name })),
    h("p", { class: "faint" }, MAPS_ABOUT[by], mapsKnown(at) ? "" : " No token of this prompt is repeated."),
    mapsGrid(at),
    h("h3", {}, `Layer ${at.layer}, head ${at.head}`), mapsNumbers(at), mapsOne(at), mapsChecks(at)));
}

// The head of the address; without one, the first that looks at repeated tokens most, or at the token before.
function mapsHead(maps, { layer, head }) {
  if (layer !== null && layer >= 0) return { layer, head: head ?? 0 };
  const values = maps.repeated.some((x) => !Number.isNaN(x)) ? maps.repeated : maps.previous;
  let best = -1;
  values.forEach((x, i) => {
    const kept = maps.layers.includes(Math.floor(i / maps.H));
    if (kept && !Number.isNaN(x) && (best < 0 || x > values[best])) best = i;
  });
  if (best < 0) best = (maps.layers[0] ?? 0) * maps.H;
  return layer === null ? { layer: Math.floor(best / maps.H), head: head ?? best % maps.H } : { layer: 0, head: head ?? 0 };
}

function mapsKnown({ maps, by }) {
  return maps[by].some((x) => !Number.isNaN(x));
}

function mapsGo(at, layer, head, quiet = false) {
  if (layer < 0 || head < 0 || layer >= at.maps.L || head >= at.maps.H) return;
  at.context.go({ block: layer, head, token: at.t }, quiet);
}

// --- all heads

function mapsGrid(at) {
  const { maps, by, layer: chosenLayer, head: chosenHead } = at;
  const most = by === "entropy" ? maps.entropy.reduce((a, b) => Math.max(a, b), 0) || 1 : 1;
  const layers = Array.from({ length: maps.L }, (_, layer) => layer);
  const cell = (layer, head) => {
    const x = maps[by][layer * maps.H + head];
    const chosen = layer === chosenLayer && head === chosenHead;
    const found = h("td", { style: readingShade(x / most, by === "entropy" ? "--warm" : "--cold") },
      Number.isNaN(x) ? "" : by === "entropy" ? x.toFixed(1) : String(Math.round(100 * x)));
    if (chosen) readingChosen(found, "maps-chosen");
    return found;
  };
  const grid = h("table", { class: "maps-grid", role: "grid", "aria-label": `${MAPS_NUMBERS.find(([name]) => name === by)[1]} of every head${by === "entropy" ? "" : ", in percent"}`,
    onkeydown: (event) => readingGridKeys(event, (down, right) => mapsGo(at, chosenLayer + right, chosenHead + down, true)) },
  h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "head \\ layer"), layers.map((layer) =>
    h("th", { scope: "col", class: layer === chosenLayer ? "is-chosen" : null }, String(layer))))),
  h("tbody", {}, Array.from({ length: maps.H }, (_, head) => h("tr", {},
    h("th", { scope: "row", class: head === chosenHead ? "is-chosen" : null }, String(head)), layers.map((layer) => cell(layer, head))))));
  readingGridPointer(grid, (head, layer) => mapsGo(at, layer, head), (head, layer) => {
    const x = maps[by][layer * maps.H + head];
    return `layer ${layer}, head ${head}: ${by === "entropy" ? `${number(x)} nats` : readingPercent(x)}`;
  });
  return readingReveal(h("div", { class: "scroll maps-box" }, grid), grid.querySelector("th"));
}

// --- one head

function mapsNumbers({ maps, layer, head, context }) {
  const i = layer * maps.H + head;
  const repeated = Number.isNaN(maps.repeated[i]) ? "" : ` At tokens that were read before, ${readingPercent(maps.repeated[i])} goes to what came next then.`;
  return h("p", {}, `Entropy ${number(maps.entropy[i])} nats. Of its attention, ${readingPercent(maps.first[i])} goes to the first token, `,
    `${Number.isNaN(maps.previous[i]) ? "none" : readingPercent(maps.previous[i])} to the token before.${repeated}`,
    context.state.block === undefined && repeated ? " No head does that more: the page begins with it." : "");
}

function mapsOne(at) {
  const { maps, layer } = at;
  if (!maps.layers.includes(layer)) {
    const has = maps.layers.length ? `It has those of layers ${maps.layers.join(", ")}.` : "The prompt is too long for any.";
    return h("p", { class: "message" }, `The page has no map of layer ${layer}, so as not to be too large. ${has} `,
      "To have it, write the page with ", h("code", {}, `--layers ${layer}`), " or a shorter prompt.");
  }
  return [mapsStrip(at), h("div", { class: "maps-pair" },
    h("section", { "aria-label": "The map" }, mapsLarge(at)),
    h("section", { "aria-label": "The chosen row" }, mapsRow(at))),
  h("h4", {}, `All heads of layer ${layer}`),
  h("div", { class: "maps-heads" }, Array.from({ length: maps.H }, (_, head) =>
    h("button", { type: "button", class: "maps-head", "aria-pressed": String(head === at.head), "data-key": `maps-head-${head}`,
      "aria-label": `Head ${head}: entropy ${number(maps.entropy[layer * maps.H + head])} nats`, onclick: () => mapsGo(at, layer, head) },
    mapsCanvas(at, head, null), h("span", {}, String(head)))))];
}

// How much query t looks at key s, by the page's triangle of the map.
function mapsWeights({ maps, reading, layer }, head) {
  const size = reading.T * (reading.T + 1) / 2;
  return maps.weights[maps.layers.indexOf(layer)].subarray(head * size, (head + 1) * size);
}

function mapsStrip(at) {
  const { reading, t, context } = at;
  const weights = mapsWeights(at, at.head);
  const start = t * (t + 1) / 2;
  return [
    h("p", { class: "faint" }, "The stronger, the more the head looks there from the framed token. Choose another token to look from it."),
    readingStrip(reading, t, "Tokens of the prompt", (s) => (s > t ? "opacity:0.4" : readingShade(Math.sqrt(weights[start + s]), "--cold")),
      (s) => (s > t ? `position ${s}, not yet read` : `position ${s}: ${readingPercent(weights[start + s])}`),
      (s, quiet) => context.go({ token: s, block: at.layer, head: at.head }, quiet)),
  ];
}

function mapsRow(at) {
  const { reading, t } = at;
  const row = Array.from(mapsWeights(at, at.head).subarray(t * (t + 1) / 2, (t + 1) * (t + 2) / 2), (p, s) => [s, p]);
  const sum = row.reduce((total, [, p]) => total + p, 0);
  const most = [...row].sort((a, b) => b[1] - a[1]).slice(0, MAPS_LISTED);
  const rest = sum - most.reduce((total, [, p]) => total + p, 0);
  return [
    h("h4", {}, "From ", readingQuoted(reading.tokens[t]), `, position ${t}`),
    h("table", { class: "lens-top" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, "position"), h("th", { scope: "col" }, "token"), h("th", { scope: "col", class: "number" }, "share"), h("td", {}))),
      h("tbody", {}, most.map(([s, p]) => h("tr", {}, h("td", { class: "number" }, String(s)), h("td", {}, readingQuoted(reading.tokens[s])),
        h("td", { class: "number" }, readingPercent(p)), h("td", { class: "lens-share" }, h("span", { style: `width:${(100 * p).toFixed(1)}%` })))))),
    h("p", {}, row.length > most.length ? `The other ${row.length - most.length} get ${readingPercent(Math.max(0, rest))}. ` : "", `The row adds up to ${sum.toFixed(6)}.`),
    h("p", {}, h("a", { href: at.context.link({ view: "lens", block: at.layer, token: t }) }, `What the model would say here after layer ${at.layer}`)),
  ];
}

function mapsColour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => Number.parseInt(text.slice(i, i + 2), 16));
}

// The map as a picture of T x T points: row = query, column = key; the root of a share is its strength.
function mapsCanvas(at, head, label) {
  const T = at.reading.T, weights = mapsWeights(at, head);
  const canvas = h("canvas", { width: T, height: T, "aria-hidden": label ? null : "true", role: label ? "img" : null, "aria-label": label });
  const paint = canvas.getContext("2d");
  const image = paint.createImageData(T, T);
  const [paper, ink] = [mapsColour("--sunk"), mapsColour("--cold")];
  for (let query = 0, i = 0; query < T; query++) {
    for (let key = 0; key <= query; key++, i++) {
      const share = Math.sqrt(Math.min(1, weights[i])), place = 4 * (query * T + key);
      for (let c = 0; c < 3; c++) image.data[place + c] = paper[c] + share * (ink[c] - paper[c]);
      image.data[place + 3] = 255;
    }
  }
  paint.putImageData(image, 0, 0);
  return canvas;
}

// The large one: a click chooses the row, and the pointer is told what is under it.
function mapsLarge(at) {
  const { reading, t, layer, head, context } = at;
  const T = reading.T, weights = mapsWeights(at, head);
  const frame = h("span", { class: "maps-frame", style: `top:${100 * t / T}%;width:${100 * (t + 1) / T}%;height:${100 / T}%` });
  const box = h("div", { class: "maps-map" },
    mapsCanvas(at, head, `Attention of layer ${layer}, head ${head}: a row for each query, a column for each key`), frame);
  const under = (event) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return [Math.floor((event.clientY - top) / height * T), Math.floor((event.clientX - left) / width * T)];
  };
  box.addEventListener("click", (event) => context.go({ token: Math.min(T - 1, Math.max(0, under(event)[0])), block: layer, head }));
  box.addEventListener("pointermove", (event) => {
    const [query, key] = under(event);
    box.title = query < 0 || key < 0 || query >= T || key > query ? ""
      : `from ${query} ${readingText(reading.tokens[query])} to ${key} ${readingText(reading.tokens[key])}: ${readingPercent(weights[query * (query + 1) / 2 + key])}`;
  });
  return box;
}

function mapsChecks({ maps }) {
  return h("p", { class: "faint" }, "Checked: these maps times the values, and what the model's attention returned, differ by at most ",
    `${number(maps.difference)}, in all layers; the largest number there is ${number(maps.largest)}.`);
}
