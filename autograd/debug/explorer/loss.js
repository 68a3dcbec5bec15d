// Softmax and cross-entropy: the gradient of the logits by two paths, the Jacobian of softmax and
// p - y, with the same numbers; and what float32 makes of both where the logits are large.
import { h } from "./dom.js";
import { exact, number } from "./format.js";
import { lossLimits, lossScaled, lossSum } from "./loss_math.js";
import { nameTensor, titleOf } from "./state.js";

const lossWidest = 40; // a Jacobian of more classes is not drawn

export const lossView = {
  id: "loss",
  title: "Softmax and loss",
  available: (graph) => (graph?.loss_paths?.calls.length ?? 0) > 0,
  render(root, context) {
    const chosen = lossChosen(context);
    root.append(h("div", { class: "loss" },
      h("h3", {}, "One gradient, two paths"),
      lossCalls(context, chosen),
      lossTwoPaths(context, chosen),
      lossOneClass(context, chosen),
      lossLarge(context, chosen)));
  },
};

// What is looked at: a call (that of the step, or loss=1), one of its rows (row=2), one of its
// classes (class=5), and the numbers of that row.
function lossChosen({ graph, page, state, step, shown, cell }) {
  const { calls } = graph.loss_paths;
  const here = calls.findIndex((call) => call.step === step?.n || call.step === step?.forward);
  const at = lossWhole(state.loss, calls.length) ?? Math.max(here, 0);
  const call = calls[at];
  const tensors = lossTensors(graph, call);
  const pointed = cell?.length === 2 && tensors.includes(shown.id) ? cell : [null, null];
  const part = (name) => (call[name] === null ? null : page.array(call[name]).data);
  const rows = part("rows");
  const width = page.array(call.x).shape[1];
  const wantedRow = rows.indexOf(pointed[0] ?? lossWhole(state.row, Infinity) ?? -1);
  const place = wantedRow >= 0 ? wantedRow : lossWorst(part("p"), part("y"), width);
  const row = rows[place];
  const slice = (name) => part(name)?.subarray(place * width, (place + 1) * width) ?? null;
  const numbers = {};
  for (const name of ["x", "p", "y", "direct", "separate", "columns"]) numbers[name] = slice(name);
  const target = part("targets")[place];
  const classes = numbers.columns ?? Int32Array.from({ length: width }, (_, j) => j);
  const wanted = pointed[1] ?? lossWhole(state.class, Infinity) ?? target;
  const j = Math.max(classes.indexOf(wanted), 0);
  const r = part("r")[place];
  const dtype = { f4: "float32", f8: "float64" }[page.array(call.x).dtype];
  return { at, call, tensors, place, rows, row, r, target, classes, j, dtype, ...numbers };
}

// The row of the largest loss: on it one sees most.
function lossWorst(p, y, width) {
  let [worst, least] = [0, Infinity];
  for (let i = 0; i * width < p.length; i++) {
    let right = 0;
    for (let k = i * width; k < (i + 1) * width; k++) right += y[k] * p[k];
    if (right < least) [worst, least] = [i, right];
  }
  return worst;
}

// The logits and their gradient, ids of tensors (N, V), as far as the page has them. Those of a
// LinearCrossEntropy are inside: variables x and g_x of its reference.
function lossTensors(graph, call) {
  const { step, shape } = call;
  const fits = (id) => id !== null && graph.tensors[id].shape.join() === shape.join();
  const inside = (n, name) => graph.steps[n]?.lines.map((id) => graph.lines[id])
    .findLast((line) => line.variable === name && fits(line.out))?.out ?? null;
  const gradient = call.logits === null ? inside(graph.steps[step].backward, "g_x") : graph.tensors[call.logits].grad;
  return [call.logits ?? inside(step, "x"), gradient].filter(fits);
}

function lossWhole(text, below) {
  return /^\d+$/.test(text ?? "") && Number(text) < below ? Number(text) : null;
}

// ---- which call, which row

function lossCalls(context, { at, call, rows, row, target }) {
  const { graph, go, link } = context;
  const { calls } = graph.loss_paths;
  const { tokens, rows: texts } = graph.labels ?? {};
  const flat = texts?.flat() ?? tokens ?? [];
  const name = (i) => (flat.length === call.shape[0] ? `${i}, after "${flat[i]}"` : `${i}`);
  const word = lossWord(graph, call, target, row);
  return h("div", { class: "loss-head" },
    calls.length > 1 && h("nav", { "aria-label": "losses of this graph" }, calls.map((other, i) =>
      h("a", { href: link({ loss: i, row: null, class: null, cell: null }), "aria-current": i === at && "true" },
        `${other.op} at step ${other.step}`))),
    h("label", {}, "Row ", h("select", { "data-key": "loss-row",
      onchange: (event) => go({ row: event.target.value, class: null, cell: null }) },
    [...rows].map((i) => h("option", { value: i, selected: i === row }, name(i))))),
    h("span", { class: "faint" }, target >= 0 ? ` target: class ${target}${word && `, "${word}"`}` : " several targets",
      rows.length < call.shape[0] && `; ${rows.length} of ${call.shape[0]} rows are in this page`));
}

