// Why newest first: the same graph walked in the engine's order and by recursion, side by side.

import { h } from "./dom.js";
import { number, exact, shapeText } from "./format.js";
import { readState } from "./state.js";
import { orderWalk, orderGraph, orderEvent, orderState, orderElements, orderUses, orderSentence, orderShort, orderLastEvent, orderOutcome } from "./order_events.js";
import { orderDrawable, orderDrawing, orderSquares } from "./order_drawing.js";

const ORDER_LISTED = 9;  // events listed around the present one
const ORDER_LEAVES = 200;
const ORDER_ELEMENTS = 6;

const ORDER_EXAMPLES = { reuse: "b = a + a; c = b * b", residual: "a residual stream" };
const ORDER_WALKS = {
  newest: ["Newest first", "Newest is what forward made last. An operation is newer than all it was computed from, so when a "
    + "node's turn comes, every use of it has already contributed."],
  once: ["Recursion, each node once", "Recursion goes on into the inputs at once: a node used twice hands on "
    + "the first part that arrives, and the rest stays behind."],
  every: ["Recursion, at every arrival", "A node hands on, each time a part arrives, all that it has gathered: "
    + "what it handed on before is counted again."],
};

export const orderView = {
  id: "order",
  title: "Why newest first",
  available: (graph) => Boolean(graph.walks && graph.walks.examples),
  render: renderOrder,
};

function renderOrder(root, context) {
  const { page, graph, state } = context;
  const of = orderChosen(graph, state);
  const walked = of === "this" ? graph.walks.this : graph.walks.examples[of];
  const by = state.walkby === "every" ? "every" : "once";
  const nodes = orderGraph(page, walked);
  const pair = ["newest", by].map((name) => orderWalk(page, walked, name));
  const end = Math.max(...pair.map((walk) => walk.length));
  const position = Math.min(end, Math.max(1, Math.round(Number(state.walk)) || 1));
  const at = { context, walked, of, by, nodes, pair, end, position };
  root.append(h("h3", {}, "Why newest first"),
    h("p", {}, "Both walks carry the gradient of ", h("code", {}, nodes.nodes[0].name), " back through the same ",
      `${nodes.nodes.length} nodes, operations and leaves, each with the operation's own backward. Only the order differs.`,
      nodes.nodes.some((node) => node.shape.length) ? " The length of a gradient is the root of the sum of its squares." : ""),
    graph.walks.refused ? h("p", {}, `This graph is not walked here: ${graph.walks.refused}. So these are examples.`) : "",
    orderChoices(at), orderStepper(at), orderDrawable(nodes) ? "" : orderLegend(),
    h("div", { class: "order-pair" }, pair.map((walk) => orderColumn(at, walk))),
    orderResults(at), orderPaths(at));
}

function orderChosen(graph, state) {
  if (state.walkon && graph.walks.examples[state.walkon]) return state.walkon;
  return graph.walks.this ? "this" : "reuse";
}

// --- what is walked, and where we are -------------------------------------------------------------

function orderButton(at, id, text, changes, attributes = {}) {
  return h("button", { type: "button", "data-key": `order-${id}`, ...attributes,
    onclick: typeof changes === "function" ? changes : () => at.context.go(changes) }, text);
}

function orderChoices(at) {
  const { page, graph } = at.context, own = graph.walks.this;
  const uses = (walked) => String(page.array(walked.edges).data);
  const examples = Object.entries(ORDER_EXAMPLES).filter(([id]) => !own || id === at.of || uses(own) !== uses(graph.walks.examples[id]));
  const graphs = [...(own ? [["this", "this graph"]] : []), ...examples]; // an example that this graph is stands there once
  const pressed = (yes) => ({ "aria-pressed": String(yes) });
  return h("div", { class: "order-choices" },
    h("div", { role: "group", "aria-label": "Graph to walk" }, h("span", {}, "Graph: "),
      graphs.map(([id, text]) => orderButton(at, `on-${id}`, text,
        { walkon: id === "this" ? null : id, walk: null }, pressed(id === at.of)))),
    h("div", { role: "group", "aria-label": "The other walk" }, h("span", {}, "Against: "),
      ["once", "every"].map((id) => orderButton(at, `by-${id}`, ORDER_WALKS[id][0].toLowerCase(),
        { walkby: id === "once" ? null : id, walk: null }, pressed(id === at.by)))));
}

