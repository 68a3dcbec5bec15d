// A graph as a walk sees it: what has run, what runs now, what still has to arrive.

import { svg } from "./dom.js";

const ORDER_ROW = 72, ORDER_COLUMN = 112, ORDER_BOX = 40;
const ORDER_SQUARES = 4000, ORDER_NAMED = 160;

// Whether a graph is small enough to be drawn in the column of a walk.
export function orderDrawable(graph) {
  return graph.nodes.length <= 14;
}

// `holds` gives the gradient that a node holds now as a short text, "" if it holds none.
export function orderDrawing(graph, state, event, label, holds) {
  const places = orderPlaces(graph);
  const width = Math.max(...places.map((p) => p.x)) + ORDER_COLUMN / 2 + 24;
  const height = Math.max(...places.map((p) => p.y)) + ORDER_ROW / 2;
  const missing = new Set(event.missing);
  const edges = graph.edges.map((edge, e) => orderEdge(edge, e, graph, places, {
    arrived: state.edges.has(e), now: e === event.edge, missing: event.early && missing.has(e) }));
  const nodes = graph.nodes.map((node, i) => {
    const { x, y } = places[i];
    const status = i === event.node ? (event.early ? "early" : "now") : state.nodes.get(i) || "waiting";
    const value = holds(i), half = Math.max(orderHalf(node.name), 3.7 * value.length + 8);
    return svg("g", { class: `order-node is-${status}${i === event.node ? " is-here" : ""}` },
      svg("rect", { x: x - half, y: y - ORDER_BOX / 2, width: 2 * half, height: ORDER_BOX, rx: 6 }),
      svg("text", { x, y: value ? y - 2 : y + 5, "text-anchor": "middle" }, node.name),
      value ? svg("text", { x, y: y + 14, "text-anchor": "middle", class: "order-holds" }, value) : null);
  });
  return svg("svg", { class: "order-drawing", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": label }, ...edges, ...nodes);
}

// A larger graph: a square for each node, from the oldest to the loss, and beyond ORDER_NAMED one path
// for all squares of a kind; null for too many to be seen.
export function orderSquares(graph, state, event, label) {
  const n = graph.nodes.length;
  if (n > ORDER_SQUARES) return null;
  const across = n <= 96 ? 12 : Math.ceil(Math.sqrt(2 * n)), size = 222 / across, rows = Math.ceil(n / across);
  const missing = new Set(event.missing.map((edge) => graph.edges[edge][0]));
  const kinds = new Map();
  const squares = graph.nodes.map((node, i) => {
    const place = rows * across - 1 - i, here = i === event.node;
    const status = here ? (event.early ? "early" : "now") : missing.has(i) ? "missing" : state.nodes.get(i) || "waiting";
    const [x, y] = [2 + size * (place % across), 2 + size * Math.floor(place / across)];
    if (n > ORDER_NAMED) {
      kinds.set(status, `${kinds.get(status) ?? ""}M${x} ${y}h${0.8 * size}v${0.8 * size}h${-0.8 * size}z`);
      return null;
    }
    return svg("g", { class: `order-node is-${status}${here ? " is-here" : ""}` }, svg("title", {}, node.name),
      svg("rect", { x, y, width: size - 3, height: size - 3, rx: 3 }));
  });
  const paths = [...kinds].map(([status, d]) => svg("path", { class: `order-cells is-${status}`, d }));
  const height = 4 + size * rows;
  return svg("svg", { class: "order-drawing order-squares", viewBox: `0 0 226 ${height}`, width: 226, height, role: "img", "aria-label": label },
    ...squares, ...paths);
}

function orderHalf(name) { return Math.max(20, 4.4 * name.length + 9); }

// The loss at the bottom, as in the drawing of the page; a node lies above the highest of its users.
function orderPlaces(graph) {
  const depth = graph.nodes.map(() => 0);
  for (const [user, , used] of graph.edges) depth[used] = Math.max(depth[used], depth[user] + 1);
  const filled = new Map();
  const column = graph.nodes.map((_, i) => {
    const k = filled.get(depth[i]) || 0;
    filled.set(depth[i], k + 1);
    return k;
  });
  const spine = graph.nodes.map((_, i) => graph.edges.some(([user, , used]) => used === i
    && depth[user] < depth[i] - 1));
  const deepest = Math.max(...depth);
  return graph.nodes.map((_, i) => ({
    x: 70 + ORDER_COLUMN * (column[i] + (!spine[i] && filled.get(depth[i]) === 1 && orderBeside(graph, depth, i) ? 0.8 : 0)),
    y: 24 + ORDER_ROW * (deepest - depth[i]) }));
}

// Whether an edge passes this node by: then it stands beside the line.
function orderBeside(graph, depth, i) {
  return graph.edges.some(([user, , used]) => depth[user] < depth[i] && depth[used] > depth[i]);
}

function orderEdge([user, , used], e, graph, places, { arrived, now, missing }) {
  const from = places[user], to = places[used];
  const leaving = graph.edges.map((_, k) => k).filter((k) => graph.edges[k][0] === user && graph.edges[k][2] === used);
  const arriving = graph.into[used].slice().sort((a, b) => places[graph.edges[a][0]].x - places[graph.edges[b][0]].x || a - b);
  const gap = Math.min(16, 60 / arriving.length);
  const x0 = from.x + 16 * (leaving.indexOf(e) - (leaving.length - 1) / 2);
  const x1 = to.x + gap * (arriving.indexOf(e) - (arriving.length - 1) / 2);
  const y0 = from.y - ORDER_BOX / 2, y1 = to.y + ORDER_BOX / 2 + 5, middle = (y0 + y1) / 2;
  const state = now ? "now" : arrived ? "arrived" : missing ? "missing" : "pending";
  return svg("g", { class: `order-edge is-${state}` },
    svg("path", { d: `M${x0} ${y0} C${x0} ${middle} ${x1} ${middle} ${x1} ${y1}`, fill: "none" }),
    svg("path", { d: `M${x1 - 4} ${y1 + 2} L${x1 + 4} ${y1 + 2} L${x1} ${y1 - 5} Z`, class: "order-head" }));
}
