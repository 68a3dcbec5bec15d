// The address is the state: #graph=gpt&step=37&tensor=h.0.attn&of=gradient&cell=2,5&view=cell

export function readState(hash) {
  const state = {};
  for (const part of hash.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    if (at > 0) state[stateDecode(part.slice(0, at))] = stateDecode(part.slice(at + 1));
  }
  return state;
}

function stateDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Readable where it can be: what an address may hold is left as it is.
function stateEncode(text) {
  return encodeURIComponent(text).replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
}

// The address of a state; null and undefined are left out.
export function writeState(state) {
  const parts = [];
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "") {
      parts.push(`${stateEncode(key)}=${stateEncode(String(value))}`);
    }
  }
  return `#${parts.join("&")}`;
}

// What a state means for a page: the graph, the step, the tensors and the cell it names.
export function resolveState(page, state) {
  const graph = page.graph(state.graph);
  if (graph === null) return { graph, step: null, tensor: null, shown: null, cell: null };
  const last = graph.steps.length - 1;
  const n = Math.min(Math.max(Number.parseInt(state.step ?? "0", 10) || 0, 0), last);
  const step = graph.steps[n];
  const named = graph.byKey(state.tensor ?? "");
  const tensor = named ?? graph.tensors[step.out] ?? null;
  const usual = named === null && step.phase !== "forward" ? "gradient" : "value";
  const shown = stateShown(graph, tensor, state.of ?? usual);
  let cell = null;
  if (state.cell !== undefined && shown !== null) {
    const indices = state.cell === "" ? [] : state.cell.split(",").map(Number);
    const fits = indices.length === shown.shape.length &&
      indices.every((x, axis) => Number.isInteger(x) && x >= 0 && x < shown.shape[axis]);
    if (fits) cell = indices;
  }
  if (cell === null && shown !== null && shown.shape.length === 0) cell = [];
  return { graph, step, tensor, shown, cell };
}

// of=gradient, of=contribution.1 (its second contribution), of=inner.412 (any tensor by number).
function stateShown(graph, tensor, of) {
  if (tensor === null) return null;
  const [kind, place] = of.split(".");
  if (kind === "gradient" && tensor.grad !== null) return graph.tensors[tensor.grad];
  if (kind === "contribution") {
    return graph.tensors[tensor.contributions[Number(place)]] ?? tensor;
  }
  if (kind === "inner") return graph.tensors[Number(place)] ?? tensor;
  return tensor;
}

// The part of the address that names a tensor of a graph: {tensor, of}.
export function nameTensor(graph, id) {
  const tensor = graph.tensors[id];
  if (tensor.key !== undefined) return { tensor: tensor.key, of: null };
  if (tensor.kind === "gradient") return { tensor: graph.tensors[tensor.of].key, of: "gradient" };
  if (tensor.kind === "contribution") {
    const owner = graph.tensors[tensor.of];
    return { tensor: owner.key, of: `contribution.${owner.contributions.indexOf(id)}` };
  }
  return { tensor: null, of: `inner.${id}` };
}

// What to call a tensor in a sentence.
export function titleOf(graph, id) {
  const tensor = graph.tensors[id];
  if (tensor.kind === "gradient") return `gradient of ${tensor.name}`;
  if (tensor.kind === "contribution") {
    const all = graph.tensors[tensor.of].contributions;
    return `contribution${all.length > 1 ? ` ${all.indexOf(id) + 1}` : ""} to the gradient of ${tensor.name}`;
  }
  if (tensor.key !== undefined) return tensor.key;
  return tensor.name || (tensor.line === null ? `tensor ${id}` : graph.lines[tensor.line].op);
}
