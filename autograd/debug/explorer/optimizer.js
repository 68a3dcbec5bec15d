// The optimizer, line by line: from a weight's gradient to its new value, and over several steps.

import { adamwAgreement, adamwCompare, adamwHistory } from "./adamw.js";
import { cellOf, flatOf } from "./data.js";
import { h } from "./dom.js";
import { exact, number, shapeText } from "./format.js";

// What AdamW makes of a gradient, for one weight: every line with its numbers, over some steps.

export const optimizerView = {
  id: "optimizer",
  title: "Optimizer",
  available: (graph) => Boolean(graph?.optimizer?.parameters?.length),
  render: optimizerRender,
};

function optimizerRender(root, context) {
  const optimizer = context.graph.optimizer;
  const last = optimizer.steps.length;
  const t = Math.min(Math.max(Number.parseInt(context.state.opt ?? "1", 10) || 1, 1), last);
  const parameter = optimizerParameter(context, optimizer);
  const arrays = optimizerArrays(context.page, parameter);
  const chosen = optimizerElement(context, parameter, arrays, t);
  const history = adamwHistory(optimizer, parameter, arrays, chosen.i, t);
  const view = { context, optimizer, parameter, arrays, t, last, chosen, history };
  root.append(
    h("h3", {}, "Optimizer: from gradients to new weights"),
    h("p", {}, "Backward ends with a gradient for each weight. AdamW makes an update of it: it clips ",
      "the gradients, remembers their mean and the mean of their squares, and moves each weight by ",
      "about the learning rate, whatever the size of its gradient. Here it starts: the two means, m and v, are 0 ",
      "before update 1. After it the loss is computed again, with a new backward pass."),
    optimizerChoices(view),
    h("h3", {}, `Update ${t} of ${parameter.key}${optimizerCellText(chosen.cell)}, line by line`),
    optimizerLines(view), optimizerLetters(optimizer.settings),
    optimizerProof(view),
    h("h3", {}, "The same weight, update after update"),
    ...optimizerSteps(view),
    h("h3", {}, `What each part of the rule does to update ${t}`),
    optimizerComparison(view),
    h("h3", {}, `All parameters at update ${t}`),
    ...optimizerParameters(view),
  );
}

// --- what is shown ---------------------------------------------------------------------------

// The chosen tensor if it is a parameter, otherwise the first matrix.
function optimizerParameter(context, optimizer) {
  const key = context.tensor?.key;
  return optimizer.parameters.find((p) => p.key === key)
    ?? optimizer.parameters.find((p) => p.shape.length >= 2) ?? optimizer.parameters[0];
}

const optimizerCache = new WeakMap();

function optimizerArrays(page, parameter) {
  if (!optimizerCache.has(parameter)) {
    const data = (reference) => page.array(reference).data;
    const first = page.array(parameter.weights[0]);
    optimizerCache.set(parameter, {
      dtype: first.dtype === "f4" ? "float32" : "float64",
      weights: parameter.weights.map(data),
      gradients: parameter.gradients.map(data),
      index: parameter.index === null ? null : data(parameter.index),
    });
  }
  return optimizerCache.get(parameter);
}

// The chosen cell where the page has its numbers, otherwise the one with the largest gradient.
function optimizerElement(context, parameter, arrays, t) {
  const at = (i) => ({
    i, cell: cellOf(arrays.index === null ? i : arrays.index[i], parameter.shape),
  });
  let missing = null;
  const own = context.tensor?.key === parameter.key;
  if (context.cell !== null && own) {
    const flat = flatOf(context.cell, parameter.shape);
    const i = arrays.index === null ? flat : arrays.index.indexOf(flat);
    if (i >= 0) return { ...at(i), missing };
    missing = `The page has no numbers for the element ${optimizerCellText(context.cell)}: of a ` +
      `large parameter it holds ${arrays.weights[0].length} elements.`;
  } else if (context.state.cell && own) {
    missing = `There is no element ${context.state.cell} in the shape ${shapeText(parameter.shape)}.`;
  }
  return { ...at(optimizerExtreme(arrays.gradients[t - 1], (g) => Math.abs(g))), missing };
}

