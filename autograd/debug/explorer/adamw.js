// AdamW for one element, line by line, in the arithmetic of the array that it belongs to: the order
// and the rounding are those of autograd/kernels/adamw/reference.py. No part of the page is needed.

// Every operation on float32 arrays is rounded to float32, and so is a number that meets one.
export function adamwRounding(dtype) {
  return dtype === "float32" ? Math.fround : (x) => x;
}

// One step. c: {lr, beta1, beta2, eps, decay, scale, correction1, correction2}, before: {p, m, v}.
export function adamwStep(c, before, g, round) {
  const scaled = round(g * round(c.scale));
  const m = round(round(round(c.beta1) * before.m) + round(round(1 - c.beta1) * scaled));
  const square = round(scaled * scaled);
  const v = round(round(round(c.beta2) * before.v) + round(round(1 - c.beta2) * square));
  const mHat = round(m / round(c.correction1));
  const vHat = round(v / round(c.correction2));
  const divisor = round(round(Math.sqrt(vHat)) + round(c.eps));
  const decayed = round(before.p * round(1 - c.lr * c.decay));
  const move = round(round(round(c.lr) * mHat) / divisor);
  return { g, scaled, m, v, mHat, vHat, divisor, decayed, move, p: round(decayed - move) };
}

// The numbers that step t of a parameter is made with (t counts from 1).
export function adamwConstants(optimizer, parameter, t) {
  const { lr, beta1, beta2, eps } = optimizer.settings;
  const { scale, correction1, correction2 } = optimizer.steps[t - 1];
  return { lr, beta1, beta2, eps, scale, correction1, correction2, decay: parameter.decay };
}

// Steps 1 to t of the element that is number i of what the page holds of a parameter. m and v are
// computed from all gradients so far; p of each step begins at the stored weight of step 0 and is
// the page's own from then on. change(constants, t, weight) may alter the rule: see adamwChanges.
export function adamwHistory(optimizer, parameter, arrays, i, t, change = (c) => c) {
  const round = adamwRounding(arrays.dtype);
  const history = [];
  let state = { p: arrays.weights[0][i], m: 0, v: 0 };
  for (let step = 1; step <= t; step++) {
    const constants = change(adamwConstants(optimizer, parameter, step), step);
    const g = constants.gradient ? constants.gradient(arrays.gradients[step - 1][i], state.p, round)
      : arrays.gradients[step - 1][i];
    const result = adamwStep(constants, state, g, round);
    history.push({ ...result, before: state, constants });
    state = { p: result.p, m: result.m, v: result.v };
  }
  return history;
}

// How often the recomputed weight is the stored one, bit for bit: of all elements and all steps.
export function adamwAgreement(optimizer, parameter, arrays) {
  const round = adamwRounding(arrays.dtype);
  let equal = 0;
  const size = arrays.weights[0].length;
  const constants = optimizer.steps.map((_, n) => adamwConstants(optimizer, parameter, n + 1));
  for (let i = 0; i < size; i++) {
    let state = { p: arrays.weights[0][i], m: 0, v: 0 };
    constants.forEach((c, n) => {
      state = adamwStep(c, state, arrays.gradients[n][i], round);
      if (Object.is(state.p, arrays.weights[n + 1][i])) equal += 1;
    });
  }
  return { equal, of: size * constants.length };
}

// What the step would be without one part of the rule, from the same gradients.
export const adamwChanges = [
  {
    name: "as it is",
    sentence: "AdamW, with everything.",
    change: (c) => c,
  },
  {
    name: "no clipping",
    sentence: "The factor is 1 at every update. m and the root of v grow alike, so little changes.",
    change: (c) => ({ ...c, scale: 1 }),
  },
  {
    name: "no bias correction",
    sentence: "m and v are used as they are. Both start at 0 and are too small at first.",
    change: (c) => ({ ...c, correction1: 1, correction2: 1 }),
  },
  {
    name: "no decay",
    sentence: "The weight is not shrunk before the change.",
    change: (c) => ({ ...c, decay: 0 }),
  },
  {
    name: "decay in the gradient (Adam with L2)",
    sentence: "The decay times the weight is added to g, and then divided by the root of v as well.",
    change: (c) => ({
      ...c, decay: 0, scale: 1,
      gradient: (g, p, round) => round(round(g * round(c.scale)) + round(round(c.decay) * p)),
    }),
  },
  {
    name: "gradient descent",
    sentence: "Only the learning rate times the clipped gradient: no m, no v, no decay.",
    plain: true,
  },
];

// The change of the weight at step t under each of adamwChanges, in float64 from rounded weights.
export function adamwCompare(optimizer, parameter, arrays, i, t) {
  const round = adamwRounding(arrays.dtype);
  return adamwChanges.map((entry) => {
    if (entry.plain) {
      const { lr, scale } = adamwConstants(optimizer, parameter, t);
      return { ...entry, moved: -round(round(lr) * round(arrays.gradients[t - 1][i] * round(scale))) };
    }
    const last = adamwHistory(optimizer, parameter, arrays, i, t, entry.change)[t - 1];
    return { ...entry, moved: (last.decayed - last.before.p) - last.move };
  });
}
