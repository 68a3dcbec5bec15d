// Formulas such as "where(a > 0, a, 0) * b": read once, then evaluated for one cell at a time.
//
// The operators are Python's (a power may also be written ^), the functions NumPy's, and a letter is
// an input or a constant. Every operation is rounded to the type of the result, as an array library
// does it.

import { isFloating, roundHalfToEven, roundTo } from "./precision.js";

const formulaInverseRootPi = 1 / Math.sqrt(Math.PI);

// erf(x) = 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
export function erf(x) {
  const size = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    // x exp(-x^2) 2/sqrt(pi) (1 + 2x^2/3 + (2x^2)^2/(3 5) + ...): all terms are positive
    let term = 1;
    let sum = 1;
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 2 * formulaInverseRootPi * x * Math.exp(-x * x) * sum;
  }
  // 1 - erf(x) as a continued fraction, from the inside out
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - (Math.exp(-x * x) * formulaInverseRootPi) / fraction);
}

function formulaSigmoid(x) {
  const e = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

function formulaRemainder(a, b) {
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

function formulaFloorDivide(a, b) {
  return b === 0 ? a / b : Math.round((a - formulaRemainder(a, b)) / b);
}

// NumPy's power: 1 to any power is 1, also where JavaScript says NaN.
function formulaPower(a, b) {
  return a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b;
}

function formulaLogAddExp(a, b) {
  if (a === b) return a + Math.LN2;
  const top = Math.max(a, b);
  return top + Math.log1p(Math.exp(-Math.abs(a - b)));
}

// Correctly rounded, so the result is the library's to the last bit.
const formulaExact = {
  abs: Math.abs,
  ceil: Math.ceil,
  clip: (x, low, high) => Math.min(Math.max(x, low), high),
  floor: Math.floor,
  floor_divide: formulaFloorDivide,
  fmax: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.max(a, b)),
  fmin: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b)),
  fmod: (a, b) => a % b,
  isfinite: (x) => Number(Number.isFinite(x)),
  isinf: (x) => Number(Math.abs(x) === Infinity),
  isnan: (x) => Number(Number.isNaN(x)),
  max: Math.max,
  min: Math.min,
  remainder: formulaRemainder,
  round: roundHalfToEven,
  sign: Math.sign,
  sqrt: Math.sqrt,
  square: (x) => x * x,
  trunc: Math.trunc,
  where: (condition, yes, no) => (condition ? yes : no),
};

// Off by a few units in the last place at most, here or in the library.
const formulaApproximate = {
  arccos: Math.acos,
  arccosh: Math.acosh,
  arcsin: Math.asin,
  arcsinh: Math.asinh,
  arctan: Math.atan,
  arctan2: Math.atan2,
  arctanh: Math.atanh,
  cos: Math.cos,
  cosh: Math.cosh,
  erf,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  hypot: Math.hypot,
  log: Math.log,
  log10: Math.log10,
  log1p: Math.log1p,
  log2: Math.log2,
  logaddexp: formulaLogAddExp,
  power: formulaPower,
  sech: (x) => 1 / Math.cosh(x),
  sigmoid: formulaSigmoid,
  sin: Math.sin,
  sinh: Math.sinh,
  tan: Math.tan,
  tanh: Math.tanh,
};

const formulaNames = { inf: Infinity, nan: NaN, pi: Math.PI };

const formulaOperators = {
  "|": [1, (a, b) => Number(Boolean(a) || Boolean(b))],
  "&": [2, (a, b) => Number(Boolean(a) && Boolean(b))],
  "==": [3, (a, b) => Number(a === b)],
  "!=": [3, (a, b) => Number(a !== b)],
  "<": [3, (a, b) => Number(a < b)],
  "<=": [3, (a, b) => Number(a <= b)],
  ">": [3, (a, b) => Number(a > b)],
  ">=": [3, (a, b) => Number(a >= b)],
  "+": [4, (a, b) => a + b],
  "-": [4, (a, b) => a - b],
  "*": [5, (a, b) => a * b],
  "/": [5, (a, b) => a / b],
  "//": [5, formulaFloorDivide],
  "%": [5, formulaRemainder],
  "**": [7, formulaPower],
  "^": [7, formulaPower],
};
const formulaUnary = 6; // binds tighter than a product, and looser than a power

const formulasRead = new Map();

// A formula as {evaluate(values, dtype), functions}: `functions` counts those that are not exact.
export function readFormula(text) {
  if (!formulasRead.has(text)) formulasRead.set(text, new FormulaReader(text).read());
  return formulasRead.get(text);
}

class FormulaReader {
  constructor(text) {
    this.text = text;
    this.tokens = text.match(/\d+\.?\d*(?:e[+-]?\d+)?|\w+|\*\*|\/\/|[<>=!]=|[^\s\w]/gi) || [];
    this.at = 0;
    this.functions = 0;
  }

  read() {
    const evaluate = this.expression(0);
    if (this.at < this.tokens.length) this.refuse();
    return { evaluate, functions: this.functions };
  }

  refuse() {
    throw new Error(`the formula "${this.text}" cannot be read at "${this.tokens[this.at] ?? ""}"`);
  }

  expect(token) {
    if (this.tokens[this.at] !== token) this.refuse();
    this.at += 1;
  }

  expression(strength) {
    let left = this.operand();
    for (;;) {
      const operator = formulaOperators[this.tokens[this.at]];
      if (!operator || operator[0] < strength) return left;
      const isPower = operator[1] === formulaPower;
      this.at += 1;
      const right = this.expression(isPower ? formulaUnary : operator[0] + 1);
      if (isPower) this.functions += 1;
      left = formulaRounded(operator[1], [left, right]);
    }
  }

  operand() {
    const token = this.tokens[this.at];
    this.at += 1;
    if (token === "(") {
      const inner = this.expression(0);
      this.expect(")");
      return inner;
    }
    if (token === "-") return formulaRounded((x) => -x, [this.expression(formulaUnary)]);
    if (token === "~") return formulaRounded((x) => Number(!x), [this.expression(formulaUnary)]);
    if (/^\d/.test(token)) return formulaConstant(Number(token));
    if (/^[a-z]$/.test(token)) return (values) => values[token];
    if (token in formulaNames) return formulaConstant(formulaNames[token]);
    const exact = Object.hasOwn(formulaExact, token);
    if (!exact && !Object.hasOwn(formulaApproximate, token)) {
      this.at -= 1;
      this.refuse();
    }
    this.functions += exact ? 0 : 1;
    return formulaRounded(exact ? formulaExact[token] : formulaApproximate[token], this.args());
  }

  args() {
    const found = [];
    this.expect("(");
    do found.push(this.expression(0));
    while (this.tokens[this.at] === "," && ++this.at);
    this.expect(")");
    return found;
  }
}

function formulaConstant(x) {
  return (values, dtype) => (isFloating(dtype) ? roundTo(x, dtype) : x);
}

function formulaRounded(f, operands) {
  return (values, dtype) => {
    const result = f(...operands.map((evaluate) => evaluate(values, dtype)));
    return dtype === "float32" || dtype === "float16" ? roundTo(result, dtype) : result;
  };
}