function optimizerExtreme(values, score) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (score(values[i]) > score(values[best])) best = i;
  return best;
}

function optimizerCellText(cell) {
  return cell.length === 0 ? "" : `[${cell.join(", ")}]`;
}

// --- choosing --------------------------------------------------------------------------------

function optimizerChoices({ context, optimizer, parameter, arrays, t, chosen }) {
  const { go, link } = context;
  const choose = (i) => {
    const flat = arrays.index === null ? i : arrays.index[i];
    return { tensor: parameter.key, of: null, cell: cellOf(flat, parameter.shape).join(",") };
  };
  const g = arrays.gradients[t - 1];
  const isZero = g.indexOf(0);
  const quick = [["the largest", optimizerExtreme(g, Math.abs)]];
  quick.push(["the smallest", optimizerExtreme(g, (x) => (x === 0 ? -Infinity : -Math.abs(x)))]);
  if (isZero >= 0) quick.push(["0", isZero]);
  const select = h("select", {
    id: "optimizer-parameter",
    onchange: (event) => go({ tensor: event.target.value, of: null, cell: null }),
  }, optimizer.parameters.map((p) => h("option", {
    value: p.key, selected: p === parameter,
  }, `${p.key} ${shapeText(p.shape)}`)));
  const field = parameter.shape.length === 0 ? null : h("input", {
    id: "optimizer-cell", size: 8, value: chosen.cell.join(","), autocomplete: "off",
    inputmode: "text", onchange: (event) => go({
      tensor: parameter.key, of: null, cell: event.target.value.replace(/[\s[\]]/g, ""),
    }),
  });
  return h("div", { class: "optimizer-choices" },
    h("label", { for: "optimizer-parameter" }, "Parameter ", select),
    field && h("label", { for: "optimizer-cell" }, "Element ", field),
    parameter.shape.length > 0 && h("span", {}, "or where the gradient is, in size, ", quick.map(([name, i], n) => [
      n > 0 && ", ", h("a", { href: link(choose(i)) }, name)])),
    h("nav", { class: "optimizer-chooser", "aria-label": "Update of the optimizer" },
      "Update t = ", optimizer.steps.map((_, n) => h("button", {
        "aria-pressed": n + 1 === t ? "true" : "false", onclick: () => go({ opt: n + 1 }),
      }, n + 1))),
    chosen.missing && h("p", { class: "optimizer-note", role: "status" }, chosen.missing,
      " Here is the one whose gradient is largest in size."),
    optimizer.note && h("p", { class: "optimizer-note" }, optimizer.note));
}

// --- line by line ----------------------------------------------------------------------------