function orderStepper(at) {
  const { position, end, pair } = at;
  const early = pair[1].early.length ? pair[1].early[0] + 1 : null;
  const later = pair[1].early.find((e) => e + 1 > position);
  const to = (walk) => ({ walk });
  const off = (yes) => ({ "aria-disabled": String(yes) });
  // From where the address is now: keys may be pressed faster than the page is drawn.
  const by = (change) => {
    const now = Number(readState(location.hash).walk) || 1;
    at.context.go(to(Math.min(end, Math.max(1, now + change))));
  };
  const slider = h("input", { type: "range", min: "1", max: String(end), step: "1", value: String(position),
    class: "order-slider", "data-key": "order-slider", "aria-label": "Event of both walks",
    "aria-valuetext": `event ${position} of ${end}`,
    oninput: (event) => at.context.go(to(Number(event.target.value)), true) });
  const box = h("div", { class: "order-stepper", role: "group", "aria-label": "Step through both walks" },
    orderButton(at, "first", "\u21E4", to(1), { "aria-label": "First event", ...off(position === 1) }),
    orderButton(at, "back", "\u2190 back", () => by(-1), { "aria-keyshortcuts": "[", title: "keys [ and ,", ...off(position === 1) }),
    orderButton(at, "next", "next \u2192", () => by(1), { "aria-keyshortcuts": "]", title: "keys ] and .", ...off(position === end) }),
    orderButton(at, "last", "\u21E5", to(end), { "aria-label": "Last event", ...off(position === end) }),
    early === null ? null : orderButton(at, "early", "the node that runs too early",
      to(later === undefined ? early : later + 1), { class: "order-jump" }),
    slider, h("span", { class: "order-position", "aria-live": "polite" }, `event ${position} of ${end}`),
    h("p", { class: "order-apart" }, "An event is a node that runs, or a part that arrives. Events are counted here alone: the step at the top of the page stays."));
  orderBracketKeys(box, by);
  return box;
}

const orderTyping = (target) => target instanceof Element && target.matches("input:not([type='range'], [type='checkbox']), select, textarea");

