// The arithmetic of the loss view, in the precision that the engine has: each operation on float32 is
// computed in float64 and rounded, which gives the nearest float32.

const fround = Math.fround;

function lossRounding(dtype) {
  return dtype === "float32" ? fround : (x) => x;
}

// The terms J[j, k] g_p[k] of one element of J g_p, and their sum, left to right.
export function lossSum(p, y, r, j, dtype) {
  const round = lossRounding(dtype);
  const terms = [];
  let total = 0;
  for (let k = 0; k < p.length; k++) {
    const slope = round((j === k ? p[j] : 0) - round(p[j] * p[k]));
    const g = y[k] === 0 ? 0 : round(-round(r * y[k]) / p[k]);
    const product = y[k] === 0 ? 0 : round(slope * g);
    total = round(total + product);
    terms.push({ k, slope, g, product });
  }
  return { terms, total };
}

// J g_p, all of it.
export function lossJacobian(p, y, r, dtype) {
  return Array.from(p, (_, j) => lossSum(p, y, r, j, dtype).total);
}

// One row's loss at logits x times scale, three ways, in float32.
export function lossScaled(x, target, scale) {
  const factor = fround(scale);
  const scaled = Float32Array.from(x, (value) => fround(fround(value) * factor));
  const largest = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
  return {
    plain: lossSeparate(scaled, target, 0, largest),
    shifted: lossSeparate(scaled, target, largest, largest),
    fused: lossFused(scaled, target, largest),
  };
}

function lossSeparate(x, target, shift, largest) {
  const e = Float32Array.from(x, (value) => Math.exp(fround(value - shift)));
  const sum = e.reduce((a, b) => fround(a + b), 0);
  const p = fround(e[target] / sum);
  const log = fround(Math.log(p));
  const g_p = fround(-1 / p);
  const slope = fround(p * fround(1 - p));
  return { e: fround(Math.exp(fround(largest - shift))), sum, p, log, loss: -log, g_p, slope, g: fround(slope * g_p) };
}

function lossFused(x, target, largest) {
  const sum = Float32Array.from(x, (value) => Math.exp(fround(value - largest)))
    .reduce((a, b) => fround(a + b), 0);
  const rest = fround(Math.log(sum)); // between 0 and the logarithm of the number of classes
  const below = fround(x[target] - largest);
  const log = fround(below - rest);
  const p = fround(Math.exp(log));
  return { e: 1, sum, p, log, loss: fround(rest - below), g: fround(p - 1) };
}

// Where float32 ends: the smallest logit whose exp is inf and the largest whose exp is 0; and the
// factors at which this row gets there (naive: exp overflows, zero: p of the target is 0), or null.
export function lossLimits(x, target) {
  const largest = Math.max(...x);
  const overflow = lossFirst((value) => fround(Math.exp(value)) === Infinity, 80, 100);
  const under = -lossFirst((value) => fround(Math.exp(-value)) === 0, 80, 120);
  return {
    overflow, under,
    naive: largest > 0 ? lossFirst((s) => lossScaled(x, target, s).plain.e === Infinity, 1, 200 / largest + 2) : null,
    zero: x[target] < largest ?
      lossFirst((s) => lossScaled(x, target, s).shifted.p === 0, 1, 200 / (largest - x[target]) + 2) : null,
  };
}

// The least float32 between low and high from which on a condition holds.
function lossFirst(holds, low, high) {
  [low, high] = [fround(low), fround(high)];
  if (holds(low)) return low;
  for (;;) {
    const middle = fround((low + high) / 2);
    if (middle === low || middle === high) return high;
    if (holds(middle)) high = middle;
    else low = middle;
  }
}
