// The page: reads its data, draws the parts that stay, and draws them again when the address changes.

import { loadPage, unpacked } from "./data.js";
import { clear, h } from "./dom.js";
import { readState, resolveState, writeState } from "./state.js";
import { createControls } from "./controls.js";
import { createTape } from "./tape.js";
import { createDrawing } from "./drawing.js";
import { createChosen } from "./chosen.js";
import { predictHides } from "./predict.js";
import { createTabs } from "./tabs.js";
import { createGuide, createHelp } from "./guide.js";
import { createGlossaryNote } from "./glossary.js";
import { remember, remembered } from "./remembered.js";

const SENTENCE_LONG = 180;  // letters: more of them are smaller, so that two lines hold them

async function start() {
  const embedded = (id) => unpacked(document.getElementById(id).textContent);
  const page = loadPage(new TextDecoder().decode(await embedded("data")), await embedded("arrays"));
  const root = document.getElementById("explorer");
  const bare = page.graphs.length === 0;  // a page of views that need no graph, such as a prompt's
  let state = null, context = null, drawn = null;

  // --- the state is the address

  // Change the state, and so the page. Quiet changes (running, dragging) leave no entry in the history.
  function go(changes, quiet = false) {
    const address = writeState({ ...readState(location.hash), ...changes });
    if (address === location.hash) return;
    if (quiet) {
      try {
        history.replaceState(null, "", address);
        draw();
        return;
      } catch { /* a page in a frame without an address of its own */ }
    }
    visit(address);
  }

  function visit(address) {
    location.hash = address;
    draw();  // at once: the event of the change comes later, and then there is nothing left to do
  }

  function goToStep(n, quiet = false) {
    const held = readState(location.hash).hold === "1";
    go(held ? { step: n } : { step: n, tensor: null, of: null, cell: null }, quiet);
  }

  function choose(id) {
    const phase = context.step ? context.step.phase : "forward";
    const tensor = context.graph.tensors[id];
    go({ tensor: tensor.key, of: phase !== "forward" && tensor.grad !== null ? "gradient" : null, cell: null });
  }

  function draw() {
    drawn = location.hash;
    tabs.remember();
    state = readState(location.hash);
    const link = (changes) => writeState({ ...state, ...changes });
    context = { page, state, go, link, ...resolveState(page, state) };
    document.documentElement.dataset.step = String(context.step?.n ?? "");
    if (bare) { tabs.update(context); return; }
    const running = controls.running();
    sentence.setAttribute("aria-live", running ? "off" : "polite");
    drawSentence(context, phase, sentence, site);
    words.classList.toggle("is-long", sentence.textContent.length > SENTENCE_LONG);
    chooser.value = context.graph.name;
    about.update(context.graph);
    for (const part of [guide, controls, tape, drawing, chosen, tabs]) part.update(context);
    chosen.element.hidden = !tabs.usesTensor();
  }

  // --- the parts

  const controls = createControls({ step: goToStep });
  const tape = createTape(goToStep, choose);
  const drawing = createDrawing(choose);
  const chosen = createChosen(go);
  const tabs = createTabs(go);
  const guide = createGuide(writeState, go);
  const help = createHelp();
  const phase = h("button", { type: "button", class: "page-phase term" });
  const sentence = h("span", { class: "page-words", role: "status", "aria-live": "polite" });
  const site = h("p", { class: "page-site" });
  const about = createAbout();
  const chooseGraph = () => visit(writeState({ graph: chooser.value, view: state.view }));
  const chooser = h("select", { "aria-label": "Graph", onchange: chooseGraph },
    page.graphs.map((graph) => h("option", { value: graph.name }, graph.title || graph.name)));
  const tool = (label, key, action) =>
    h("button", { type: "button", title: `${label} (${key})`, onclick: action }, label);
  const theme = tool("Dark", "d", switchTheme);

  const openGuide = h("button", { type: "button", onclick: () => guide.toggle() }, "Start here");
  const openHelp = tool("Keys", "?", () => help.open(tabs.letters(), bare));
  const words = h("p", { class: "page-sentence" }, phase, sentence);
  const title = h("h1", {}, page.title), heading = (text) => h("h2", { class: "hidden-text" }, text);
  if (bare) {
    clear(root).append(
      h("header", { class: "page-head" }, title, h("div", { class: "page-tools" }, openHelp, theme)),
      h("div", { class: "page-body" }, h("div", { class: "page-right" }, heading("Views"), tabs.list, tabs.panel)));
  } else {
    clear(root).append(
      h("header", { class: "page-head" }, title, page.graphs.length > 1 ? chooser : null, about.element,
        h("div", { class: "page-tools" }, openGuide, openHelp, theme)),
      guide.element,
      h("div", { class: "page-now" }, controls.element, words, site),
      h("div", { class: "page-body" },
        h("div", { class: "page-left" }, heading("Tape and graph"), tape.pending, tape.element, drawing.element),
        h("div", { class: "page-right" }, heading("Views"), tabs.list, chosen.element, tabs.panel)));
  }
  root.append(help.element, createGlossaryNote());
  root.className = bare ? "page is-bare" : "page";
  if (!bare) guide.show(page);

  // --- light and dark

  function dark() {
    const own = document.documentElement.dataset.theme;
    return own ? own === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function switchTheme() {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    remember("explorer-theme", document.documentElement.dataset.theme);
    showTheme();
    draw();  // a view may have painted in the colours of before
  }

  function showTheme() {
    theme.textContent = dark() ? "Light" : "Dark";
  }

  if (remembered("explorer-theme")) document.documentElement.dataset.theme = remembered("explorer-theme");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { showTheme(); draw(); });
  showTheme();

  // --- links: in a frame without an address of its own, such as a notebook's, "#..." would lead away

  addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href^='#']") : null;
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    visit(link.getAttribute("href"));
  });

  // --- keys

  // A list from which something was chosen lets go of the keys: they are the page's.
  addEventListener("change", (event) => {
    const focused = document.activeElement;
    if (event.target instanceof HTMLSelectElement && focused instanceof HTMLSelectElement) focused.blur();
  });

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || help.element.open) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.matches("input:not([type='checkbox'], [type='radio']), select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === " " && target.closest("button, a, summary, input, [role='button'], [role='gridcell']")) return;
    const known = (!bare && controls.key(event.key)) || pageKey(event.key) || tabs.key(event.key);
    if (known) event.preventDefault();
  });

  function pageKey(name) {
    if (name === "?") help.open(tabs.letters(), bare);
    else if (name === "/" && !bare) chosen.focus();
    else if (name === "f" && !bare) chosen.toggleHold();
    else if (name === "d") switchTheme();
    else return false;
    return true;
  }

  // a view that asks to be drawn anew sends this event itself
  addEventListener("hashchange", (event) => { if (!event.isTrusted || location.hash !== drawn) draw(); });
  draw();
}

