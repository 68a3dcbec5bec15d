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

// The columns of what goes into an attention, and of what comes out, by head: [{text, size}] from left
// to right; null if the tensor is neither.
export function headGroups(graph, tensor) {
  const id = tensor.of === null || tensor.of === undefined ? tensor.id : tensor.of;
  for (const step of graph.steps) {
    if (step.phase !== "forward" || step.op !== "CausalAttention") continue;
    const packed = step.inputs[0] === id;
    if (!packed && step.out !== id) continue;
    const inner = step.lines.map((line) => graph.tensors[graph.lines[line].out]).find((t) => t.shape.length === 4 && t.name === "S");
    const heads = inner?.shape[1];
    if (!heads) return null;
    const parts = packed ? ["Q", "K", "V"] : ["Y"];
    const size = tensor.shape.at(-1) / (parts.length * heads);
    return parts.flatMap((part) => Array.from({ length: heads }, (_, head) => ({ text: `${part}, head ${head}`, size })));
  }
  return null;
}