let orderListener = null;
// The keys [ and ], or comma and full stop, take a step of both walks while the view is on the page.
function orderBracketKeys(box, by) {
  if (orderListener) document.removeEventListener("keydown", orderListener);
  orderListener = (event) => {
    const change = { "[": -1, ",": -1, "]": 1, ".": 1 }[event.key];
    if (change === undefined || !box.isConnected || orderTyping(event.target) || event.defaultPrevented || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    by(change);
  };
  document.addEventListener("keydown", orderListener);
}

// What the squares of a large graph mean.
function orderLegend() {
  const kinds = [["waiting", "not yet"], ["done", "done"], ["now", "this event"], ["early", "ran too early"], ["missing", "still to contribute to it"]];
  return h("p", { class: "order-legend" }, "In the pictures a square is a node: the oldest at the top left, the loss at the bottom right. ",
    kinds.map(([kind, text]) => h("span", {}, h("i", { class: `order-swatch is-${kind}` }), text)));
}

// --- one walk ---------------------------------------------------------------------------------------

function orderColumn(at, walk) {
  const [title, why] = ORDER_WALKS[walk.name];
  const e = Math.min(at.position, walk.length) - 1;
  const event = orderEvent(at.nodes, walk, e);
  const ended = at.position > walk.length;
  const state = orderState(at.nodes, walk, e);
  const sentence = orderSentence(at.context.page, at.nodes, walk, e, number);
  return h("section", { class: `order-walk${event.early ? " is-early" : ""}`, "aria-label": title },
    h("h4", {}, title, walk.name === "newest" ? h("small", {}, " the engine") : null),
    h("p", { class: "order-why" }, why),
    orderPicture(at, walk, state, event, e, `${title}, after event ${e + 1}: ${sentence}`),
    h("p", { class: "order-sentence" }, h("b", {}, `${e + 1}. `), sentence, orderStepLink(at, walk, e),
      ended ? h("span", { class: "order-ended" }, ` This walk ended after ${walk.length} events.`) : null),
    orderWaiting(at, event, walk, state), orderNumbers(at, walk, e, event), orderList(at, walk, e));
}

// A small graph is drawn; of a larger one there is a square for each node.
function orderPicture(at, walk, state, event, e, label) {
  if (orderDrawable(at.nodes))
    return h("div", { class: "scroll" }, orderDrawing(at.nodes, state, event, label, (node) => orderHolds(at, walk, node, e)));
  const squares = orderSquares(at.nodes, state, event, label);
  if (squares === null) return null;
  const early = [...state.nodes.values()].filter((status) => status === "early").length;
  return h("figure", { class: "order-figure" }, squares, h("figcaption", {},
    `${state.nodes.size} of ${at.nodes.nodes.length} nodes have had their turn`,
    early ? [", ", h("span", { class: "bad" }, `${early} of them too early`)] : null, "."));
}

// The step of the page that is this event of the engine's own walk.
function orderStepLink({ of, context, nodes }, walk, e) {
  if (of !== "this" || walk.name !== "newest") return null;
  const steps = context.graph.steps.filter((step) => step.phase === "backward" || step.phase === "leaf");
  const step = steps.length === walk.length ? steps[e] : undefined;
  if (step === undefined || context.graph.tensors[step.out].key !== nodes.nodes[walk.node[e]].name) return null;
  return [" ", h("a", { href: context.link({ step: step.n, tensor: null, of: null, cell: null }) }, `Step ${step.n}`), "."];
}

// What a node of a small graph holds after event e, as a short text.
function orderHolds(at, walk, node, e) {
  const last = orderLastEvent(walk, node, e);
  if (last < 0 || !walk.gradients) return "";
  const text = orderShort(at.context.page, at.nodes, walk, last, number);
  return text.length <= 16 ? text : `length ${number(walk.norm[last])}`;
}

// Every contribution that this node gets, and whether it is there yet.
function orderWaiting(at, event, walk, state) {
  const edges = at.nodes.into[event.node];
  if (!edges.length) return null;
  const missing = new Set(event.missing);
  return h("ul", { class: "order-uses", "aria-label": `Contributions to ${at.nodes.nodes[event.node].name}` },
    edges.map((e) => {
      const late = missing.has(e);
      return h("li", { class: late ? "is-missing" : "is-there" }, late ? "\u2717 not yet: " : "\u2713 arrived: ",
        orderUses(at.nodes, [e])[0].text);
    }));
}

function orderNumbers(at, walk, e, event) {
  const { context, nodes } = at;
  const node = nodes.nodes[event.node];
  const elements = orderElements(context.page, nodes, walk, e, ORDER_ELEMENTS);
  const cell = (x) => h("td", { class: "number", title: exact(x, node.dtype) }, number(x));
  const rows = elements ? elements.shown.map((x) => h("tr", {},
    h("th", { scope: "row" }, x.index.length ? `[${x.index.join(",")}]` : "value"), cell(x.got), cell(x.expected),
    h("td", { class: `number${x.off === 0 ? "" : " bad"}`, title: exact(x.off, "float64") }, number(x.off)))) : [];
  const length = h("tr", { class: "order-length" }, h("th", { scope: "row" }, "length"), h("td", { class: "number" }, number(event.norm)),
    h("td", { class: "number" }, number(event.expected)), h("td", { class: `number${event.wrong ? " bad" : ""}` }, number(event.off)));
  let some = elements ? "" : "Of a walk as long as this, the page has the lengths alone.";
  if (elements && elements.all > elements.shown.length)
    some = elements.shown[0].off === 0 ? `The first ${elements.shown.length} of ${elements.all} elements.`
      : `The ${elements.shown.length} of ${elements.all} elements that are furthest off.`;
  return [h("p", { class: "order-what" }, orderName(at, event.node), `, ${shapeText(node.shape)}. ${some}`),
    h("div", { class: "scroll" }, h("table", { class: "order-numbers", "aria-label": `What ${node.name} holds` },
      h("thead", {}, h("tr", {}, h("td", {}), ["holds", "complete", "off by"].map((text) => h("th", { scope: "col", class: "number" }, text)))),
      h("tbody", {}, rows, node.shape.length === 0 && elements ? null : length)))];
}

// A node of this graph is a link to its gradient.
function orderName(at, i) {
  const node = at.nodes.nodes[i];
  const tensor = at.of === "this" && at.context.graph.byKey ? at.context.graph.byKey(node.name) : null;
  if (!tensor) return h("b", {}, node.text || node.name);
  return h("a", { href: at.context.link({ tensor: node.name, of: "gradient", cell: null }) }, node.name);
}

function orderList(at, walk, e) {
  const first = Math.max(0, Math.min(e - Math.floor(ORDER_LISTED / 2), walk.length - ORDER_LISTED));
  const last = Math.min(walk.length, first + ORDER_LISTED);
  const items = [];
  for (let i = first; i < last; i += 1) {
    const event = orderEvent(at.nodes, walk, i);
    const words = { runs: "runs", leaf: walk.name === "newest" ? "is complete" : "receives a part",
      late: "gets a part too late", again: "runs again" }[event.kind];
    const marks = event.early ? "is-early" : event.kind === "late" ? "is-late" : event.wrong && event.kind !== "leaf" ? "is-wrong" : "";
    items.push(h("li", { value: String(i + 1), class: `${marks}${i === e ? " is-now" : ""}` },
      h("a", { href: at.context.link({ walk: i + 1 }), "aria-current": i === e ? "step" : null },
        `${at.nodes.nodes[event.node].name} ${words}${event.early ? ", too early" : ""}`)));
  }
  return h("ol", { class: "order-list", start: String(first + 1), "aria-label": "Events" }, items);
}

// --- what comes out -----------------------------------------------------------------------------------

function orderResults(at) {
  const walk = at.pair[1], right = at.pair[0];
  if (!walk.results) return h("p", { class: "order-stopped" },
    `This recursion was stopped after ${walk.length} events, of ${orderCount(at.walked.paths)} in all: it was not run to its end.`);
  const outcome = orderOutcome(walk);
  const order = [...outcome.wrong, ...walk.results.verdict.map((_, i) => i).filter((i) => walk.results.verdict[i] !== "wrong")];
  const single = order.every((i) => !walk.results.worst[i].length);
  const rows = order.slice(0, ORDER_LEAVES).map((i) => orderResult(at, walk, i, single));
  const [title] = ORDER_WALKS[walk.name];
  const one = outcome.leaves === 1;
  const said = outcome.wrong.length
    ? one ? "The one leaf ends with a wrong gradient." : `${outcome.wrong.length} of ${outcome.leaves} leaves ${outcome.wrong.length === 1 ? "ends" : "end"} with a wrong gradient.`
    : `${one ? "The one leaf ends" : `All ${outcome.leaves} leaves end`} with the right gradient: nothing that was used twice lies between the loss and a leaf.`;
  const more = order.length > rows.length ? ` The first ${rows.length} are shown.` : "";
  return h("section", { class: "order-results", "aria-label": "Results" },
    h("h4", {}, `${title}: what it ends with`), h("p", {}, "A leaf is a tensor that nothing computed, such as a weight. ", said + more,
      at.walked.hooked ? " Hooks of tensors are not called in these walks." : "",
      one ? " Newest first it is right." : ` Newest first all ${right.results.verdict.length} are right.`,
      single ? "" : " Shown is the element that is furthest off.",
      walk.results.verdict.includes("rounding") ? " *: but for rounding, since the parts were added in another order." : ""),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["leaf", "", ...(single ? [] : ["element"]), "newest first", "recursion", "off by", ...(single ? [] : ["all of it off by"])]
        .map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows))));
}

