// How far the pass has come at a step: which tensors exist, which gradients are complete, which are
// pending and why the next node is next. No drawing here.

const progressOf = new WeakMap();

// For every tensor of a graph: the step that makes it, the step that takes its gradient, and the
// contributions to its gradient in the order of their arrival.
export function progress(graph) {
  if (progressOf.has(graph)) return progressOf.get(graph);
  const made = new Map(), taken = new Map(), arrivals = new Map();
  let start = graph.steps.length, root = null;
  for (const step of graph.steps) {
    if (step.phase === "forward") made.set(step.out, step.n);
    else if (step.phase === "start") [start, root] = [step.n, step.out];
    else if (step.out !== null && step.out !== undefined) {
      start = Math.min(start, step.n);
      taken.set(step.out, step.n);
    }
    for (const part of step.contributions || []) {
      if (!arrivals.has(part.to)) arrivals.set(part.to, []);
      arrivals.get(part.to).push({ step: step.n, input: part.input, tensor: part.tensor });
    }
  }
  const found = { made, taken, arrivals, start, root };
  progressOf.set(graph, found);
  return found;
}

// The phase in which a tensor is after step n: "waiting" (not computed yet), "made", "pending" (some
// contributions to its gradient have arrived), "complete" (its gradient has been taken), and
// whether step n itself makes or takes it.
export function stateAfter(found, id, n) {
  const made = found.made.get(id), taken = found.taken.get(id);
  if (taken !== undefined && taken <= n) return taken === n ? "current" : "complete";
  if (made !== undefined && made > n) return "waiting";
  if (made === n || (n === found.start && id === found.root)) return "current";
  const parts = found.arrivals.get(id);
  return parts && parts[0].step <= n ? "pending" : "made";
}

// How many of the contributions to a tensor's gradient have arrived before step n begins, and of
// how many.
export function arrivedBefore(found, id, n) {
  const parts = found.arrivals.get(id) || [];
  let count = 0;
  while (count < parts.length && parts[count].step < n) count += 1;
  return [count, parts.length];
}

// The tensors whose gradients are pending when step n begins, the newest first: that is the order
// in which the pass takes them.
export function pendingBefore(found, n) {
  const waiting = [];
  if (n <= found.start) return waiting;
  for (const [id, parts] of found.arrivals) {
    const taken = found.taken.get(id);
    if (parts[0].step < n && taken !== undefined && taken >= n) waiting.push({ id, taken });
  }
  waiting.sort((a, b) => a.taken - b.taken);
  return waiting.map(({ id }) => {
    const [arrived, expected] = arrivedBefore(found, id, n);
    return { id, arrived, expected };
  });
}

// The next step of the backward pass; from the forward pass, the turn.
export function nextBackward(graph, n) {
  const later = graph.steps.find((step) => step.n > n && (step.phase === "start" || step.phase === "backward"));
  return later ? later.n : null;
}
