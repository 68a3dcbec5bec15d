// The U-curve of one element, its slider, and what its branches mean.
import {
  curveBest, curveErrors, curveLaws, curveLost, curvePicture, curveTable, curveValley, stepText,
} from "./curve.js";
import { clear, h } from "./dom.js";
import { number } from "./format.js";
import { proofName, proofOf } from "./proof_data.js";

export function proofCurve(context, tensor, curve, row) {
  const { graph, state, go } = context;
  const box = h("div", {}, h("h4", {}, "Why this step, and why float64?"));
  if (curve === null) {
    const why = row.exact === 0 ? "This gradient is 0: there is no error relative to it."
      : "No curve was drawn for this tensor.";
    return h("div", {}, box, h("p", {}, why));
  }
  const errors32 = curveErrors(curve.slopes32, curve.exact);
  const errors64 = curveErrors(curve.slopes64, curve.exact);
  const [least, best] = [errors32, errors64].map(curveBest);
  if (least < 0 || best < 0) {
    box.append(h("p", {}, `There is no curve: with this number moved, the loss cannot be computed in ${best < 0 ? "float64" : "float32"}.`));
    return box;
  }
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
  const room = document.querySelector(".page-view")?.clientWidth - 40 || 640;
  const said = h("output", { for: "proof-step", class: "proof-said" });
  const show = () => {
    clear(picture).append(curvePicture(curve, graph.proof.loss, at, room));
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
    proofFolded("The curve as a table", () =>
      h("div", { class: "proof-wide scroll" }, curveTable(curve))));
  return box;
}

// The two branches in words, with the numbers of this curve.
function proofBranches(curve, graph, errors32, errors64) {
  const verdict = proofOf(graph).byTensor.get(curve.tensor)
    ?.find((check) => check.element === curve.element)?.verdict;
  if (verdict === "differs" || verdict === "kink") {
    const floor = number(errors64[curveBest(errors64)]);
    return h("p", {}, `This is no U. In float64 the error falls to ${floor} and stays there, whatever the `
      + "step: it is neither truncation nor rounding. ", verdict === "kink"
      ? "The loss has a corner here, and D(h) is the mean of the slopes on its two sides."
      : graph.proof.hooked.length ? "A hook may have replaced the gradient."
        : "What D(h) is compared with is wrong: the engine's gradient.");
  }
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

// Details whose content is made when they are opened.
export function proofFolded(title, make, open = false) {
  const details = h("details", { open, ontoggle: () => {
    if (details.open && details.childElementCount === 1) details.append(make());
  } }, h("summary", {}, title), open ? make() : null);
  return details;
}
