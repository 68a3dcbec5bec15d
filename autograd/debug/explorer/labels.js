// Texts for the rows and columns of a tensor: tokens, the vocabulary, and the heads of attention.

const labelsOfPositions = /^(?:g_)?[QKVPSYOE]$/; // inner variables whose rows are positions
const labelsOfPairs = /^(?:g_)?[PSE]$/; // and whose columns are, too

// A function from an index along an axis of a tensor to a text; null where there is none.
export function axisLabels(graph, tensor, axis, lead) {
  const labels = graph.labels ?? {};
  const owner = tensor.of === null || tensor.of === undefined ? tensor : graph.tensors[tensor.of];
  const { shape } = tensor;
  const n = shape[axis];
  const tokens = labels.rows ? labels.rows[lead[0] ?? 0] ?? labels.rows[0] : labels.tokens;
  const given = owner.kind === "leaf" || owner.kind === "constant";
  const inner = tensor.kind === "inner";
  const isRow = axis === shape.length - 2;
  const isColumn = axis === shape.length - 1;
  if (tokens && tokens.length === n && !given) {
    if (isRow && (!inner || labelsOfPositions.test(tensor.name))) return (i) => tokens[i];
    if (isColumn && inner && labelsOfPairs.test(tensor.name)) return (i) => tokens[i];
  }
  const words = labels.vocabulary;
  const table = given && isRow && /wte|embed/.test(owner.key ?? "");
  const logits = !given && isColumn && shape.length > 1;
  return words && words.length === n && (table || logits) ? (i) => words[i] : null;
}

const headsKnown = new WeakMap(); // graph -> Map from a tensor's number to its groups

// The columns of what goes into an attention, and of what comes out, by head: [{text, short, size}] from left
// to right; null if the tensor is neither.
export function headGroups(graph, tensor) {
  if (!headsKnown.has(graph)) headsKnown.set(graph, headsOf(graph));
  const known = headsKnown.get(graph);
  return known.get(tensor.id) ?? known.get(tensor.of) ?? null;
}

function headsOf(graph) {
  const known = new Map();
  for (const step of graph.steps) {
    if (step.phase !== "forward" || step.op !== "CausalAttention") continue;
    const inner = step.lines.map((line) => graph.tensors[graph.lines[line].out]).find((t) => t.shape.length === 4 && t.name === "S");
    if (!inner) continue;
    const heads = Array.from({ length: inner.shape[1] }, (_, head) => head);
    for (const [id, parts] of [[step.inputs[0], ["Q", "K", "V"]], [step.out, ["Y"]]]) {
      const size = graph.tensors[id].shape.at(-1) / (parts.length * heads.length);
      known.set(id, parts.flatMap((part) => heads.map((head) => ({ text: `${part}, head ${head}`, short: `${part}${head}`, size }))));
    }
  }
  return known;
}