// What the graph is for: two lines of it, and a button for the rest where there is more.
function createAbout() {
  const text = h("p", { class: "page-about" });
  const more = h("button", { type: "button", class: "page-more", onclick: () => expand(!open) });
  const element = h("div", { class: "page-describe" }, text, more);
  let open = false;

  function expand(wanted) {
    open = wanted;
    element.classList.toggle("is-open", open);
    more.textContent = open ? "less" : "more";
    more.setAttribute("aria-expanded", String(open));
    more.style.visibility = open || text.scrollHeight > text.clientHeight + 1 ? "" : "hidden";  // its place stays
  }

  function update(graph) {
    const about = graph.about || graph.title || "";
    if (about === text.textContent) return;
    text.textContent = about;
    expand(false);
  }

  new ResizeObserver(() => expand(open)).observe(text);
  return { element, update };
}

function drawSentence(context, phase, sentence, site) {
  const { step } = context;
  const backward = step.phase !== "forward";
  phase.textContent = { forward: "Forward", start: "The turn", backward: "Backward", leaf: "Leaf" }[step.phase];
  phase.dataset.word = { forward: "tape", start: "the turn", backward: "gradient", leaf: "leaf" }[step.phase];
  phase.classList.toggle("is-backward", backward);
  const asked = predictHides(context) ? `${step.op} ${step.name}: predict, then reveal.`.trim() : "";
  if (asked) sentence.textContent = asked;
  else if (sentence.textContent !== step.sentence) clear(sentence).append(...withLinks(context));
  clear(site);
  if (!step.site) return;
  site.append(h("code", { class: "page-place" }, `${step.site.file}:${step.site.line}`),
    h("code", { class: "page-source" }, step.site.source));
}

// The sentence of a step, in which the tensors that it names lead to their numbers.
function withLinks({ graph, step, link }) {
  const ids = [step.out, ...(step.inputs ?? []), ...(step.contributions ?? []).map((part) => part.to)];
  const keys = [...new Set(ids.map((id) => graph.tensors[id]?.key).filter(Boolean))];
  keys.sort((a, b) => b.length - a.length);
  const parts = [];
  let rest = step.sentence;
  while (rest) {
    const found = keys.map((key) => [nameAt(rest, key), key]).filter(([at]) => at >= 0);
    if (!found.length) break;
    const [at, key] = found.reduce((best, next) => (next[0] < best[0] ? next : best));
    parts.push(rest.slice(0, at), h("a", { href: link({ tensor: key, of: null, cell: null }) }, key));
    rest = rest.slice(at + key.length);
  }
  return [...parts, rest];
}

// Where a name stands as a word of its own; -1 if it does not.
function nameAt(text, name) {
  const inName = (letter) => letter !== undefined && /[\w.#]/.test(letter);
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    const after = text[at + name.length];
    const ended = after === "." && !inName(text[at + name.length + 1]);
    if (!inName(text[at - 1]) && (ended || !inName(after))) return at;
  }
  return -1;
}

start();
