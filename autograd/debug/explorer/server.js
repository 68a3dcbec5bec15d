// Questions that only a running Python can answer: asked of `tinygrad-llm explore --serve`.
import { readNumber } from "./data.js";
import { explainGiven } from "./rules.js";

// Without a server the page knows what is embedded in it, and nothing else.
export function hasServer(page) {
  return Boolean(page.server);
}

async function serverAsk(page, question, body) {
  let answer;
  try {
    answer = await fetch(`${page.server.address}/${question}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Token": page.server.token },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("the process that served this page does not answer: it has been ended");
  }
  const found = await answer.json().catch(() => ({ error: `the answer was ${answer.status}` }));
  if (!answer.ok) throw new Error(found.error ?? `the answer was ${answer.status}`);
  return found;
}

// The check and the curve of one element of a tensor, measured now: {check, curve}.
export async function serverProof(page, graph, tensor, element) {
  const { check, curve } = await serverAsk(page, "proof", { graph: graph.name, tensor, element });
  const numbers = (values) => Float64Array.from(values, readNumber);
  for (const [name, value] of Object.entries(check)) check[name] = readNumber(value);
  if (curve === null) return { check, curve };
  return { check, curve: {
    ...curve, x: readNumber(curve.x), exact: readNumber(curve.exact),
    steps: numbers(curve.steps), slopes32: numbers(curve.slopes32), slopes64: numbers(curve.slopes64),
  } };
}

const serverTypes = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array };

// The numbers of a tensor that is only sampled in the page, or of a window of it, a pair
// [start, stop] for each axis: {data, shape, dtype}.
export async function serverValues(page, graph, tensor, window = null) {
  const { shape, dtype, data } = await serverAsk(
    page, "values", { graph: graph.name, tensor, window });
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  return { shape, dtype, data: new serverTypes[dtype](bytes.buffer) };
}

// What one cell was computed from, as `explainCell` of rules.js says it, with what Python knows: of a
// sampled tensor the page has not all terms. An id is null for a tensor that is not on the page.
export async function serverTerms(page, graph, tensor, cell) {
  const { line, stored, terms } = await serverAsk(page, "terms", { graph: graph.name, tensor, cell });
  for (const factor of terms.flat()) {
    for (const name of ["value", "number"]) {
      if (name in factor) factor[name] = readNumber(factor[name]);
    }
  }
  return explainGiven(graph, tensor, cell, { line, stored: readNumber(stored), terms });
}
