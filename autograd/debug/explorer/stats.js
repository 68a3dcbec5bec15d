// Exact statistics of a tensor: those of all its elements, whether or not all are in the page.

import { readNumber } from "./data.js";

const statsBins = 24;
const statsKnown = new WeakMap(); // tensor -> its statistics

// {size, zeros, nans, infinities, min, max, mean, std, norm, histogram: counts}; the last six only if
// there are finite elements. Of a sampled tensor Python computed them, of the others they are
// computed here, in float64. null if nobody kept the numbers.
export function statisticsOf(graph, tensor) {
  if (tensor.data === null) return null;
  if (!statsKnown.has(tensor)) {
    const stored = tensor.stats && Object.fromEntries(Object.entries(tensor.stats).map(([key, x]) => [key, readNumber(x)]));
    statsKnown.set(tensor, stored ?? statisticsFrom(graph.values(tensor.id)));
  }
  return statsKnown.get(tensor);
}

export function statisticsFrom(values) {
  const found = { size: values.length, zeros: 0, nans: 0, infinities: 0 };
  let [min, max, sum, squares, n] = [Infinity, -Infinity, 0, 0, 0];
  for (const x of values) {
    if (Number.isNaN(x)) found.nans += 1;
    else if (!Number.isFinite(x)) found.infinities += 1;
    else {
      n += 1;
      if (x === 0) found.zeros += 1;
      if (x < min) min = x;
      if (x > max) max = x;
      sum += x;
      squares += x * x;
    }
  }
  if (n === 0) return found;
  const mean = sum / n;
  let spread = 0;
  const [low, high] = min < max ? [min, max] : [min - 1, max + 1];
  const histogram = new Array(statsBins).fill(0);
  for (const x of values) {
    if (!Number.isFinite(x)) continue;
    spread += (x - mean) ** 2;
    histogram[Math.min(Math.floor(((x - low) / (high - low)) * statsBins), statsBins - 1)] += 1;
  }
  return { ...found, min, max, mean, std: Math.sqrt(spread / n), norm: Math.sqrt(squares), histogram };
}