function lossAgreement({ max, nans }, largest, dtype) {
  if (nans > 0) return `. But ${nans} elements are NaN on the path through J: a p of 0 was divided by.`;
  const rounding = dtype === "float32" ? 1e-6 : 1e-14;
  return max <= rounding * largest ? `: they agree to the last digits that ${dtype} has.` :
    ": they differ by more than the last digits.";
}

// The text of a class, where the graph says it: of every id, or of each row's target.
function lossWord({ labels }, { shape }, k, row) {
  if (labels?.vocabulary?.length === shape[1]) return labels.vocabulary[k];
  return row !== undefined && labels?.targets?.length === shape[0] ? labels.targets[row] : "";
}

// ---- the two paths

function lossTwoPaths(context, chosen) {
  const { graph } = context;
  const { call, row, r, dtype, classes, x, p, y, direct, separate, j, columns } = chosen;
  const { difference, largest, shape } = call;
  const logits = call.logits === null ? "the logits" : titleOf(graph, call.logits);
  const cell = (value, ...extra) => h("td", { class: "number" }, number(value), ...extra);
  const pick = (i) => h("button", { type: "button", class: "loss-class", "data-key": `loss-${classes[i]}`,
    "aria-pressed": String(i === j), onclick: () => context.go(lossPointed(context, chosen, row, classes[i])) }, String(classes[i]));
  const most = y.reduce((a, b) => Math.max(a, b));
  const column = (title) => h("th", { scope: "col", class: "number" }, title);
  return [
    h("p", {}, chosen.target >= 0 ? "The loss of a row is -log p of its target" : "The loss of a row is -sum y log p",
      ", with p = softmax(x), the probabilities of the classes", chosen.target >= 0 ? "; y is 1 for the target and 0 elsewhere. " : ". ",
      "The gradient that arrives at the loss of this row is ", h("code", {}, `r = ${exact(r, dtype)}`),
      Math.abs(r * shape[0] - 1) < 1e-5 && shape[0] > 1 ? `: the loss is the mean over ${shape[0]} rows, 1/${shape[0]} each.` : "."),
    h("ul", {},
      h("li", {}, "Operation by operation: the logarithm sends ", h("code", {}, "g_p = -r y / p"),
        " to p, and the Jacobian of softmax, ", h("code", {}, "J = diag(p) - p p^T"), ", turns it into ",
        h("code", {}, "J g_p"), "."),
      h("li", {}, "All in one: ", h("code", {}, "r (p - y)"), ", prediction minus truth.")),
    h("p", {}, call.fused ?
      `${call.op} takes the second path. The first was computed by the engine from the same logits.` :
      `This graph takes the first path: a logarithm follows its Softmax. r (p - y) was computed from the same p.`),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "both gradients of this row" },
      h("table", { class: "loss-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "class"), column("logit x"), column("p"), column("y"),
          column("p - y"), column("r (p - y)"), column("J g_p"), column("difference"))),
        h("tbody", {}, [...classes].map((_, i) => h("tr", { class: y[i] === most && "loss-target" },
          h("th", { scope: "row" }, pick(i), " ", h("span", { class: "faint" }, lossWord(graph, call, classes[i]))), cell(x[i]), cell(p[i]), cell(y[i]),
          cell(lossRound(p[i] - y[i], dtype)), cell(direct[i]), cell(separate[i]),
          cell(lossRound(direct[i] - separate[i], dtype))))))),
    columns && h("p", { class: "faint" }, `Shown are the ${columns.length} classes of ${shape[1]} with the `
      + "largest gradients."),
    h("p", {}, "Over all ", `${shape[0]} x ${shape[1]}`, ` elements of the gradient of ${logits} the two paths `
      + "differ by at most ", h("strong", {}, number(difference.max)), `, in row ${difference.at[0]}, class `
      + `${difference.at[1]}. The largest element is ${number(largest)}${lossAgreement(difference, largest, dtype)}`),
  ];
}

// The state in which an element is chosen, here and in the views of tensors.
function lossPointed({ graph }, { tensors }, row, k) {
  const element = tensors.length ? { ...nameTensor(graph, tensors.at(-1)), cell: `${row},${k}` } : {};
  return { row, class: k, ...element };
}

function lossRound(value, dtype) {
  return dtype === "float32" ? Math.fround(value) : value;
}

// ---- one element of J g_p

