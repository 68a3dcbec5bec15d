// Proof: gradients against differences of the loss itself, and the error against the step.
import {
  curveBest, curveErrors, curveLaws, curveLost, curvePicture, curveTable, curveValley, stepText,
} from "./curve.js";
import { cellOf, flatOf } from "./data.js";
import { clear, h } from "./dom.js";
import { exact, number, shapeText } from "./format.js";
import { hasServer, serverProof } from "./server.js";

const proofTables = new WeakMap(); // graph -> its tables, decoded
const proofMeasured = new WeakMap(); // graph -> Map "tensor:element" -> what the server measured
const proofShown = 60; // tensors in the overview before the rest is folded away

// The tables of a graph: {checks: [row], curves: [row], byTensor: Map id -> [check]}.
export function proofOf(graph) {
  if (proofTables.has(graph)) return proofTables.get(graph);
  const column = (reference) => graph.page.array(reference).data;
  const { checks, curves, verdicts } = graph.proof;
  const rows = proofRows(checks, column).map((row) => ({ ...row, verdict: verdicts[row.verdict] }));
  const steps = column(curves.steps);
  const [slopes32, slopes64] = [column(curves.slopes32), column(curves.slopes64)];
  const { steps: _, slopes32: __, slopes64: ___, ...columns } = curves;
  const drawn = proofRows(columns, column).map((row, i) => ({
    ...row, steps,
    slopes32: slopes32.subarray(i * steps.length, (i + 1) * steps.length),
    slopes64: slopes64.subarray(i * steps.length, (i + 1) * steps.length),
  }));
  const byTensor = new Map();
  for (const row of rows) {
    if (!byTensor.has(row.tensor)) byTensor.set(row.tensor, []);
    byTensor.get(row.tensor).push(row);
  }
  const found = { checks: rows, curves: drawn, byTensor };
  proofTables.set(graph, found);
  return found;
}

function proofRows(columns, column) {
  const names = Object.keys(columns);
  const data = names.map((name) => column(columns[name]));
  return Array.from({ length: data[0].length }, (_, i) =>
    Object.fromEntries(names.map((name, k) => [name, data[k][i]])));
}

// The part of the tolerance that is relative to the largest entry.
export function proofRelativePart(check) {
  return check.tolerance - check.noise - check.rounding;
}

// |g - D|, and the same relative to the larger of the two.
export function proofGap(check) {
  const gap = Math.abs(check.gradient - check.difference);
  const size = Math.max(Math.abs(check.gradient), Math.abs(check.difference));
  return { gap, relative: size > 0 ? gap / size : 0 };
}

// A line for each tensor: the number of checks, the worst gap as a share of its tolerance.
export function proofOverview(graph) {
  return [...proofOf(graph).byTensor].map(([tensor, checks]) => {
    const worst = Math.max(...checks.map((c) => proofGap(c).gap / c.tolerance));
    const wrong = checks.filter((c) => c.verdict === "differs").length;
    const open = checks.filter((c) => c.verdict === "not measured").length;
    return { tensor, count: checks.length, worst, wrong, open };
  });
}

export const proofView = {
  id: "proof",
  title: "Proof",
  available: (graph) => graph?.proof !== undefined,
  render(root, context) {
    const { graph, tensor } = context;
    root.append(
      h("h3", {}, "Proof: is it the derivative?"),
      h("p", {}, "A gradient is a claim: if this number grows by a tiny h, the loss grows by h times "
        + "the gradient. So we move the number up by h and down by h, and compute the loss "
        + "again both times:"),
      h("p", { class: "proof-formula" }, "D(h) = (L(x + h) − L(x − h)) / 2h"),
      h("p", {}, "Backward is not used for that. Only the operations between the number "
        + "and the loss run again, in float64. Computed tensors are measured like weights."),
      proofTotal(graph),
    );
    const body = h("div", {});
    root.append(body);
    proofTensor(body, context, tensor);
    root.append(proofAll(context), proofMissing(context));
  },
};

// --- one tensor ----------------------------------------------------------------------------------

