// For those who open the page for the first time: what it is, a tour, and the list of keys.

import { h, clear } from "./dom.js";
import { glossaryList } from "./glossary.js";
import { remember, remembered } from "./remembered.js";
import { views } from "./views.js";

const GUIDE_SEEN = "explorer-start-here";

// Places worth a look, as far as the page has them, the smallest graph first: {title, look, state}.
function guideStops(page) {
  const stops = [];
  const has = (graph, id) => graph && views.some((view) => view.id === id && view.available(graph, page));
  const add = (graph, id, title, look, state) => {
    if (has(graph, id)) stops.push({ title, look, state: { graph: graph.name, ...state, view: id, tour: stops.length + 1 } });
  };
  const main = page.graphs.find((graph) => has(graph, "loss")) ?? page.graphs[0];
  const small = page.graphs.find((graph) => graph.steps.length < 8 && has(graph, "order")) ?? main;
  const first = main.steps.find((step) => step.phase === "backward");
  const start = main.steps.find((step) => step.phase === "start");
  const at = (graph, shared) => ({ step: guideTaken(graph, shared), tensor: shared.key, of: "gradient" });
  const used = (shared) => `${shared.key} was used ${shared.contributions.length === 2 ? "twice" : `${shared.contributions.length} times`}`;

  const little = guideShared(small), shared = guideShared(main);
  if (little) add(small, "cell", "One gradient, taken apart", `${used(little)}, and each use handed back a contribution. `
    + "Look at the terms in the Cell view: they add up to the gradient.", at(small, little));
  add(small, "order", "Why newest first", "Press next in the view and compare its two sides: "
    + "a node that hands on before all contributions have arrived gives a wrong gradient.", { step: 0, walk: 2 });
  if (start) add(main, "tensor", "The turn", `${main.title || main.name}: forward is done. `
    + "Look at the one number: backward begins with 1, the derivative of the loss with respect to itself.", { step: start.n });
  if (first) add(main, "loss", "The first gradient", "Look at p \u2212 y: "
    + "the gradient of the scores is the probabilities minus the right answer.", { step: first.n });
  if (shared && shared !== little) add(main, "ledger", "Where contributions meet",
    `${used(shared)}, by different operations. Look at the account: each use, its contribution and the sum.`, at(main, shared));
  return stops;
}

// A computed tensor in the middle of the graph that is used more than once.
function guideShared(graph) {
  const shared = graph.tensors.filter((t) => t && t.key !== undefined && t.contributions.length > 1);
  const computed = shared.filter((t) => t.kind === "computed");
  return computed[Math.floor(computed.length / 2)] ?? shared[0];
}

function guideTaken(graph, tensor) {
  const step = graph.steps.find((s) => s.out === tensor.id && (s.phase === "backward" || s.phase === "leaf"));
  return step ? step.n : 0;
}

export function createGuide(link, go) {
  const element = h("aside", { class: "guide", "aria-label": "Start here" });
  let stops = [], open = remembered(GUIDE_SEEN) !== "closed", at = null;

  function show(page) {
    stops = guideStops(page);
  }

  // Its introduction, or where the address says so, a stop of the tour.
  function update({ state }) {
    const now = stops[Number(state.tour) - 1] ?? null;
    element.hidden = !open && !now;
    element.classList.toggle("is-tour", now !== null);
    if (now === at && element.firstChild) return;
    at = now;
    clear(element).append(...(now ? guideTour(stops, now, link) : guideIntroduction(stops, link)),
      h("button", { type: "button", onclick: () => toggle(false) }, now ? "End" : "Close"));
  }

  function toggle(wanted = element.hidden) {
    open = wanted;
    remember(GUIDE_SEEN, open ? "open" : "closed");
    element.hidden = !open;
    if (at) go({ tour: null });
  }

  return { element, show, update, toggle };
}

function guideIntroduction(stops, link) {
  return [h("div", {},
    h("p", {}, h("b", {}, "Start here. "),
      "A program computed one number, the loss, operation by operation: the forward pass. ",
      "Then it went back, the newest operation first, to find how the loss changes with every ",
      "other number: its gradient. All of it was recorded, and each number here can be followed ",
      "down to those that made it."),
    h("p", {}, "Press ", h("kbd", {}, "\u2192"), " to take a step, ", h("kbd", {}, "b"),
      " to jump to the backward pass, ", h("kbd", {}, "?"), " for all keys and words. Or take the tour:"),
    h("ol", { class: "guide-tour" }, stops.map(({ title, state }, i) =>
      h("li", {}, h("a", { href: link(state) }, `${i + 1}. ${title}`)))))];
}

function guideTour(stops, now, link) {
  const next = stops[stops.indexOf(now) + 1];
  return [
    h("p", { role: "status" }, h("b", {}, `${now.title}. `), now.look),
    h("nav", { class: "guide-stops", "aria-label": "Tour" }, stops.map((stop, i) =>
      h("a", { href: link(stop.state), title: stop.title, "aria-label": `Stop ${i + 1}: ${stop.title}`,
        "aria-current": stop === now ? "step" : null }, String(i + 1))),
      next ? h("a", { class: "guide-next", href: link(next.state), title: next.title }, "next \u2192")
        : h("span", { class: "faint" }, "the last stop"))];
}

const GUIDE_KEYS = [
  ["\u2192 or j", "one step forward"],
  ["\u2190 or k", "one step back"],
  ["Space", "run, stop"],
  ["Home, End", "first step, last step"],
  ["b", "the next step of the backward pass; from forward, its start"],
  ["g", "go to a step by its number"],
  ["/", "find a tensor by its name, or a part of it"],
  ["f", "hold the chosen tensor, or follow the step"],
  ["d", "dark or light"],
  ["Tab", "from part to part; in the tabs \u2190 and \u2192 move, Enter opens"],
  ["\u2191 \u2193 in the tape", "one step back, one step forward"],
  ["\u2191 \u2193 in the graph", "from tensor to tensor; Enter chooses one"],
  ["?", "this list"],
];

// The dialog that lists all keys and words; ``letters`` are those of the views: [letter, title].
export function createHelp() {
  const body = h("div", { class: "guide-keys" });
  const heading = h("h2", { tabindex: "-1" }, "Keys");
  const element = h("dialog", { class: "guide-help", "aria-label": "Keys" },
    h("form", { method: "dialog" }, heading, h("button", {}, "Close")), body);
  const rows = (list) => h("table", {}, h("tbody", {}, list.map(([key, text]) =>
    h("tr", {}, h("td", {}, h("kbd", {}, key)), h("td", {}, text)))));

  function open(letters, bare) {
    heading.textContent = bare ? "Keys" : "Keys and words";
    clear(body).append(
      bare ? "" : h("div", {}, h("h3", {}, "Steps"), rows(GUIDE_KEYS)),
      h("div", {}, h("h3", {}, bare ? "Views" : "Views of this graph"), rows(letters)),
      bare ? "" : h("div", { class: "guide-words" }, h("h3", {}, "Words"), glossaryList()),
      h("p", {}, "The address holds what you see: copy it to show somebody the same step, tensor and cell. ",
        "The browser\u2019s back and forward go through what you looked at."));
    element.showModal();
    heading.focus();
    element.scrollTop = 0;
  }
  return { element, open };
}
