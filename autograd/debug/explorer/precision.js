// Numbers of a given type: rounding to it, the distance between two of them, and sums of many.
//
// JavaScript computes in float64. A sum, product, quotient or square root of two float32 numbers
// that is computed in float64 and then rounded is what float32 arithmetic gives: float64 has more
// than twice the digits, so rounding twice does no harm.

// Binary digits of the significand. The page holds long doubles as float64.
const precisionDigits = { float16: 11, float32: 24, float64: 53, longdouble: 53, float128: 53 };
const precisionLowest = { float16: -24, float32: -149, float64: -1074 }; // exponent of the last digit

// The distance from 1 to the next number.
export function epsilonOf(dtype) {
  return 2 ** (1 - (precisionDigits[dtype] || 53));
}

export function isFloating(dtype) {
  return dtype in precisionDigits;
}

// x as a number of the type.
export function roundTo(x, dtype) {
  if (dtype === "float32") return Math.fround(x);
  if (dtype === "bool") return x ? 1 : 0;
  if (dtype === "float16") {
    const step = spacingAt(x, dtype);
    if (!Number.isFinite(x) || x === 0) return x;
    const rounded = roundHalfToEven(x / step) * step;
    return Math.abs(rounded) > 65504 ? Math.sign(x) * Infinity : rounded;
  }
  return isFloating(dtype) ? x : Math.trunc(x);
}

export function roundHalfToEven(x) {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

// The distance between neighbours of x among the numbers of the type.
export function spacingAt(x, dtype) {
  const lowest = precisionLowest[dtype] ?? -1074;
  const size = Math.abs(x);
  if (!(size > 0) || size === Infinity) return 2 ** lowest;
  let exponent = Math.floor(Math.log2(size));
  if (2 ** exponent > size) exponent -= 1; // log2 was rounded up
  if (2 ** (exponent + 1) <= size) exponent += 1;
  return 2 ** Math.max(exponent - (precisionDigits[dtype] || 53) + 1, lowest);
}

// How many numbers of the type lie between a and b, one of the ends counted: 0 if they are equal.
export function ulpsApart(a, b, dtype) {
  if (Object.is(a, b) || a === b) return 0;
  if (!Number.isFinite(a) || !Number.isFinite(b)) return Infinity;
  if (!isFloating(dtype)) return Math.abs(a - b);
  const step = spacingAt(Math.min(Math.abs(a), Math.abs(b)), dtype);
  return Math.round(Math.abs(a - b) / step);
}

// The sum without rounding errors that would matter: what each addition loses is added at the end.
export function sumExactly(terms) {
  let sum = 0;
  let lost = 0;
  for (const x of terms) {
    const next = sum + x;
    lost += Math.abs(sum) >= Math.abs(x) ? sum - next + x : x - next + sum;
    sum = next;
  }
  return Number.isFinite(lost) ? sum + lost : sum;
}

// The sum in the type's own arithmetic, from the first term to the last.
export function sumInOrder(terms, dtype) {
  let sum = terms.length ? roundTo(terms[0], dtype) : 0;
  for (let i = 1; i < terms.length; i++) sum = roundTo(sum + roundTo(terms[i], dtype), dtype);
  return sum;
}

// NumPy's sum along the last axis: from 8 terms on in eight running sums, which are added in pairs;
// more than 128 terms are halved first.
export function sumInPairs(terms, dtype) {
  const n = terms.length;
  if (n < 8) return sumInOrder(terms, dtype);
  if (n > 128) {
    const half = Math.floor(n / 2) - (Math.floor(n / 2) % 8);
    const halves = [terms.slice(0, half), terms.slice(half)].map((part) => sumInPairs(part, dtype));
    return roundTo(halves[0] + halves[1], dtype);
  }
  let lanes = terms.slice(0, 8).map((x) => roundTo(x, dtype));
  const whole = n - (n % 8);
  for (let i = 8; i < whole; i++) lanes[i % 8] = roundTo(lanes[i % 8] + roundTo(terms[i], dtype), dtype);
  while (lanes.length > 1) {
    lanes = lanes.filter((_, i) => i % 2 === 0).map((x, i) => roundTo(x + lanes[2 * i + 1], dtype));
  }
  return sumInOrder([lanes[0], ...terms.slice(whole)], dtype);
}

// Multiply and add in one instruction, as matrix products do: no product is rounded by itself.
export function sumFused(terms, dtype) {
  let sum = 0;
  for (const x of terms) sum = roundTo(sum + x, dtype);
  return sum;
}

// In which order were these added up? The first way that gives the stored number to the last bit:
// {total, way}. If none does, the exact sum, and it is rounding that explains the difference.
export function sumAsStored(terms, stored, dtype, scale = 1) {
  for (const [way, sum] of [["exact", sumExactly], ["order", sumInOrder], ["fused", sumFused], ["pairs", sumInPairs]]) {
    const total = roundTo(sum(terms, dtype) / scale, dtype);
    if (ulpsApart(total, stored, dtype) === 0) return { total, way };
  }
  return { total: roundTo(sumExactly(terms) / scale, dtype), way: null };
}

// How far a sum of these terms may be from the exact one, in whatever order it is added up.
export function sumBound(terms, dtype) {
  let size = 0;
  for (const x of terms) size += Math.abs(x);
  const n = Math.max(1, terms.length);
  return n * (epsilonOf(dtype) * size + spacingAt(0, dtype));
}