function proofTensor(body, context, tensor) {
  const { graph } = context;
  clear(body);
  if (tensor === null || tensor.key === undefined) {
    body.append(h("p", {}, "Choose a tensor below to see its elements."));
    return;
  }
  body.append(h("h4", {}, "Elements of ", h("code", {}, tensor.key), `, ${shapeText(tensor.shape)}`));
  const { byTensor } = proofOf(graph);
  const key = (element) => `${tensor.id}:${element}`;
  const measured = proofMeasured.get(graph) ?? new Map();
  const more = [...measured].filter(([name]) => name.startsWith(`${tensor.id}:`)).map(([, m]) => m);
  const embedded = byTensor.get(tensor.id) ?? [];
  const known = [...embedded, ...more.map((m) => m.check).filter(
    (check) => !embedded.some((c) => c.element === check.element))];
  const cell = proofCell(context, tensor);
  const chosen = cell === null ? null : flatOf(cell, tensor.shape);
  const check = known.find((c) => c.element === chosen) ?? null;
  if (known.length === 0) body.append(h("p", {}, proofWhyNot(context, tensor)));
  else body.append(proofElements(context, tensor, known, check ?? known[0]));
  if (chosen !== null && check === null && known.length > 0) {
    body.append(h("p", { class: "proof-notice" },
      `The chosen element (${cell.join(", ")}) is not in the sample that this page was written with.`));
  }
  body.append(proofAsk(context, tensor, chosen ?? known[0]?.element ?? 0, body));
  const row = check ?? known[0];
  if (row === undefined) return;
  body.append(proofTolerance(context, tensor, row));
  const curve = measured.get(key(row.element))?.curve
    ?? proofOf(graph).curves.find((c) => c.tensor === tensor.id && c.element === row.element)
    ?? proofOf(graph).curves.find((c) => c.tensor === tensor.id) ?? null;
  body.append(proofCurve(context, tensor, curve, row));
}

// The chosen cell, if it is one of this tensor's (the shown tensor may be its gradient).
function proofCell(context, tensor) {
  const { cell, shown } = context;
  const same = cell !== null && shown !== null && cell.length === tensor.shape.length &&
    cell.every((index, axis) => index < tensor.shape[axis]);
  return same ? cell : null;
}

function proofWhyNot({ graph }, tensor) {
  const reason = graph.proof.unproven.find((u) => u.tensor === tensor.id)?.reason;
  if (reason !== undefined) return `Nothing can be measured here: ${reason}.`;
  if (tensor.grad === null) return "It has no gradient, so there is no claim to prove.";
  return "It was left out of the sample, to save time when the page was written.";
}

function proofName(tensor, element) {
  const cell = cellOf(element, tensor.shape);
  return cell.length === 0 ? tensor.key : `${tensor.key}[${cell.join(", ")}]`;
}

// Enough digits to see where float32 and float64 part.
function proofDigits(x) {
  return Number.isFinite(x) ? x.toPrecision(9) : number(x);
}

// Two digits: of an error only the size matters.
function proofShort(x) {
  if (x === 0 || !Number.isFinite(x)) return number(x);
  return Math.abs(x) < 0.01 ? x.toExponential(1) : x.toPrecision(2);
}

const proofMarks = { "agrees": "✓", "both are 0": "✓", "kink": "∧", "differs": "✗", "not measured": "?" };

function proofVerdict(verdict) {
  const kind = { "differs": "bad", "not measured": "open", "kink": "open" }[verdict] ?? "good";
  return h("span", { class: `proof-${kind}` }, `${proofMarks[verdict]} ${verdict}`);
}