function lossOneClass(context, chosen) {
  const { call, r, dtype, classes, j, p, y, columns } = chosen;
  if (columns !== null) return [];
  const { terms, total } = lossSum(p, y, r, j, dtype);
  const wide = classes.length > lossWidest;
  const pulled = terms.filter((term) => term.g !== 0);
  return [
    h("h3", {}, `The Jacobian, and its row ${classes[j]}`),
    h("p", {}, "J[j, k] says how much p of class k moves when logit j does: p_j (1 - p_j) on the diagonal, ",
      "-p_j p_k elsewhere. Each row sums to 0: adding the same to all logits changes nothing."),
    !wide && [h("p", { class: "faint" }, `J, with j down and k across: orange is positive, blue negative. Outlined is row ${classes[j]}.`), lossHeat(context, chosen)],
    h("p", {}, `Element ${classes[j]} of J g_p adds J[${classes[j]}, k] g_p[k] over all k. g_p is 0 but where y is not: `
      + `${pulled.length === 1 ? "one term remains" : `${pulled.length} terms remain`}.`),
    h("div", { class: "scroll loss-terms", tabindex: "0", role: "group", "aria-label": "terms of the sum" },
      h("table", { class: "loss-table" },
        h("thead", {}, h("tr", {}, ["k", "J[j, k]", "g_p[k]", "product"].map((title) =>
          h("th", { scope: "col", class: "number" }, title)))),
        h("tbody", {}, pulled.map(({ k, slope, g, product }) => h("tr", {},
          h("th", { scope: "row", class: "number" }, String(classes[k])),
          [slope, g, product].map((value) => h("td", { class: "number" }, exact(value, dtype)))))),
        h("tfoot", {}, h("tr", {}, h("th", { scope: "row", colspan: "3" }, "sum"),
          h("td", { class: "number" }, h("strong", {}, exact(total, dtype))))))),
    h("p", {}, "r (p - y) has ", h("code", {}, exact(chosen.direct[j], dtype)), ", the path through J ",
      h("code", {}, exact(chosen.separate[j], dtype)), ". p of the target divides in g_p and multiplies in J: ",
      "done by hand the two cancel, and what is left is p - y. ",
      `So ${call.op === "LinearCrossEntropy" || call.fused ? "this operation" : "an operation that does both"} `
      + `never divides by p.`),
  ];
}

function lossHeat(context, chosen) {
  const { classes, row: place, j, p, dtype } = chosen;
  const n = classes.length;
  const rows = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (__, k) =>
    lossRound((i === k ? p[i] : 0) - p[i] * p[k], dtype)));
  const top = Math.max(...rows.flat().map(Math.abs), 1e-30);
  const colour = (value) => `color-mix(in srgb, var(${value > 0 ? "--warm" : "--cold"}) `
    + `${(100 * Math.sqrt(Math.abs(value) / top)).toFixed(1)}%, transparent)`;
  return h("div", { class: "loss-heat", role: "img", style: `--n: ${n}`,
    "aria-label": `the Jacobian of this row, ${n} by ${n}: positive on the diagonal, negative elsewhere` },
  rows.flatMap((row, i) => row.map((value, k) => h("span", {
    class: i === j && "loss-chosen", style: `background: ${colour(value)}`,
    title: `J[${classes[i]}, ${classes[k]}] = ${exact(value, dtype)}`,
    onclick: () => context.go(lossPointed(context, chosen, place, classes[i])) }))));
}

// ---- large logits

const lossWays = { plain: "softmax, then log", shifted: "shifted softmax, then log", fused: "all in one" };

function lossLarge(context, chosen) {
  const { call, target, x, columns, classes, place } = chosen;
  const head = h("h3", {}, "Large logits");
  if (target < 0) {
    return [head, h("p", { class: "faint" }, "For this, choose a row with one target.")];
  }
  if (columns !== null) return [head, lossPrecomputed(context, call, place)];
  const limits = lossLimits(x, target);
  const box = h("div", { "aria-live": "polite" });
  const breaks = [limits.naive, limits.zero].filter((factor) => factor !== null);
  const top = Math.max(...breaks, 10) * 4;
  const steps = 400;
  const scaleAt = (value) => Number((top ** (value / steps)).toPrecision(4));
  const first = lossScaleOf(context.state.scale) ?? (breaks.length ? Number((Math.max(...breaks) * 1.05).toPrecision(3)) : 10);
  const slider = h("input", { type: "range", min: "0", max: String(steps), step: "1", "data-key": "loss-scale",
    "aria-label": "factor for all logits", value: String(Math.round(steps * Math.log(first) / Math.log(top))),
    oninput: () => draw(scaleAt(Number(slider.value))),
    onchange: () => context.go({ scale: scaleAt(Number(slider.value)) }) });
  const draw = (scale) => {
    slider.setAttribute("aria-valuetext", `times ${scale}`);
    box.replaceChildren(lossScaledTable(lossScaled(x, target, scale), scale, classes[target], x));
  };
  draw(first);
  return [
    head,
    h("p", {}, "Multiply this row's logits by a factor, as a model does that becomes sure of itself. All numbers "
      + "below are computed here, each rounded to float32. The shifted softmax takes the largest logit out first."),
    h("label", { class: "loss-slider" }, "factor ", slider),
    box,
    h("ul", { class: "loss-limits" }, lossSentences(limits, x, target).map((text) => h("li", {}, text))),
  ];
}

