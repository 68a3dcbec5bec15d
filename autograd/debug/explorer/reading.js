// What the views of a prompt have in common: its data, its tokens, and shades.

import { h } from "./dom.js";

// Whether the page has a reading, and the graph, if there is one, is that of the model that read.
export function readingAvailable(graph, page) {
  return Boolean(page && page.lens) && (graph === null || Boolean(graph.labels && graph.labels.tokens));
}

const READING_STRIP = 400;  // tokens that are shown as running text at once
const readingCache = new WeakMap();

// The page's reading with its arrays in place: T positions, N states of the residual stream, K ids.
export function readingOf(page) {
  if (!readingCache.has(page)) readingCache.set(page, readingDecode(page));
  return readingCache.get(page);
}

function readingDecode(page) {
  const raw = page.lens;
  const take = (reference) => page.array(reference).data;
  const maps = raw.maps;
  return {
    tokens: raw.tokens, states: raw.states, vocabulary: raw.vocabulary, difference: raw.difference,
    T: raw.tokens.length, N: raw.states.length, K: page.array(raw.topIds).shape[2],
    ids: raw.ids, topIds: take(raw.topIds), topP: take(raw.topP), entropy: take(raw.entropy),
    rank: take(raw.rank), logp: take(raw.logp),
    gradients: raw.gradients && { ...raw.gradients, length: take(raw.gradients.length), timesInput: take(raw.gradients.timesInput) },
    maps: {
      layers: maps.layers, weights: maps.weights.map(take), difference: maps.difference, largest: maps.largest,
      L: page.array(maps.entropy).shape[0], H: page.array(maps.entropy).shape[1],
      entropy: take(maps.entropy), first: take(maps.first), previous: take(maps.previous), repeated: take(maps.repeated),
    },
  };
}

// The position, layer and head that the address names; the last token and the last layer otherwise.
export function readingPlace(reading, state) {
  const whole = (text, end, other) => {
    const x = Number(text);
    return text !== undefined && Number.isInteger(x) && x >= 0 && x <= end ? x : other;
  };
  const last = reading.maps.L - 1;
  return {
    at: whole(state.token, reading.T - 1, reading.T - 1),
    layer: state.block === "embedding" ? -1 : whole(state.block, last, null),
    head: whole(state.head, reading.maps.H - 1, null),
  };
}

// A token as text: its spaces as dots, which a reader of the screen is not told.
export function readingText(text) {
  if (text === "") return "\u2205";
  return text.startsWith(" ") || text.endsWith(" ") ? text.replace(/^ +| +$/g, (spaces) => "\u00B7".repeat(spaces.length)) : text;
}

export function readingQuoted(text) {
  return h("q", { class: "reading-token" }, readingText(text));
}

// A background for a share from 0 to 1 of the colour of a variable of the style.
export function readingShade(share, colour = "--cold", most = 70) {
  const percent = Number.isNaN(share) ? 0 : Math.round(most * Math.min(1, Math.max(0, share)));
  return percent ? `background:color-mix(in srgb,var(${colour}) ${percent}%,transparent)` : null;
}

// A number from 0 to 1 in percent.
export function readingPercent(p) {
  if (Number.isNaN(p)) return "\u2013";
  if (p > 0 && p < 0.001) return "< 0.1 %";
  return p < 0.0995 ? `${(100 * p).toFixed(1)} %` : `${Math.round(100 * p)} %`;
}

// The prompt as running text: a button for each token, with the shade that ``style`` gives it.
export function readingStrip(reading, chosen, label, style, title, choose) {
  const from = Math.max(0, Math.min(chosen - READING_STRIP / 2, reading.T - READING_STRIP));
  const to = Math.min(reading.T, from + READING_STRIP);
  const left = (n, where) => (n > 0 ? h("span", { class: "faint" }, ` ${n} ${where} tokens `) : null);
  const token = (text, t) => [
    h("button", {
      type: "button", class: t === chosen ? "is-chosen" : null, style: style(t), "aria-pressed": String(t === chosen),
      "data-key": `strip-${t}`, tabindex: t === chosen ? "0" : "-1",
    }, readingText(text)),
    text.includes("\u21B5") ? h("br", {}) : null,
  ];
  const place = (event) => {
    const button = event.target.closest("button");
    return button && Number(button.dataset.key.slice("strip-".length));
  };
  return readingReveal(h("p", {
    class: "reading-strip scroll", role: "group", "aria-label": label,
    onclick: (event) => { if (place(event) !== null) choose(place(event)); },
    onpointerover: (event) => { if (place(event) !== null) event.target.title = title(place(event)); },
    onkeydown: (event) => readingStripKey(event, reading.T, choose),
  }, left(from, "earlier"), reading.tokens.slice(from, to).map((text, i) => token(text, from + i)), left(reading.T - to, "later")));
}

function readingStripKey(event, length, choose) {
  const token = event.target.closest("[data-key]");
  if (!token || event.ctrlKey || event.altKey || event.metaKey) return;
  const t = Number(token.dataset.key.slice("strip-".length));
  const next = { ArrowRight: t + 1, ArrowLeft: t - 1, Home: 0, End: length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  if (next < 0 || next >= length) return;
  const box = token.parentNode;
  const button = box.querySelector(`[data-key="strip-${next}"]`);
  if (button) button.focus();
  choose(next, true);
}

// Buttons of which one is pressed: [[value, text], ...].
export function readingChoice(label, key, options, chosen, choose) {
  return h("div", { class: "reading-choice", role: "group", "aria-label": label }, h("span", { class: "faint" }, `${label}: `),
    options.map(([value, text]) => h("button", {
      type: "button", "aria-pressed": String(value === chosen), "data-key": `${key}-${value}`, onclick: () => choose(value),
    }, text)));
}

// Arrow keys in a grid of cells: calls move(rows, columns). The chosen cell alone can be tabbed to.
export function readingGridKeys(event, move) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const by = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key];
  if (!by) return;
  event.preventDefault();
  move(...by);
}

// The chosen cell of a grid: the one that Tab comes to.
export function readingChosen(cell, key) {
  cell.classList.add("is-chosen");
  cell.tabIndex = 0;
  cell.dataset.key = key;
  cell.setAttribute("aria-selected", "true");
}

// A click in a grid calls choose(row, column); what is under the pointer is told by title(row, column).
export function readingGridPointer(grid, choose, title) {
  const place = (event, act) => {
    const cell = event.target.closest("td");
    return cell && act(cell.parentNode.sectionRowIndex, cell.cellIndex - 1);
  };
  grid.addEventListener("click", (event) => place(event, choose));
  grid.addEventListener("pointerover", (event) => { const text = place(event, title); if (text) event.target.title = text; });
}

// Once the box is on the page, scroll it so that what is chosen is seen beside a fixed corner, if there is one.
export function readingReveal(box, corner = null) {
  requestAnimationFrame(() => {
    const chosen = box.querySelector("td.is-chosen, button.is-chosen");
    if (!chosen || !box.isConnected) return;
    const outer = box.getBoundingClientRect(), inner = chosen.getBoundingClientRect();
    const fixed = corner ? corner.getBoundingClientRect() : { width: 0, height: 0 };
    const left = outer.left + fixed.width, top = outer.top + fixed.height;
    if (inner.right > outer.right) box.scrollLeft += inner.right - outer.right + 2;
    if (inner.left < left) box.scrollLeft -= left - inner.left + 2;
    if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom + 2;
    if (inner.top < top) box.scrollTop -= top - inner.top + 2;
  });
  return box;
}
