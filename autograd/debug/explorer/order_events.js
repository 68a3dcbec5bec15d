// Walks over a graph as walks.py recorded them, read back event by event. No DOM.

export const ORDER_KINDS = ["runs", "leaf", "late", "again"];
const orderDecoded = new WeakMap();

// One walk with plain arrays for columns; decoded once.
export function orderWalk(page, walked, name) {
  const walk = walked.walks[name];
  if (!orderDecoded.has(walk)) {
    const read = (reference) => page.array(reference).data;
    const results = walk.results && {
      ...walk.results,
      node: read(walk.results.node), norm: read(walk.results.norm), off: read(walk.results.off),
      expected: read(walk.results.expected), elements: read(walk.results.elements),
    };
    orderDecoded.set(walk, {
      name, ended: walk.ended, results, gradients: walk.gradients, corners: walk.corners,
      kind: read(walk.kind), node: read(walk.node), edge: read(walk.edge), norm: read(walk.norm),
      off: read(walk.off), missing: read(walk.missing), missingFrom: read(walk.missingFrom),
      early: Array.from(read(walk.early)), length: page.array(walk.kind).shape[0],
    });
  }
  return orderDecoded.get(walk);
}

// The graph that was walked: nodes, the lengths of their gradients, and edges as [user, input, used].
export function orderGraph(page, walked) {
  if (!orderDecoded.has(walked)) {
    const flat = page.array(walked.edges).data, edges = [];
    for (let e = 0; 3 * e < flat.length; e += 1) edges.push([flat[3 * e], flat[3 * e + 1], flat[3 * e + 2]]);
    const into = walked.nodes.map(() => []);
    edges.forEach(([, , used], e) => into[used].push(e));
    orderDecoded.set(walked, { nodes: walked.nodes, norms: page.array(walked.norms).data, edges, into });
  }
  return orderDecoded.get(walked);
}

// Event number e (from 0) in words and numbers.
export function orderEvent(graph, walk, e) {
  const node = walk.node[e];
  const missing = Array.from(walk.missing.slice(walk.missingFrom[e], walk.missingFrom[e + 1]));
  const kind = ORDER_KINDS[walk.kind[e]];
  return {
    kind, node, edge: walk.edge[e], missing, norm: walk.norm[e], off: walk.off[e],
    expected: graph.norms[node], uses: graph.into[node].length,
    arrived: graph.into[node].length - missing.length,
    early: missing.length > 0 && (kind === "runs" || kind === "again"),
    wrong: walk.off[e] > 1e-6 * Math.max(graph.norms[node], walk.norm[e]) || Number.isNaN(walk.off[e]),
  };
}

// What is done after the events 0 .. e: a Map from node to "done", "early" (it ran too early and is
// done for this walk) or "reached" (a leaf, or a part arrived), and the edges that have delivered.
export function orderState(graph, walk, e) {
  const nodes = new Map(), edges = new Set();
  const early = new Set(walk.early);
  for (let i = 0; i <= e && i < walk.length; i += 1) {
    const node = walk.node[i], kind = ORDER_KINDS[walk.kind[i]];
    if (walk.edge[i] >= 0) edges.add(walk.edge[i]);
    if (kind === "leaf") nodes.set(node, "done");
    else if (early.has(i)) nodes.set(node, "early");
    else if (!nodes.has(node)) nodes.set(node, "done");
  }
  if (walk.name === "newest")
    graph.edges.forEach(([user], edge) => { if (nodes.has(user)) edges.add(edge); });
  return { nodes, edges };
}

// The event, not later than e, at which this node last received something; -1 if there is none.
export function orderLastEvent(walk, node, e) {
  for (let i = e; i >= 0; i -= 1) if (walk.node[i] === node) return i;
  return -1;
}

// The event, not later than e, at which this node last handed a gradient on; -1 if there is none.
export function orderLastRun(walk, node, e) {
  for (let i = e; i >= 0; i -= 1)
    if (walk.node[i] === node && (walk.kind[i] === 0 || walk.kind[i] === 3)) return i;
  return -1;
}