function lossScaleOf(text) {
  const value = Number(text);
  return text !== undefined && value >= 1 && value <= 1e9 ? value : null;
}

function lossScaledTable(scaled, scale, target, x) {
  const bad = (value) => h("td", { class: Number.isFinite(value) ? "number" : "number bad" }, number(value));
  const rows = [
    ["exp of the largest logit", "e"], ["sum of all exp", "sum"], [`p of the target, class ${target}`, "p"],
    ["log p", "log"], ["loss, -log p", "loss"], ["g_p of the target, -1 / p", "g_p"],
    ["J of the target, p (1 - p)", "slope"], ["gradient of its logit", "g"],
  ];
  return h("div", {},
    h("p", {}, "times ", h("strong", {}, String(scale)), `: the largest logit is ${number(Math.fround(Math.max(...x) * scale))}, `
      + `the target's ${number(Math.fround(x[target] * scale))}.`),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "three ways in float32" },
      h("table", { class: "loss-table" },
        h("thead", {}, h("tr", {}, h("th", {}), Object.values(lossWays).map((way) => h("th", { scope: "col", class: "number" }, way)))),
        h("tbody", {}, rows.map(([title, key]) => h("tr", {}, h("th", { scope: "row" }, title),
          Object.keys(lossWays).map((way) => (scaled[way][key] === undefined ?
            h("td", { class: "number faint" }, "not needed") : bad(scaled[way][key])))))))),
    lossVerdict(scaled));
}

// Where the numbers break, in the words of the arithmetic.
function lossVerdict({ plain, shifted, fused }) {
  const said = [];
  if (plain.e === Infinity) {
    said.push("Without the shift exp overflows: p of the largest logit is inf / inf = NaN"
      + (Number.isNaN(plain.p) ? ", and that is the target." : ", and the target's is finite / inf = 0."));
  }
  if (shifted.log === -Infinity) {
    said.push("With the shift nothing overflows, but p of the target is 0: log(0) = -inf. Backward divides by it, "
      + "-1 / 0 = -inf, and multiplies by J = 0: 0 * inf = NaN. One such row, and every weight becomes NaN.");
  }
  if (Number.isFinite(shifted.log) && !Number.isFinite(shifted.g_p)) {
    said.push("With the shift the loss is still right, but p of the target is so small that 1 / p overflows: the "
      + "gradient is -inf.");
  }
  said.push(Number.isFinite(fused.loss) && said.length > 0 ? "All in one, the loss and its gradient stay finite and right." :
    "Here all three agree but for rounding.");
  return h("p", { class: "loss-verdict" }, said.join(" "));
}

function lossSentences({ naive, zero, overflow, under }, x, target) {
  const largest = Math.max(...x);
  return [
    `float32 ends at 3.403e38: exp(x) is inf from x = ${exact(overflow, "float32")} on. `
      + (naive === null ? "No logit of this row is positive: exp alone cannot overflow." :
        `This row's largest logit, ${number(largest)}, gets there at the factor ${number(naive)}.`),
    `exp(x) is 0 from x = ${exact(under, "float32")} down. ` + (zero === null ?
      "The target is this row's largest logit: its p cannot become 0. Choose a row that is wrong." :
      `The target lies ${number(largest - x[target])} below the largest logit: its p is 0 from the factor ${number(zero)} on.`),
  ];
}

function lossPrecomputed({ graph, page }, call, place) {
  const at = [...page.array(call.scaled_rows).data].indexOf(place);
  const { scales } = graph.loss_paths;
  const part = (way, i) => page.array(call[`scaled_${way}`]).data.subarray((at * scales.length + i) * 3);
  const mark = (value) => h("td", { class: Number.isFinite(value) ? "number" : "number bad" }, number(value));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "three ways in float32" },
    h("table", { class: "loss-table" },
      h("caption", {}, "The loss of this row in float32, with all its logits times a factor"),
      h("thead", {}, h("tr", {}, ["factor", ...Object.values(lossWays)].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, scales.map((scale, i) => h("tr", {}, h("th", { scope: "row" }, String(scale)),
        Object.keys(lossWays).map((way) => mark(part(way, i)[1])))))));
}
