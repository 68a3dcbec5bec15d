// Numbers, shapes and sizes as text.

// Four significant digits, or the words NaN, inf and -inf.
export function number(x) {
  if (x === null || x === undefined) return "?";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (x === 0) return "0";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-4) return x.toExponential(3);
  return x.toPrecision(4);
}

// The fewest digits that give back the stored number, of type float32 or float64.
export function exact(x, dtype) {
  if (!Number.isFinite(x) || dtype !== "float32") return Number.isFinite(x) ? String(x) : number(x);
  for (let digits = 1; digits <= 9; digits++) {
    const text = x.toPrecision(digits);
    if (Math.fround(Number(text)) === x) return String(Number(text));
  }
  return String(x);
}

// All digits of a number that has few, otherwise four.
export function shortest(x, dtype) {
  if (x === null || x === undefined) return "?";
  const text = exact(x, dtype);
  return text.length <= 7 ? text : number(x);
}

export function shapeText(shape) {
  if (shape.length === 0) return "one number";
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}

export function bytesText(n) {
  if (Math.abs(n) < 1024) return `${n} B`;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    n /= 1024;
    if (Math.abs(n) < 1024 || unit === "GiB") return `${n.toFixed(1)} ${unit}`;
  }
  return String(n);
}