function orderResult(at, walk, i, single) {
  const { results } = walk;
  const node = at.nodes.nodes[results.node[i]];
  const [got, expected, off] = results.elements.slice(3 * i, 3 * i + 3);
  const verdict = results.verdict[i];
  const share = results.off[i] === 0 ? "0" : results.expected[i] === 0 ? "all"
    : `${number((100 * results.off[i]) / results.expected[i])} %`;
  const words = { equal: "right", rounding: "right*", wrong: "wrong" }[verdict];
  const cell = (x, dtype, mark) => h("td", { class: `number${mark}`, title: exact(x, dtype) }, number(x));
  return h("tr", { class: `is-${verdict}` }, h("th", { scope: "row" }, orderName(at, results.node[i])),
    h("td", { class: "order-verdict" }, words),
    single ? null : h("td", {}, results.worst[i].length ? `[${results.worst[i].join(", ")}]` : "-"),
    cell(expected, node.dtype, ""), cell(got, node.dtype, ""), cell(off, "float64", verdict === "wrong" ? " bad" : ""),
    single ? null : h("td", { class: "number" }, share));
}

// A number as its digits, or as a power of ten where they are too many to read.
function orderCount(digits) {
  if (digits.length <= 15) return Number(digits).toLocaleString("en");
  return `about ${digits[0]}.${digits[1]} times 10^${digits.length - 1}`;
}

function orderPaths(at) {
  return h("p", { class: "order-paths" }, `Newest first runs each of the ${at.nodes.nodes.length} nodes once. `
    + `From the loss ${orderCount(at.walked.paths)} paths lead to them, and recursion at every arrival follows each one. `
    + "With every further block of a residual stream their number is multiplied.");
}