function proofElements(context, tensor, known, row) {
  const { graph, link } = context;
  const type = graph.tensors[tensor.grad]?.dtype ?? tensor.dtype;
  const heads = ["element", "verdict", `g, ${type}`, "D(h), float64", "|g − D|", "relative", "allowed",
    "x"];
  const rows = known.map((check) => {
    const cell = cellOf(check.element, tensor.shape).join(",");
    const { gap, relative } = proofGap(check);
    const current = check === row;
    const name = cell === "" ? "the number" : `[${cell.replaceAll(",", ", ")}]`;
    return h("tr", { class: current ? "proof-current" : null },
      h("th", { scope: "row" }, h("a", {
        href: link({ tensor: tensor.key, of: null, cell: cell === "" ? null : cell, view: "proof" }),
        "aria-current": current ? "true" : null,
      }, name)),
      h("td", {}, proofVerdict(check.verdict)), h("td", {}, exact(check.gradient, type)),
      h("td", {}, proofDigits(check.difference)), h("td", {}, proofShort(gap)),
      h("td", {}, proofShort(relative)), h("td", {}, proofShort(check.tolerance)),
      h("td", {}, number(check.x)));
  });
  return h("div", { class: "proof-wide scroll" }, h("table", { class: "proof-table" },
    h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

function proofTolerance({ graph, link }, tensor, check) {
  const { gap } = proofGap(check);
  const { loss, rtol } = graph.proof;
  const sentences = {
    "agrees": `The gap, ${number(gap)}, is smaller: the claim holds.`,
    "both are 0": "Both are smaller than that: as far as this can be measured, both are 0.",
    "kink": "The slopes on the two sides differ: the loss has a corner here, and no derivative. "
      + "The engine's gradient lies between the two slopes, which is all that can be asked.",
    "differs": `The gap, ${number(gap)}, is larger: this gradient is wrong.`,
    "not measured": "No step gave a slope that is sharp enough to decide.",
  };
  const items = [
    [number(proofRelativePart(check)), `${rtol.toExponential(1)} of the largest entry of this `
      + `gradient, for the rounding of ${graph.proof.type}`],
    [number(check.noise), `10 ε |L| / h, the rounding of the loss (${number(loss)}) divided by the step `
      + `(${number(check.step)})`],
    [number(check.rounding), "10 times as far as this gradient moves when every number on the way is "
      + "nudged by one rounding"],
  ];
  const parts = [
    h("p", {}, `How far may the two be apart at ${proofName(tensor, check.element)}? By `,
      h("strong", {}, number(check.tolerance)), ", the sum of"),
    h("ul", {}, items.filter(([size]) => size !== "0").map(([size, what]) => h("li", {}, h("strong", {}, size), `: ${what}`))),
    h("p", {}, sentences[check.verdict]),
  ];
  if (Number.isFinite(check.exact)) {
    parts.push(h("p", {}, proofInFloat64(check, graph.proof.type)));
  }
  const cell = cellOf(check.element, tensor.shape).join(",");
  parts.push(h("p", {}, h("a", {
    href: link({ tensor: tensor.key, of: "gradient", cell: cell === "" ? null : cell, view: "cell" }),
  }, "Where this gradient came from, term by term")));
  return h("div", { class: "proof-tolerance" }, parts);
}

// What the engine's backward gives in float64 tells rounding from a mistake.
function proofInFloat64(check, type) {
  const away = (x) => proofShort(Math.abs(check.exact - x));
  const gives = `The engine's own backward in float64 gives ${proofDigits(check.exact)}. `;
  if (check.verdict === "differs") {
    const mistake = Math.abs(check.exact - check.difference) > check.tolerance;
    return gives + (mistake ? "It is as wrong: this is a mistake, not rounding."
      : `That is right: the gradient was spoilt in ${type} alone.`);
  }
  if (check.verdict === "kink" || check.verdict === "not measured") return gives;
  return `${gives}D(h) is ${away(check.difference)} away from it, the error of the measurement; `
    + `g is ${away(check.gradient)} away, the rounding of ${type}.`;
}

// --- on demand -----------------------------------------------------------------------------------

function proofAsk(context, tensor, element, body) {
  const { graph, page } = context;
  if (tensor.grad === null) return null;
  if (!hasServer(page)) {
    return h("p", { class: "proof-faint" }, "This page holds a sample. ",
      h("code", {}, "tinygrad-llm explore --serve"),
      " measures any element of any tensor, and draws its curve.");
  }
  const said = h("output", { class: "proof-said" });
  const field = h("input", { id: "proof-cell", value: cellOf(element, tensor.shape).join(", "),
    size: 12, "data-key": "proof-cell", autocomplete: "off", disabled: tensor.shape.length === 0 });
  const measure = async (event) => {
    event.preventDefault();
    const cell = tensor.shape.length === 0 ? [] : field.value.split(",").map((s) => Number(s.trim()));
    const fits = cell.length === tensor.shape.length &&
      cell.every((x, axis) => Number.isInteger(x) && x >= 0 && x < tensor.shape[axis]);
    if (!fits) {
      said.textContent = `Type an element of a tensor of shape ${shapeText(tensor.shape)}.`;
      return;
    }
    said.textContent = "Measuring.";
    try {
      const flat = flatOf(cell, tensor.shape);
      const found = await serverProof(page, graph, tensor.id, flat);
      if (!proofMeasured.has(graph)) proofMeasured.set(graph, new Map());
      proofMeasured.get(graph).set(`${tensor.id}:${flat}`, found);
      proofTensor(body, { ...context, cell, shown: tensor }, tensor);
      body.querySelector("#proof-cell")?.focus();
      context.go({ tensor: tensor.key, of: null, cell: cell.join(",") || null }, true);
    } catch (error) {
      said.textContent = `${error.message}.`;
    }
  };
  return h("form", { class: "proof-ask", onsubmit: measure },
    h("label", { for: "proof-cell" }, "Element "), field, " ",
    h("button", { type: "submit" }, "Measure it now"), " ", said);
}

// --- the curve -----------------------------------------------------------------------------------

function proofCurve(context, tensor, curve, row) {
  const { graph, state, go } = context;
  const box = h("div", {}, h("h4", {}, "Why this step, and why float64?"));
  if (curve === null) {
    const why = row.exact === 0 ? "This gradient is 0: there is no error relative to it."
      : "No curve was drawn for this tensor.";
    return h("div", {}, box, h("p", {}, why));
  }
  const errors32 = curveErrors(curve.slopes32, curve.exact);
  const errors64 = curveErrors(curve.slopes64, curve.exact);
  const best = curveBest(errors64);
  const wanted = Number(state.h);
  let at = best;
  if (wanted > 0) {
    const far = (i) => Math.abs(Math.log10(curve.steps[i] / wanted));
    for (let i = 0; i < curve.steps.length; i++) if (far(i) < far(at)) at = i;
  }
  const where = proofName(tensor, curve.element);
  box.append(h("p", {}, `The same difference at ${where} with many steps, in both types. `
    + `Its error is measured against the engine's gradient in float64, ${number(curve.exact)}.`));
  const picture = h("div", { class: "proof-wide scroll" });
  const said = h("output", { for: "proof-step", class: "proof-said" });
  const show = () => {
    clear(picture).append(curvePicture(curve, graph.proof.loss, at));
    said.textContent = `h = ${stepText(curve.steps[at])}: `
      + `off by ${number(errors32[at])} of the gradient in float32, ${number(errors64[at])} in float64.`;
  };
  const last = curve.steps.length - 1;
  const slider = h("input", { type: "range", id: "proof-step", min: 0, max: last, step: 1,
    value: last - at, "data-key": "proof-step", "aria-valuetext": `h = ${stepText(curve.steps[at])}`,
    oninput: () => {
      at = last - Number(slider.value);
      slider.setAttribute("aria-valuetext", `h = ${stepText(curve.steps[at])}`);
      show();
    },
    onchange: () => go({ tensor: tensor.key, h: stepText(curve.steps[at]) }, true) });
  show();
  box.append(picture,
    h("p", { class: "proof-slider" }, h("label", { for: "proof-step" }, "step h "), slider, " ", said),
    proofBranches(curve, graph, errors32, errors64),
    h("details", {}, h("summary", {}, "The curve as a table"),
      h("div", { class: "proof-wide scroll" }, curveTable(curve))));
  return box;
}

// The two branches in words, with the numbers of this curve.
function proofBranches(curve, graph, errors32, errors64) {
  const laws = curveLaws(curve, graph.proof.loss);
  const [best32, best64] = [curveBest(errors32), curveBest(errors64)];
  const at = (i) => stepText(curve.steps[i]);
  const items = [];
  if (laws.truncation === null) {
    items.push([h("strong", {}, "Right, large steps. "), "The formula itself is off by h² times the third "
      + "derivative of the loss, over 6. Here that is too small to see: in this number the loss is "
      + "nearly a straight line or a parabola, and of those D(h) is exact."]);
  } else {
    items.push([h("strong", {}, "Right, large steps: truncation. "), "The loss is not a straight line, "
      + "and the formula is off by h² times its third derivative, over 6. A step ten times "
      + "smaller is a hundred times better. Both types agree: rounding plays no part yet."]);
  }
  items.push([h("strong", {}, "Left, small steps: rounding. "), "L(x + h) and L(x − h) agree in more and "
    + "more digits, and their difference keeps the rest. The loss is rounded by about ε |L|; divided by h "
    + "that grows as 1/h: a step ten times smaller is ten times worse. The dashed lines are "
    + "this estimate, not a fit."]);
  const valley = curveValley(laws, "float64");
  const least = `Least: ${number(errors32[best32])} at h = ${at(best32)} in float32, `
    + `${number(errors64[best64])} at h = ${at(best64)} in float64.`;
  items.push([h("strong", {}, "The bottom. "), least, valley === null ? "" : " The two laws are "
    + `smallest together at h = ${stepText(curveValley(laws, "float32"))} and ${stepText(valley)}.`,
  " That is why gradients are checked in float64."]);
  const lost = curveLost(curve);
  if (lost !== null) {
    items.push([h("strong", {}, "The plateau. "), `From h = ${stepText(lost)} down, float32 sees no `
      + "change at all: D(h) = 0, and the error is all of the gradient, 1."]);
  }
  return h("ul", { class: "proof-branches" }, items.map((parts) => h("li", {}, parts)));
}

// --- all tensors ---------------------------------------------------------------------------------

function proofTotal(graph) {
  const { checks, byTensor } = proofOf(graph);
  const counts = new Map();
  for (const { verdict } of checks) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const words = [...counts].map(([verdict, n]) => `${n} ${{
    "agrees": n === 1 ? "agrees" : "agree", "differs": n === 1 ? "differs" : "differ",
    "both are 0": n === 1 ? "is 0 in both" : "are 0 in both", "kink": "at a kink",
    "not measured": "could not be measured" }[verdict]}`);
  const wrong = counts.get("differs") ?? 0;
  return h("p", { class: wrong ? "proof-bad" : "proof-good" },
    `${checks.length} elements of ${byTensor.size} tensors were measured: ${words.join(", ")}.`);
}

function proofAll(context) {
  const { graph, link, tensor } = context;
  const lines = proofOverview(graph);
  const rank = (line) => (line.wrong ? 0 : line.open ? 1 : 2);
  const sorted = [...lines].sort((a, b) => rank(a) - rank(b) || a.tensor - b.tensor);
  const row = (line) => {
    const { key, shape } = graph.tensors[line.tensor];
    const verdict = line.wrong ? "differs" : line.open ? "not measured" : "agrees";
    return h("tr", { class: tensor?.id === line.tensor ? "proof-current" : null },
      h("th", { scope: "row" }, h("a", {
        href: link({ tensor: key, of: null, cell: null, view: "proof" }) }, key)),
      h("td", {}, shapeText(shape)), h("td", {}, String(line.count)),
      h("td", {}, Number.isFinite(line.worst) ? `${(100 * line.worst).toPrecision(2)} %` : "-"),
      h("td", {}, proofVerdict(verdict)));
  };
  const table = (some) => h("div", { class: "proof-wide scroll" }, h("table", { class: "proof-table" },
    h("thead", {}, h("tr", {}, ["tensor", "shape", "elements", "largest gap, of its tolerance",
      "verdict"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, some.map(row))));
  const rest = sorted.slice(proofShown);
  return h("details", { open: lines.some((line) => line.wrong) },
    h("summary", {}, `All ${lines.length} tensors that were measured`),
    table(sorted.slice(0, proofShown)),
    rest.length === 0 ? null : proofFolded(`${rest.length} more`, () => table(rest)));
}

// Details whose content is made when they are opened.
function proofFolded(title, make) {
  const details = h("details", { ontoggle: () => {
    if (details.open && details.childElementCount === 1) details.append(make());
  } }, h("summary", {}, title));
  return details;
}

function proofMissing({ graph }) {
  const { unproven, left_out: leftOut } = graph.proof;
  const parts = [];
  if (leftOut > 0) {
    parts.push(h("p", {}, `${leftOut} more tensors were left out, to save time: those shown are `
      + "spread evenly over the graph."));
  }
  if (unproven.length > 0) {
    parts.push(h("p", {}, "Of these nothing can be measured:"),
      h("ul", {}, unproven.slice(0, proofShown).map(({ tensor, reason }) =>
        h("li", {}, h("code", {}, graph.tensors[tensor].key), `: ${reason}.`))));
  }
  return h("div", {}, parts);
}
