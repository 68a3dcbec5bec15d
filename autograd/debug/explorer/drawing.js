// The graph as a drawing: boxes for tensors, edges for what was computed from what, coloured by how
// far the pass has come. Only what is in view is in the page; from far away boxes become one path.

import { h, svg, clear } from "./dom.js";
import { progress, stateAfter, arrivedBefore } from "./progress.js";
import { drawingIndex, drawingGroups } from "./drawing_index.js";
import { term } from "./glossary.js";
import { shapeText, shortest } from "./format.js";

const DRAWING_DETAIL = 320;  // boxes: with more than this in view they are drawn without text

export function createDrawing(choose) {
  const world = svg("g", { class: "drawing-world" });
  const canvas = svg("svg", { class: "drawing-canvas", role: "group",
    "aria-label": "The graph. Up and down move from tensor to tensor, Enter chooses one." }, world);
  const button = (text, label, action) =>
    h("button", { type: "button", title: label, "aria-label": label, onclick: action }, text);
  const following = h("input", { type: "checkbox", checked: true });
  const element = h("section", { class: "drawing", "aria-label": "Graph" },
    canvas,
    h("div", { class: "drawing-tools" },
      button("\u2212", "Zoom out", () => zoomBy(1 / 1.3)),
      button("+", "Zoom in", () => zoomBy(1.3)),
      button("Fit", "Show the whole graph", fit),
      h("label", { class: "drawing-follow" }, following, " follow the step"),
      drawingLegend()));
  const view = { x: 0, y: 0, scale: 1, width: 0, height: 0, graph: null, index: null, focus: null };
  const boxes = new Map();
  let context = null, drawn = false, drag = null;

  new ResizeObserver(() => {
    const { clientWidth, clientHeight } = canvas;
    if (!clientWidth || (clientWidth === view.width && clientHeight === view.height)) return;
    view.width = clientWidth;
    view.height = clientHeight;
    if (context) { if (!drawn) home(); follow(false, true); paint(); }
  }).observe(canvas);

  function update(next) {
    const fresh = !context || context.graph !== next.graph, moved = fresh || context.step !== next.step;
    context = next;
    if (fresh) {
      view.graph = next.graph;
      view.index = drawingIndex(next.graph);
      view.focus = null;
      forget();
      drawn = false;
      if (view.width) home();
    }
    if (!view.width) return;
    if (moved) follow(!fresh, fresh);
    paint();
  }

  function forget() {
    boxes.clear();
    clear(world);
  }

  // --- where one looks: a scale and a shift

  function home() {
    const { width, left } = view.index;
    view.scale = Math.max(0.55, Math.min(1, (view.width - 16) / (width - left)));
    view.x = center(left, width, view.width);
    view.y = 8;
    drawn = true;
  }

  function center(from, to, room) {
    return (room - (from + to) * view.scale) / 2;
  }

  function fit() {
    const { width, height, left } = view.index;
    view.scale = Math.min(1.2, (view.width - 16) / (width - left), (view.height - 16) / height);
    view.x = center(left, width, view.width);
    view.y = center(0, height, view.height);
    following.checked = false;
    paint();
  }

  function zoomBy(factor, x = view.width / 2, y = view.height / 2) {
    const scale = Math.min(2.5, Math.max(0.004, view.scale * factor));
    view.x = x - (x - view.x) * (scale / view.scale);
    view.y = y - (y - view.y) * (scale / view.scale);
    view.scale = scale;
    paint();
  }

  // Bring a box into the middle part of the view, and no further than that needs.
  function reveal(id, smooth, strictly) {
    const node = view.index.byTensor.get(id);
    if (!node) return;
    const x = node.x * view.scale + view.x, y = node.y * view.scale + view.y;
    const { width, left, height } = view.index;
    if ((width - left) * view.scale > view.width && (x < 70 || x > view.width - 70))
      view.x += view.width / 2 - x;
    if (height * view.scale + 16 <= view.height) {  // all of it is in view: nothing moves
      if (view.y < 0 || view.y + height * view.scale > view.height) view.y = 8;
    } else if (strictly || y < view.height * 0.25 || y > view.height * 0.75) {
      view.y += view.height / 2 - y;
      const lowest = view.height - view.index.height * view.scale;  // no more than the graph's ends
      view.y = lowest < 8 ? Math.min(8, Math.max(lowest, view.y)) : Math.min(lowest, Math.max(8, view.y));
    }
    world.classList.toggle("drawing-smooth", smooth);
  }

  function follow(smooth, strictly) {
    if (following.checked && context.step) reveal(context.step.out, smooth, strictly);
  }

  // --- painting

  function paint() {
    world.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    const reach = view.height / view.scale;  // a view more on either side
    const top = -view.y / view.scale - reach / 2, bottom = top + 2 * reach;
    const nodes = view.index.nodesBetween(top, bottom);
    if (nodes.length > DRAWING_DETAIL) paintFar(nodes, top, bottom);
    else paintNear(nodes, top, bottom);
  }

  function paintNear(nodes, top, bottom) {
    if (!boxes.has("layers")) {
      forget();
      const layers = ["groups", "edges", "nodes"].map((name) => svg("g", { class: `drawing-${name}` }));
      world.append(...layers);
      boxes.set("layers", layers);
    }
    const [groups, edges, place] = boxes.get("layers");
    const pass = progress(view.graph), n = context.step ? context.step.n : 0;
    paintGroups(groups);
    clear(edges).append(...drawingEdges(view.index.edgesBetween(top, bottom), pass, context.step));
    const wanted = new Set(nodes.map((node) => node.tensor));
    for (const [id, box] of boxes)
      if (id !== "layers" && !wanted.has(id) && !box.contains(document.activeElement)) {
        box.remove();
        boxes.delete(id);
      }
    for (const node of nodes) {
      let box = boxes.get(node.tensor);
      if (!box) {
        box = drawingBox(view.graph, node);
        boxes.set(node.tensor, box);
        place.append(box);
      }
      mark(box, node, pass, n);
    }
    const stop = boxes.get(view.focus) || boxes.get(context.tensor && context.tensor.id)
      || boxes.get(nodes.length ? nodes[0].tensor : null);
    for (const box of boxes.values()) if (box.setAttribute) box.setAttribute("tabindex", "-1");
    if (stop) stop.setAttribute("tabindex", "0");
  }

  function mark(box, node, pass, n) {
    const state = stateAfter(pass, node.tensor, n);
    const picked = context.tensor && context.tensor.id === node.tensor;
    const [arrived, expected] = arrivedBefore(pass, node.tensor, n + 1);
    const done = state === "complete" || (state === "current" && pass.taken.get(node.tensor) === n);
    const gradient = done ? drawingNumber(view.graph, view.graph.tensors[node.tensor].grad) : null;
    const text = n >= pass.start && expected > 1 ? `${arrived}/${expected}` : "";
    const key = `${state} ${picked} ${text} ${gradient}`;
    if (box.painted === key) return;
    box.painted = key;
    box.setAttribute("class", `drawing-node drawing-${node.kind} is-${state}${picked ? " is-picked" : ""}`);
    box.lastChild.textContent = text;
    drawingNumbers(box, node, state === "waiting" ? null : drawingNumber(view.graph, node.tensor), gradient);
    const said = { waiting: "not computed yet", made: "computed", current: "this step",
      pending: "gradient pending", complete: "gradient complete" }[state];
    box.setAttribute("aria-label", `${box.spoken}, ${node.kind === "leaf" && state === "made" ? "given" : said}`
      + (gradient !== null ? `: ${gradient}` : "") + (text ? `, ${arrived} of ${expected} contributions` : ""));
    box.setAttribute("aria-pressed", String(Boolean(picked)));
  }

  function paintGroups(layer) {
    const from = (8 - view.y) / view.scale, to = (view.height - 8 - view.y) / view.scale;
    clear(layer);
    for (const group of drawingGroups(view.graph, view.index)) {
      const top = Math.max(group.top, from), bottom = Math.min(group.bottom, to);
      if (bottom <= top) continue;
      const letters = Math.floor((bottom - top) / 7);
      const x = -22 * (view.index.depth - group.depth) - 14;
      layer.append(
        svg("rect", { x, y: group.top, width: 18, height: group.bottom - group.top, rx: 5 }),
        svg("text", { transform: `translate(${x + 13} ${(top + bottom) / 2}) rotate(-90)` },
          letters < group.name.length && letters < 4 ? "" : drawingShort(group.name, letters)));
    }
  }

  // From far away: one path for each state.
  function paintFar(nodes, top, bottom) {
    forget();
    const pass = progress(view.graph), n = context.step ? context.step.n : 0, shapes = new Map();
    for (const { tensor, x, y, width, height } of nodes) {
      const state = stateAfter(pass, tensor, n);
      const d = `M${Math.round(x - width / 2)} ${Math.round(y - height / 2)}h${width}v${height}h${-width}z`;
      shapes.set(state, (shapes.get(state) || "") + d);
    }
    const lines = view.index.edgesBetween(top, bottom).map((edge) => edge.path).join("");
    world.append(svg("path", { class: "drawing-edge", d: lines }));
    for (const [state, d] of shapes) world.append(svg("path", { class: `drawing-far is-${state}`, d }));
    const now = context.step && view.index.byTensor.get(context.step.out);
    if (now) world.append(svg("circle", { class: "drawing-now", cx: now.x, cy: now.y, r: 8 / view.scale }));
  }

  // --- pointer and keys

  canvas.addEventListener("pointerdown", (event) => {
    world.classList.remove("drawing-smooth");
    drag = { x: event.clientX, y: event.clientY, from: [view.x, view.y], moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !event.buttons) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    if (!drag.moved) canvas.setPointerCapture(event.pointerId);
    drag.moved = true;
    [view.x, view.y] = [drag.from[0] + dx, drag.from[1] + dy];
    paint();
  });
  canvas.addEventListener("click", (event) => {
    const dragged = drag && drag.moved;
    drag = null;
    if (dragged || !view.index) return;
    const place = canvas.getBoundingClientRect();
    const x = (event.clientX - place.left - view.x) / view.scale;
    const y = (event.clientY - place.top - view.y) / view.scale;
    const node = view.index.at(x, y, 6 / view.scale);
    if (node) { view.focus = node.tensor; choose(node.tensor); }
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    world.classList.remove("drawing-smooth");
    const place = canvas.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey)
      zoomBy(Math.exp(-event.deltaY * 0.004), event.clientX - place.left, event.clientY - place.top);
    else {
      view.x -= event.shiftKey ? event.deltaY : event.deltaX;
      view.y -= event.shiftKey ? 0 : event.deltaY;
      paint();
    }
  }, { passive: false });
  canvas.addEventListener("focusin", (event) => {
    const box = event.target.closest(".drawing-node");
    if (!box) return;
    view.focus = box.tensor;
    if (box.matches(":focus-visible")) { reveal(box.tensor, true); paint(); }
  });
  canvas.addEventListener("keydown", (event) => {
    const box = event.target.closest(".drawing-node");
    if (!box || event.ctrlKey || event.altKey || event.metaKey) return;
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") choose(box.tensor);
    else if (by) {
      const next = view.index.beside(box.tensor, by);
      if (next === null) return;
      view.focus = next;
      reveal(next, true);
      paint();
      if (boxes.get(next)) boxes.get(next).focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return { element, update };
}

function drawingBox(graph, node) {
  const tensor = graph.tensors[node.tensor], { width, height } = node;
  const [title, below] = node.labels, letters = Math.floor((width - 6) / 7);
  const full = [tensor.key, tensor.name !== tensor.key && tensor.name].filter(Boolean).join(" = ");
  const box = svg("g", { role: "button", transform: `translate(${node.x - width / 2} ${node.y - height / 2})` },
    svg("title", {}, `${full} ${shapeText(tensor.shape)} ${tensor.dtype}`),
    svg("rect", { width, height, rx: node.kind === "leaf" ? height / 2 : 6 }),
    svg("text", { class: "drawing-title", x: width / 2, y: height / 2 - 3 }, drawingShort(title, letters)),
    svg("text", { class: "drawing-below", x: width / 2, y: height / 2 + 13 },
      drawingShort(below, Math.floor((width - 6) / 6))),
    svg("text", { class: "drawing-below", x: width / 2, y: height - 6 }),
    svg("text", { class: "drawing-count", x: width - 6, y: -4 }));
  box.tensor = node.tensor;
  box.name = tensor.key.split(".").pop();
  box.spoken = `${title}, ${tensor.key}, shape ${shapeText(tensor.shape)}`;
  return box;
}

// In the box of a single number: its value once it is there, and its gradient once that is complete.
function drawingNumbers(box, { kind, height, width, labels }, value, gradient) {
  const [title, below, last] = box.querySelectorAll("text:not(.drawing-count)");
  const letters = Math.floor((width - 6) / (kind === "leaf" ? 7 : 6)) - (value ?? "").length - 3;
  const named = value === null ? null : `${drawingShort(box.name, letters)} = ${value}`;
  if (kind === "leaf") {
    if (value === null) return;
    title.textContent = named;
    below.textContent = gradient === null ? labels[1] : `grad ${gradient}`;
    return;
  }
  if (value !== null || last.textContent) below.textContent = named ?? labels[1];
  last.textContent = gradient === null ? "" : `gradient ${gradient}`;
  title.setAttribute("y", height / 2 - (gradient === null ? 3 : 8));
  below.setAttribute("y", height / 2 + (gradient === null ? 13 : 5));
}

// The one number of a tensor that is a single number, as text; null for others.
function drawingNumber(graph, id) {
  const values = id !== null && graph.tensors[id].shape.length === 0 ? graph.values(id) : null;
  return values && values.length ? shortest(values[0], graph.tensors[id].dtype) : null;
}

// One path for each kind of edge: not reached, carried forward, carried back, and those of this step.
function drawingEdges(edges, pass, step) {
  const shapes = { quiet: "", forward: "", back: "", now: "" }, n = step ? step.n : 0;
  const back = step && step.phase !== "forward" && new Set((step.contributions || []).map((c) => c.to));
  for (const { from, to, path } of edges) {
    const taken = pass.taken.get(to), made = pass.made.get(to);
    let kind = made <= n ? "forward" : "quiet";
    if (taken <= n && pass.arrivals.has(from)) kind = "back";
    if (step && to === step.out && (step.phase === "forward" || back.has(from))) kind = "now";
    shapes[kind] += path;
  }
  const kinds = Object.entries(shapes).filter(([, d]) => d);
  return kinds.map(([kind, d]) => svg("path", { class: `drawing-edge drawing-edge-${kind}`, d }));
}

export function drawingShort(text, letters) {
  return text.length <= letters ? text : text.slice(0, Math.max(1, letters - 1)) + "\u2026";
}

function drawingLegend() {
  const states = [["waiting", "not yet"], ["made", "computed"], ["current", "this step"],
    ["pending", "pending"], ["complete", "complete"]];
  return h("ul", { class: "drawing-legend", "aria-label": "Colours" },
    states.map(([state, text]) => h("li", {}, h("i", { class: `drawing-swatch is-${state}` }),
      state === "pending" || state === "complete" ? term(text) : text)),
    h("li", {}, term("2/2")));
}
