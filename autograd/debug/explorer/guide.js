// For those who open the page for the first time: what it is, a tour, and the list of keys.

import { h, clear } from "./dom.js";
import { remember, remembered } from "./remembered.js";
import { views } from "./views.js";

const GUIDE_SEEN = "explorer-start-here";

// Five places worth a look, as far as the page has them: [text, changes of the state].
function guideStops(page) {
  const stops = [];
  const has = (graph, id) => graph && views.some((view) => view.id === id && view.available(graph, page));
  const add = (graph, id, text, state) => {
    if (!has(graph, id)) return;
    stops.push([`${stops.length + 1}. ${text}`, { graph: graph.name, ...state, view: id }]);
  };
  const main = page.graphs.find((graph) => has(graph, "loss")) ?? page.graphs[0];
  const walked = page.graphs.find((graph) => graph.steps.length < 8 && has(graph, "order")) ?? main;
  const first = main.steps.find((step) => step.phase === "backward");
  const start = main.steps.find((step) => step.phase === "start");
  const shared = guideShared(main);
  if (start) add(main, "tensor", "The turn: backward starts with a 1", { step: start.n });
  if (first) add(main, "loss", "The first gradient: p \u2212 y", { step: first.n });
  if (shared) {
    const state = { step: guideTaken(main, shared), tensor: shared.key, of: "gradient" };
    add(main, "ledger", `${shared.contributions.length} contributions add up`, state);
    add(main, "cell", "One number, taken apart", state);
  }
  add(walked, "order", "Why newest first", { step: 0 });
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

export function createGuide(link) {
  const about = h("p");
  const element = h("aside", { class: "guide", "aria-label": "Start here" });

  function show(page) {
    clear(element).append(
      h("div", {},
        h("p", {}, h("b", {}, "Start here. "),
          "A program computed one number, the loss, operation by operation: the forward pass. ",
          "Then it went back, the newest operation first, to find how the loss changes with every ",
          "other number: its gradient. All of it was recorded, and each number here can be followed ",
          "down to those that made it."),
        about,
        h("p", {}, "Press ", h("kbd", {}, "\u2192"), " to take a step, ", h("kbd", {}, "b"),
          " to jump to the backward pass, ", h("kbd", {}, "?"), " for all keys. Or take the tour:"),
        h("ol", { class: "guide-tour" }, guideStops(page).map(([text, state]) =>
          h("li", {}, h("a", { href: link(state) }, text))))),
      h("button", { type: "button", onclick: () => toggle(false) }, "Close"));
    element.hidden = remembered(GUIDE_SEEN) === "closed";
  }

  function update({ graph }) {
    clear(about).append(h("b", {}, `${graph.title || graph.name}. `), graph.about || "");
    about.hidden = !graph.about;
  }

  function toggle(open = element.hidden) {
    element.hidden = !open;
    remember(GUIDE_SEEN, open ? "open" : "closed");
  }

  return { element, show, update, toggle };
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
  const body = h("div", { class: "guide-keys" });
  const element = h("dialog", { class: "guide-help", "aria-label": "Keys" },
    h("form", { method: "dialog" }, h("h2", {}, "Keys"), h("button", {}, "Close")), body);
  const rows = (list) => h("table", {}, h("tbody", {}, list.map(([key, text]) =>
    h("tr", {}, h("td", {}, h("kbd", {}, key)), h("td", {}, text)))));

  function open(letters, bare) {
    clear(body).append(
      bare ? "" : h("div", {}, h("h3", {}, "Steps"), rows(GUIDE_KEYS)),
      h("div", {}, h("h3", {}, "Views"), rows(letters)),
      h("p", {}, "The address holds what you see: copy it to show somebody the same step, tensor and cell. ",
        "The browser\u2019s back and forward go through what you looked at."));
    element.showModal();
    element.scrollTop = 0;
  }
  return { element, open };
}
