// For those who open the page for the first time: what it is, a tour, and the list of keys.

import { h, clear } from "./dom.js";

const GUIDE_SEEN = "explorer-start-here";

// Settings of this page, kept by the browser where it keeps any.
export function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

export function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a page from a file may keep nothing */ }
}

// Five places worth a look, as far as the page has them: [text, graph, changes of the state].
function guideStops(page) {
  const stops = [];
  const add = (text, graph, state) => { if (graph) stops.push([text, { graph: graph.name, ...state }]); };
  const main = page.graphs.find((graph) => graph.attention) ?? page.graphs[0];
  const start = main.steps.find((step) => step.phase === "start");
  const first = main.steps.find((step) => step.phase === "backward");
  const shared = guideMostUsed(main);
  const two = page.graphs.find((graph) => graph.walks && graph.steps.length < 12);
  add("1. Forward: the first operation", main, { step: 0 });
  add("2. The turn: backward starts with a 1", main, { step: start ? start.n : 0 });
  if (first) add("3. The loss: from p \u2212 y to the first gradients", main, { step: first.n, view: main.softmax ? "softmax" : "card" });
  if (shared) add(`4. ${shared.key}: ${shared.contributions.length} contributions add up`, main,
    { step: guideTaken(main, shared), tensor: shared.key, of: "gradient", view: "ledger" });
  const walked = two ?? (main.walks ? main : null);
  add(`5. Why newest first: ${walked && walked.title}`, walked, { step: 0, view: "order" });
  return stops;
}

function guideMostUsed(graph) {
  const computed = graph.tensors.filter((t) => t && t.kind === "computed" && t.contributions.length > 1);
  return computed[Math.floor(computed.length / 2)] ?? graph.tensors.find((t) => t && t.contributions?.length > 1);
}

function guideTaken(graph, tensor) {
  const step = graph.steps.find((s) => s.out === tensor.id && (s.phase === "backward" || s.phase === "leaf"));
  return step ? step.n : 0;
}

export function createGuide(link) {
  const element = h("aside", { class: "guide", "aria-label": "Start here" });
  let page = null;

  function show(next) {
    page = next;
    clear(element).append(
      h("div", {},
        h("p", {}, h("b", {}, "Start here. "),
          "A program computed one number, the loss, operation by operation: the forward pass. Then it went back, the newest operation first, ",
          "to find how the loss changes with every other number: its gradient. All of it was recorded, ",
          "and each number here can be followed down to those that made it."),
        h("p", {}, "Press ", h("kbd", {}, "\u2192"), " to take the first step, ", h("kbd", {}, "b"),
          " to jump to the backward pass, ", h("kbd", {}, "?"), " for all keys. Or take the tour:"),
        h("ol", { class: "guide-tour" }, guideStops(page).map(([text, state]) =>
          h("li", {}, h("a", { href: link(state) }, text))))),
      h("button", { type: "button", onclick: () => toggle(false) }, "Close"));
    element.hidden = remembered(GUIDE_SEEN) === "closed";
  }

  function toggle(open = element.hidden) {
    element.hidden = !open;
    remember(GUIDE_SEEN, open ? "open" : "closed");
  }

  return { element, show, toggle };
}

const GUIDE_KEYS = [
  ["\u2192 or j", "one step forward"],
  ["\u2190 or k", "one step back"],
  ["Space", "run, stop"],
  ["Home, End", "first step, last step"],
  ["b", "the next step of the backward pass"],
  ["g", "go to a step by its number"],
  ["/", "find a tensor by its name"],
  ["f", "hold the chosen tensor, or follow the step"],
  ["d", "dark or light"],
  ["Tab", "from part to part; in the tabs \u2190 and \u2192 move, Enter opens"],
  ["\u2191 \u2193 in the tape", "one step back, one step forward"],
  ["\u2191 \u2193 in the graph", "from tensor to tensor; Enter chooses one"],
  ["?", "this list"],
];

// The dialog that lists all keys; ``letters`` are those of the views: [letter, title].
export function createHelp() {
  const body = h("div");
  const element = h("dialog", { class: "guide-help", "aria-label": "Keys" }, body,
    h("form", { method: "dialog" }, h("button", {}, "Close")));
  const rows = (list) => h("table", {}, h("tbody", {}, list.map(([key, text]) =>
    h("tr", {}, h("td", {}, h("kbd", {}, key)), h("td", {}, text)))));

  function open(letters) {
    clear(body).append(h("h2", {}, "Keys"), rows(GUIDE_KEYS), h("h3", {}, "Views"), rows(letters),
      h("p", {}, "The address holds what you see: copy it to show somebody the same step, tensor and cell. ",
        "The browser\u2019s back and forward go through what you looked at."));
    element.showModal();
  }
  return { element, open };
}
