// Which boxes and edges of the drawing lie where. No page here.

import { shapeText } from "./format.js";

const DRAWING_BOX = { computed: [154, 46], leaf: [76, 38] };  // layout.py leaves this much room
const DRAWING_BAND = 800;

// The boxes of a graph with their sizes and labels, and ways to find those in view.
export function drawingIndex(graph) {
  const byTensor = new Map();
  for (const [tensor, x, y] of graph.drawing.nodes) {
    const kind = graph.tensors[tensor].kind === "computed" ? "computed" : "leaf";
    const [width, height] = DRAWING_BOX[kind];
    byTensor.set(tensor, { tensor, x, y, kind, width, height, labels: drawingLabels(graph, tensor, kind) });
  }
  const nodes = [...byTensor.values()].sort((a, b) => a.y - b.y || a.x - b.x);
  nodes.forEach((node, i) => { node.rank = i; });
  const edges = graph.drawing.edges.map(([from, to, ...places]) => {
    const xs = places.filter((_, i) => i % 2 === 0), ys = places.filter((_, i) => i % 2 === 1);
    const uses = drawingUses(graph, from, to);
    let path = "";
    for (let i = 0; i < uses; i += 1) {
      const beside = 16 * (i - (uses - 1) / 2);
      path += drawingPath(xs.map((x) => x + beside), ys);
    }
    return { from, to, path, top: Math.min(...ys), bottom: Math.max(...ys),
      right: Math.max(...xs), left: Math.min(...xs) };
  });
  const bands = drawingBands(edges);
  const lowest = (list, pick, start) => list.reduce((best, item) => Math.min(best, pick(item)), start);
  const highest = (list, pick, start) => list.reduce((best, item) => Math.max(best, pick(item)), start);
  const depth = Math.max(0, ...drawingRuns(graph).map((run) => run.depth));
  const left = lowest(nodes, (n) => n.x - n.width / 2, lowest(edges, (e) => e.left, 0)) - 22 * depth - 8;
  const right = highest(nodes, (n) => n.x + n.width / 2, highest(edges, (e) => e.right, 0)) + 12;

  function between(top, bottom) {
    let [low, high] = [0, nodes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (nodes[middle].y < top - 40) low = middle + 1; else high = middle;
    }
    let end = low;
    while (end < nodes.length && nodes[end].y <= bottom + 40) end += 1;
    return nodes.slice(low, end);
  }

  return {
    byTensor, depth, left, width: right,
    height: highest(nodes, (n) => n.y + n.height / 2, 0) + 12,
    nodesBetween: between,
    edgesBetween(top, bottom) {
      const found = new Set();
      const last = Math.min(bands.length - 1, Math.floor(bottom / DRAWING_BAND));
      for (let band = Math.max(0, Math.floor(top / DRAWING_BAND)); band <= last; band += 1)
        for (const edge of bands[band]) if (edge.bottom >= top && edge.top <= bottom) found.add(edge);
      return [...found];
    },
    at(x, y, slack) {
      let best = null, least = Infinity;
      for (const node of between(y - 60 - slack, y + 60 + slack)) {
        const dx = Math.max(0, Math.abs(node.x - x) - node.width / 2);
        const dy = Math.max(0, Math.abs(node.y - y) - node.height / 2);
        const far = Math.hypot(dx, dy);
        if (far <= slack && far < least) [best, least] = [node, far];
      }
      return best;
    },
    beside(id, by) {
      const node = byTensor.get(id), next = node && nodes[node.rank + by];
      return next ? next.tensor : null;
    },
  };
}

// How many inputs of one operation a tensor is, as in a + a: as many edges are drawn.
function drawingUses(graph, from, to) {
  const step = graph.steps[graph.tensors[to].step];
  const count = step && step.phase === "forward" ? step.inputs.filter((input) => input === from).length : 1;
  return Math.min(4, Math.max(1, count));
}

function drawingBands(edges) {
  const bands = [];
  for (const edge of edges) {
    const last = Math.floor(edge.bottom / DRAWING_BAND);
    for (let band = Math.max(0, Math.floor(edge.top / DRAWING_BAND)); band <= last; band += 1) {
      while (bands.length <= band) bands.push([]);
      bands[band].push(edge);
    }
  }
  return bands;
}

function drawingPath(xs, ys) {
  let path = `M${xs[0]} ${ys[0]}`;
  for (let i = 1; i < xs.length; i += 1) {
    const bend = Math.round((ys[i] - ys[i - 1]) * 0.55);
    path += xs[i] === xs[i - 1] ? `V${ys[i]}`
      : `C${xs[i - 1]} ${ys[i - 1] + bend} ${xs[i]} ${ys[i] - bend} ${xs[i]} ${ys[i]}`;
  }
  return path;
}

// What stands in a box: the operation, and the name and shape of what it computed.
function drawingLabels(graph, id, kind) {
  const tensor = graph.tensors[id], shape = tensor.shape.length ? shapeText(tensor.shape) : "number";
  if (kind === "leaf") {
    const parts = tensor.key.split(".");
    return [parts[parts.length - 1], shape];
  }
  const step = graph.steps[tensor.step], op = step ? step.op : tensor.name;
  const own = tensor.key.split(".").pop();
  return [op, own.toLowerCase() === op.toLowerCase() ? shape : `${own} ${shape}`];
}

// A module's path as a list of names; a number belongs to the list that it counts in.
export function moduleNames(path) {
  const names = [];
  for (const part of (path || "").split(".").filter(Boolean))
    if (/^\d+$/.test(part) && names.length) names[names.length - 1] += `.${part}`;
    else names.push(part);
  return names.map((_, i) => names.slice(0, i + 1).join("."));
}

// Operations that follow one another in the same module, at every depth of modules.
function drawingRuns(graph) {
  const runs = [], open = [];
  for (const step of graph.steps) {
    if (step.phase !== "forward") break;
    const names = moduleNames(step.module);
    while (open.length && open[open.length - 1].name !== names[open.length - 1]) open.pop();
    for (let depth = open.length; depth < names.length; depth += 1) {
      const run = { name: names[depth], depth: depth + 1, tensors: [] };
      runs.push(run);
      open.push(run);
    }
    for (const run of open) run.tensors.push(step.out);
  }
  const long = runs.filter((run) => run.tensors.length > 1);
  const depths = [...new Set(long.map((run) => run.depth))].sort((a, b) => a - b);
  return long.map((run) => ({ ...run, depth: depths.indexOf(run.depth) + 1 }));
}

const drawingGroupsOf = new WeakMap();

// The brackets beside the drawing: name, depth, top and bottom.
export function drawingGroups(graph, index) {
  if (!drawingGroupsOf.has(index)) {
    drawingGroupsOf.set(index, drawingRuns(graph).map(({ name, depth, tensors }) => {
      const ys = tensors.map((id) => index.byTensor.get(id)).filter(Boolean).map((node) => node.y);
      return { name, depth, top: Math.min(...ys) - 26, bottom: Math.max(...ys) + 26 };
    }).filter((group) => group.bottom > group.top));
  }
  return drawingGroupsOf.get(index);
}