// Elements of what a node holds at an event against the complete gradient: those furthest off first.
// Each is {index, got, expected, off}; null if the page has the lengths alone.
export function orderElements(page, graph, walk, e, most) {
  const node = graph.nodes[walk.node[e]];
  let got = null, expected = null, at = null, shape = null;
  if (walk.gradients && walk.gradients[e] && node.gradient) {
    got = page.array(walk.gradients[e]);
    expected = page.array(node.gradient);
    shape = node.shape;
    at = shape.map(() => 0);
  } else if (walk.corners && walk.corners[String(e)]) {
    const corner = walk.corners[String(e)];
    got = page.array(corner.got);
    expected = page.array(corner.expected);
    shape = got.shape;
    at = corner.at;
  }
  if (!got) return null;
  const elements = [];
  for (let i = 0; i < got.data.length; i += 1) {
    const off = got.data[i] === expected.data[i] ? 0 : got.data[i] - expected.data[i];
    elements.push({ index: orderIndex(i, shape).map((k, axis) => k + at[axis]), got: got.data[i],
      expected: expected.data[i], off });
  }
  const size = (x) => (Number.isNaN(x.off) ? Infinity : Math.abs(x.off));
  elements.sort((a, b) => size(b) - size(a));
  return { all: elements.length, shown: elements.slice(0, most), dtype: node.dtype };
}

function orderIndex(flat, shape) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    index.unshift(flat % shape[axis]);
    flat = Math.floor(flat / shape[axis]);
  }
  return index;
}

// The names of the users that edges come from: "c (input 1)"; two inputs of one: "c (inputs 0, 1)".
export function orderUses(graph, edges) {
  const inputs = new Map();
  for (const e of edges) {
    const [user, input] = graph.edges[e];
    if (!inputs.has(user)) inputs.set(user, []);
    inputs.get(user).push(input);
  }
  return [...inputs].map(([user, list]) => ({ node: user, name: graph.nodes[user].name, inputs: list,
    text: `${graph.nodes[user].name} (input${list.length > 1 ? "s" : ""} ${list.join(", ")})` }));
}

// A gradient in few words: a number, a short vector, or its length.
export function orderShort(page, graph, walk, e, number) {
  const reference = walk.gradients && walk.gradients[e];
  return orderShortArray(reference ? page.array(reference) : null, walk.norm[e], number);
}

export function orderShortArray(array, length, number) {
  if (array && array.data.length === 1) return number(array.data[0]);
  if (array && array.data.length <= 3) return `(${Array.from(array.data, number).join(", ")})`;
  return `a gradient of length ${number(length)}`;
}

// One event in one or two sentences.
export function orderSentence(page, graph, walk, e, number) {
  const event = orderEvent(graph, walk, e), node = graph.nodes[event.node], name = node.name;
  const holds = orderShort(page, graph, walk, e, number);
  const complete = orderShortArray(node.gradient ? page.array(node.gradient) : null, event.expected, number);
  const from = event.edge >= 0 ? orderUses(graph, [event.edge])[0].text : "";
  const parts = event.uses === 1 ? "Its one contribution has"
    : event.uses === 2 ? "Both contributions to it have" : `All ${event.uses} contributions to it have`;
  if (event.uses === 0 && event.kind === "runs") return `The pass starts at ${name}: its gradient is 1.`;
  if (event.kind === "leaf") {
    if (walk.name === "newest") return `${name}, a leaf: ${parts[0].toLowerCase()}${parts.slice(1)} arrived. It keeps ${holds}.`;
    return `A part arrives at ${name}, a leaf, from ${from}. It holds ${holds} now.`;
  }
  if (event.kind === "late")
    return `A part arrives at ${name} from ${from}. But ${name} has run already: this part goes no further.`;
  if (event.early) {
    const again = event.kind === "again" ? " again" : "";
    return `${name} runs${again} too early: ${event.arrived} of ${event.uses} contributions have arrived. `
      + `It hands on ${holds}; complete it is ${complete}.`;
  }
  if (event.kind === "again") {
    const before = orderLastRun(walk, event.node, e - 1);
    return `A part arrives at ${name} from ${from}, and ${name} runs again: it hands on all that it holds, ${holds}. `
      + `It handed on ${orderShort(page, graph, walk, before, number)} before, and that is counted again.`;
  }
  if (event.wrong)
    return `${parts} arrived, but what arrived came from a node that ran too early: `
      + `${name} hands on ${holds}, and right is ${complete}.`;
  return `${parts} arrived: the gradient of ${name} is complete. It hands on ${holds}.`;
}

// How many leaves end wrong, and the one that is furthest off, relative to what is right.
export function orderOutcome(walk) {
  if (!walk.results) return null;
  const ratio = (i) => walk.results.off[i] / (walk.results.expected[i] || Number.MIN_VALUE);
  const wrong = [];
  walk.results.verdict.forEach((verdict, i) => { if (verdict === "wrong") wrong.push(i); });
  wrong.sort((a, b) => ratio(b) - ratio(a));
  return { wrong, leaves: walk.results.verdict.length };
}