function optimizerLines({ optimizer, parameter, arrays, t, history }) {
  const now = history[t - 1];
  const { constants: c, before } = now;
  const step = optimizer.steps[t - 1];
  const { max_norm: limit } = optimizer.settings;
  const e = (x) => exact(x, arrays.dtype);
  const factor = (x) => (x < 0 || Object.is(x, -0) ? `(${e(x)})` : e(x));
  const short = (x) => String(Number(x.toPrecision(9)));
  const beta = (n) => ["\u03b2", h("sub", {}, n)];
  const toThe = () => h("sup", {}, "t");
  const none = parameter.shape.length === 1 ? "one dimension" : "no dimension";
  const rows = [
    ["gradient", "g", t === 1 ? "from the backward pass of this page"
      : "from a backward pass with the weights of the update before", e(now.g)],
    ["clip", "f = min(1, c / |all g|)", limit === 0 ? "there is no clipping"
      : `min(1, ${limit} / ${number(step.norm)})`, number(step.scale)],
    ["", "g = f g", `${number(step.scale)} \u00d7 ${factor(now.g)}`, e(now.scaled)],
    ["mean", ["m = ", beta(1), " m + (1 - ", beta(1), ") g"],
      `${c.beta1} \u00d7 ${factor(before.m)} + ${short(1 - c.beta1)} \u00d7 ${factor(now.scaled)}`, e(now.m)],
    ["mean square", ["v = ", beta(2), " v + (1 - ", beta(2), ") g\u00b2"],
      `${c.beta2} \u00d7 ${e(before.v)} + ${short(1 - c.beta2)} \u00d7 ${factor(now.scaled)}\u00b2`, e(now.v)],
    ["bias correction", ["m\u0302 = m / (1 - ", beta(1), toThe(), ")"],
      `${e(now.m)} / ${short(c.correction1)}`, e(now.mHat)],
    ["", ["v\u0302 = v / (1 - ", beta(2), toThe(), ")"],
      `${e(now.v)} / ${short(c.correction2)}`, e(now.vHat)],
    ["decay", "w = (1 - \u03b7 \u03bb) w", c.decay === 0
      ? `\u03bb is 0: a tensor of ${none} does not decay`
      : `(1 - ${c.lr} \u00d7 ${c.decay}) \u00d7 ${factor(before.p)}`, e(now.decayed)],
    ["change", "\u0394 = \u03b7 m\u0302 / (\u221av\u0302 + \u03b5)",
      `${c.lr} \u00d7 ${factor(now.mHat)} / (\u221a${e(now.vHat)} + ${c.eps})`, e(now.move)],
    ["new weight", "w = w - \u0394", `${e(now.decayed)} - ${factor(now.move)}`, e(now.p)],
  ];
  return h("div", { class: "optimizer-scroll scroll" }, h("table", { class: "optimizer-lines" },
    h("thead", {}, h("tr", {}, ["", "formula, and with the numbers", "gives"].map((text) =>
      h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map(([name, formula, numbers, result]) => h("tr", {},
      h("th", { scope: "row" }, name),
      h("td", {}, h("div", { class: "optimizer-formula" }, formula), h("div", {}, numbers)),
      h("td", { class: "optimizer-result" }, result))))));
}

function optimizerLetters(s) {
  const entries = [
    ["\u03b7", `the learning rate, ${s.lr}`],
    ["c", s.max_norm === 0 ? "the largest norm: there is none" : `the largest norm of all gradients together, ${s.max_norm}`],
    [["\u03b2", h("sub", {}, 1), ", \u03b2", h("sub", {}, 2)], `how much of m and v an update keeps, ${s.beta1} and ${s.beta2}`],
    ["\u03bb", `the decay, ${s.weight_decay} for tensors of two or more dimensions and 0 for others`],
    ["\u03b5", `keeps the division finite, ${s.eps}`],
  ];
  return h("p", { class: "optimizer-letters" }, entries.map(([letter, text], n) => [
    n > 0 && "; ", h("b", {}, letter), ` ${text}`]), ". Every operation is rounded as the array's type rounds it.");
}

const optimizerAgreements = new WeakMap();

// Whether the recomputed weights are the stored ones: this one, and all of them.
function optimizerProof({ context, optimizer, arrays, t, chosen, history }) {
  const stored = arrays.weights[t][chosen.i];
  const same = Object.is(stored, history[t - 1].p);
  if (!optimizerAgreements.has(optimizer)) {
    const total = { equal: 0, of: 0 };
    for (const p of optimizer.parameters) {
      const found = adamwAgreement(optimizer, p, optimizerArrays(context.page, p));
      total.equal += found.equal;
      total.of += found.of;
    }
    optimizerAgreements.set(optimizer, total);
  }
  const { equal, of } = optimizerAgreements.get(optimizer);
  const group = (n) => n.toLocaleString("en");
  return h("p", { class: same && equal === of ? "optimizer-good" : "optimizer-bad" },
    h("strong", {}, same ? "Equal to the last bit. " : "Different. "),
    `The project's own AdamW has stored ${exact(stored, arrays.dtype)}; the lines above were computed `,
    "by this page, from the gradients and the weight before update 1 alone. ",
    `The same check for every weight on the page at all ${optimizer.steps.length} updates: `,
    `${group(equal)} of ${group(of)} are equal.`);
}

// --- over the steps --------------------------------------------------------------------------

function optimizerSteps({ context, optimizer, parameter, arrays, t, last, chosen }) {
  const history = adamwHistory(optimizer, parameter, arrays, chosen.i, last);
  const e = (x) => exact(x, arrays.dtype);
  const losses = [...optimizer.steps.map((step) => step.loss), optimizer.loss_after];
  const rows = history.map((now, n) => h("tr", n + 1 === t ? { "aria-current": "step" } : {},
    h("th", { scope: "row" }, h("a", { href: context.link({ opt: n + 1 }) }, `t = ${n + 1}`)),
    [number(losses[n]), e(now.g), e(now.m), e(now.v), number(now.move / now.constants.lr),
      e(now.p)].map((text) => h("td", {}, text))));
  const falls = optimizer.loss_after === null ? null : h("p", {},
    `The loss was ${number(losses[0])} and is ${number(optimizer.loss_after)} after update ${last}: `,
    "each update calls the function again, with the new weights.");
  const table = h("div", { class: "optimizer-scroll scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["update", "loss", "g", "m", "v", "\u0394 / \u03b7", "w after"]
      .map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows)));
  return [table, h("p", {}, "\u0394 / \u03b7 is the change in units of the learning rate. It is 1 or -1 at t = 1, whatever the ",
    "gradient's size, and stays near it while the gradients agree in sign."), falls ?? ""];
}

function optimizerComparison({ optimizer, parameter, arrays, t, chosen }) {
  const found = adamwCompare(optimizer, parameter, arrays, chosen.i, t);
  const actual = found[0].moved;
  return h("div", { class: "optimizer-scroll scroll" }, h("table", { class: "optimizer-rules" },
    h("thead", {}, h("tr", {}, ["rule", "the weight moves by", "times AdamW's"].map((text) =>
      h("th", { scope: "col" }, text)))),
    h("tbody", {}, found.map((entry) => h("tr", {},
      h("th", { scope: "row" }, entry.name, h("div", { class: "optimizer-sentence" }, entry.sentence)),
      h("td", {}, number(entry.moved)),
      h("td", {}, actual === 0 ? "?" : number(entry.moved / actual)))))));
}

function optimizerParameters({ context, optimizer, parameter, t }) {
  const step = optimizer.steps[t - 1];
  const { max_norm } = optimizer.settings;
  const n = t - 1;
  const squares = optimizer.parameters.reduce((sum, p) => sum + p.gradient_norm[n] ** 2, 0);
  const rows = optimizer.parameters.map((p) => h("tr", p === parameter ? { "aria-current": "true" } : {},
    h("th", { scope: "row" },
      h("a", { href: context.link({ tensor: p.key, of: null, cell: null }) }, p.key)),
    [shapeText(p.shape), p.decay === 0 ? "no" : `\u03bb = ${p.decay}`, number(p.gradient_norm[n]),
      number(p.weight_norm[n]), number(p.move_norm[n]),
      p.weight_norm[n] === 0 ? "w is 0" : number(p.move_norm[n] / p.weight_norm[n])]
      .map((text) => h("td", {}, text))));
  const clip = max_norm === 0 ? "There is no clipping."
    : step.scale < 1 ? `That is above ${max_norm}, so every gradient is multiplied by ${number(step.scale)}.`
      : `That is not above ${max_norm}, so the gradients stay as they are.`;
  return [
    h("p", {}, `|g| is the norm of a gradient, the root of the sum of its squares. The root of the sum of all |g|\u00b2 is \u221a${number(squares)} = ${number(step.norm)}. `, clip,
      " The clip is one factor for all parameters: it keeps the direction of the whole update."),
    h("div", { class: "optimizer-scroll scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["parameter", "shape", "decays", "|g|", "|w|", "|w after - w|", "|w after - w| / |w|"]
        .map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows)))];
}
