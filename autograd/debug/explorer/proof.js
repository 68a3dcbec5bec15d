// Proof: gradients against differences of the loss itself, and the error against the step.
import { cellOf, flatOf } from "./data.js";
import { clear, h } from "./dom.js";
import { number, shapeText } from "./format.js";
import { proofCurve, proofFolded } from "./proof_curve.js";
import { proofGap, proofName, proofOf, proofOverview, proofRelativePart } from "./proof_data.js";
import { hasServer, serverProof } from "./server.js";
import { countOf } from "./words.js";

const proofMeasured = new WeakMap(); // graph -> Map "tensor:element" -> what the server measured
const proofShown = 60; // tensors in the overview before the rest is folded away

export const proofView = {
  id: "proof",
  title: "Proof",
  available: (graph) => graph?.proof !== undefined,
  render(root, context) {
    const { graph, tensor } = context;
    root.append(
      h("h3", {}, "Proof: is it the derivative?"),
      h("p", {}, "A gradient is a claim: if this number grows by a tiny h, the loss grows by h times "
        + "the gradient. So the number was moved a little, and the loss computed again."),
      proofTotal(context),
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
  if (tensor.shape.length) body.append(h("h4", {}, "Elements of ", h("code", {}, tensor.key), `, ${shapeText(tensor.shape)}`));
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
  else body.append(proofClaim(tensor, check ?? known[0]));
  if (tensor.shape.length && known.length > 0) body.append(proofElements(context, tensor, known, check ?? known[0]));
  if (chosen !== null && check === null && known.length > 0) {
    body.append(h("p", { class: "proof-notice" },
      `The chosen element (${cell.join(", ")}) is not in the sample that this page was written with.`));
  }
  body.append(proofAsk(context, tensor, chosen ?? known[0]?.element ?? 0, body) ?? "");
  const row = check ?? known[0];
  if (row === undefined) return;
  body.append(proofOrigin(context, tensor, row), proofTolerance(context, tensor, row));
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

// The two numbers of one element side by side.
function proofClaim(tensor, check) {
  const says = Number.isFinite(check.gradient) ? String(Number(proofDigits(check.gradient))) : number(check.gradient);
  return h("p", { class: "proof-claim" }, `At ${proofName(tensor, check.element)} backward says `, h("strong", {}, says),
    ", and moving the number gives ", h("strong", {}, proofDigits(check.difference)), ". ", proofVerdict(check.verdict));
}

function proofElements(context, tensor, known, row) {
  const { graph, link } = context;
  const type = graph.tensors[tensor.grad]?.dtype ?? tensor.dtype;
  const heads = ["element", "verdict", `gradient, ${type}`, "measured, float64", "apart by", "allowed"];
  const rows = known.map((check) => {
    const cell = cellOf(check.element, tensor.shape).join(",");
    const { gap } = proofGap(check);
    const current = check === row;
    const name = `[${cell.replaceAll(",", ", ")}]`;
    return h("tr", { class: current ? "proof-current" : null },
      h("th", { scope: "row" }, h("a", {
        href: link({ tensor: tensor.key, of: null, cell: cell === "" ? null : cell, view: "proof" }),
        "aria-current": current ? "true" : null,
      }, name)),
      h("td", {}, proofVerdict(check.verdict)), h("td", {}, proofDigits(check.gradient)),
      h("td", {}, proofDigits(check.difference)), h("td", {}, proofShort(gap)),
      h("td", {}, proofShort(check.tolerance)));
  });
  return h("div", { class: "proof-wide scroll" }, h("table", { class: "proof-table" },
    h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

function proofTolerance({ graph }, tensor, check) {
  const { gap } = proofGap(check);
  const { loss, rtol } = graph.proof;
  const sentences = {
    "agrees": `The gap, ${number(gap)}, is smaller: the claim holds.`,
    "both are 0": "Both are smaller than that: as far as this can be measured, both are 0.",
    "kink": "The slopes on the two sides differ: the loss has a corner here, and no derivative. "
      + "The engine's gradient lies between the two slopes, which is all that can be asked.",
    "differs": `The gap, ${number(gap)}, is larger: this gradient is ${graph.proof.hooked.length ? "not the derivative, which a hook may have replaced" : "wrong"}.`,
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
    h("p", {}, "The number x is moved up by h and down by h, and the loss L computed both times:"),
    h("p", { class: "proof-formula" }, "D(h) = (L(x + h) − L(x − h)) / 2h"),
    h("p", {}, "Backward is not used for that. Only the operations between the number "
      + `and the loss run again, in float64. Here x is ${number(check.x)}. Computed tensors are measured like weights.`),
    h("p", {}, `How far may the two be apart at ${proofName(tensor, check.element)}? By `,
      h("strong", {}, number(check.tolerance)), ", the sum of:"),
    h("ul", {}, items.filter(([size]) => size !== "0").map(([size, what]) => h("li", {}, h("strong", {}, size), `: ${what}`))),
    h("p", {}, sentences[check.verdict]),
  ];
  if (Number.isFinite(check.exact)) {
    parts.push(h("p", {}, proofInFloat64(check, graph.proof)));
  }
  const plain = check.verdict === "agrees" || check.verdict === "both are 0";
  return h("details", { class: "proof-tolerance", open: !plain },
    h("summary", {}, "How it is measured, and how far the two may be apart"), parts);
}

function proofOrigin({ link }, tensor, check) {
  const cell = cellOf(check.element, tensor.shape).join(",");
  return h("p", {}, h("a", {
    href: link({ tensor: tensor.key, of: "gradient", cell: cell === "" ? null : cell, view: "cell" }),
  }, "Where this gradient came from, term by term"));
}

// What the engine's backward gives in float64 tells rounding from a mistake.
function proofInFloat64(check, { type, hooked }) {
  const away = (x) => proofShort(Math.abs(check.exact - x));
  const gives = `The engine's own backward in float64 gives ${proofDigits(check.exact)}. `;
  if (hooked.length && check.verdict === "differs") return `${gives}It runs without hooks.`;
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

// --- all tensors ---------------------------------------------------------------------------------

function proofTotal(context) {
  const { graph } = context;
  const { checks, byTensor } = proofOf(graph);
  const counts = new Map();
  for (const { verdict } of checks) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const words = [...counts].map(([verdict, n]) => `${n} ${{
    "agrees": n === 1 ? "agrees" : "agree", "differs": n === 1 ? "differs" : "differ",
    "both are 0": n === 1 ? "is 0 in both" : "are 0 in both", "kink": "at a kink",
    "not measured": "could not be measured" }[verdict]}`);
  const wrong = checks.filter((check) => check.verdict === "differs").map((check) => check.tensor);
  const total = h("p", { class: wrong.length ? "proof-bad" : "proof-good" },
    `${wrong.length ? "" : "\u2713 "}${countOf(checks.length, "element")} of ${countOf(byTensor.size, "tensor")} ${checks.length === 1 ? "was" : "were"} measured: ${words.join(", ")}.`);
  return wrong.length === 0 ? total : h("div", {}, total, proofFirst(context, Math.max(...wrong)));
}

// Backward begins at the loss, so the newest tensor that differs is the first: its users are suspect.
function proofFirst({ graph, link }, tensor) {
  const users = graph.steps.filter((step) => step.phase === "forward" && step.inputs.includes(tensor));
  const names = [...new Set(users.map((step) => step.op))];
  const { key } = graph.tensors[tensor];
  return h("p", {}, "Backward goes from the loss to the leaves. On that way ",
    h("a", { href: link({ tensor: key, of: null, cell: null, view: "proof" }) }, key),
    ` is the first that differs: look at ${graph.proof.hooked.length ? "hooks, and at " : ""}the backward of what used it, ${names.join(" or ")}.`);
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
      h("td", {}, proofShare(line.worst)),
      h("td", {}, proofVerdict(verdict)));
  };
  const table = (some) => h("div", { class: "proof-wide scroll" }, h("table", { class: "proof-table" },
    h("thead", {}, h("tr", {}, ["tensor", "shape", "elements", "largest gap, of its tolerance",
      "verdict"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, some.map(row))));
  const rest = sorted.slice(proofShown);
  const all = () => h("div", {}, table(sorted.slice(0, proofShown)),
    rest.length === 0 ? null : proofFolded(`${rest.length} more`, () => table(rest)));
  const open = lines.some((line) => line.wrong);
  return proofFolded(`All ${lines.length} tensors that were measured`, all, open);
}

// A gap as a share of what is allowed.
function proofShare(x) {
  if (!Number.isFinite(x)) return "-";
  if (x < 0.01) return "under 1 %";
  return x <= 10 ? `${Math.round(100 * x)} %` : `${number(Math.round(x))} times`;
}

function proofMissing({ graph }) {
  const { unproven, left_out: leftOut, hooked } = graph.proof;
  const parts = [];
  if (hooked.length > 0) {
    const names = hooked.slice(0, proofShown).map((id) => graph.tensors[id].key).join(", ");
    parts.push(h("p", {}, `A hook replaced the gradient of ${names}. It, and what it is handed on to, `
      + "need not be the derivative of the loss any more, which is what is measured here."));
  }
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
