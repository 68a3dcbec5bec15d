// The tensor that is looked at: found by name, its value, gradient or one contribution, held or not.

import { h, clear } from "./dom.js";
import { shapeText } from "./format.js";
import { titleOf } from "./state.js";

const CHOSEN_BUTTONS = 4;  // contributions; more of them become a list

export function createChosen(go) {
  const names = h("datalist", { id: "chosen-names" });
  const find = h("input", { type: "search", list: "chosen-names", "aria-label": "Tensor, by name",
    autocomplete: "off", spellcheck: "false", placeholder: "tensor, by name",
    onchange: () => { if (context.graph.byKey(find.value)) go({ tensor: find.value, of: null, cell: null }); } });
  const which = h("span", { class: "chosen-of", role: "group", "aria-label": "What of it" });
  const about = h("span", { class: "faint chosen-about" });
  const hold = h("input", { type: "checkbox", onchange: () => toggleHold() });
  const element = h("div", { class: "chosen", role: "group", "aria-label": "Chosen tensor" },
    find, names, which, about,
    h("label", { title: "Keep this tensor while stepping (f)" }, hold, " hold",
      h("span", { class: "chosen-wide" }, " while stepping")));
  let context = null, listed = null;

  function update(next) {
    context = next;
    const { graph, tensor, shown, state } = next;
    if (listed !== graph) {
      listed = graph;
      clear(names).append(...[...graph.keys.keys()].map((key) => h("option", { value: key })));
    }
    if (document.activeElement !== find) find.value = tensor ? tensor.key ?? "" : "";
    hold.checked = state.hold === "1";
    about.textContent = shown ? `${chosenTitle(graph, tensor, shown)}${shapeText(shown.shape)} ${shown.dtype}` : "";
    clear(which).append(...chosenParts(next, go));
  }

  function toggleHold() {
    const { state, tensor, shown } = context;
    if (state.hold === "1") go({ hold: null, tensor: null, of: null, cell: null });
    else go({ hold: 1, tensor: tensor && tensor.key, of: chosenOf(tensor, shown) });
  }

  return { element, update, toggleHold, focus: () => { find.focus(); find.select(); } };
}

function chosenTitle(graph, tensor, shown) {
  return shown.kind === "inner" ? `${titleOf(graph, shown.id)}, inside: ` : "";
}

function chosenOf(tensor, shown) {
  if (!tensor || !shown || shown === tensor) return "value";
  if (shown.kind === "gradient") return "gradient";
  if (shown.kind === "contribution") return `contribution.${tensor.contributions.indexOf(shown.id)}`;
  return `inner.${shown.id}`;
}

function chosenParts({ tensor, shown }, go) {
  if (!tensor || !tensor.key) return [];
  const now = chosenOf(tensor, shown);
  const choose = (of) => go({ tensor: tensor.key, of, cell: null });
  const button = (of, text) => h("button", { type: "button", "aria-pressed": String(of === now),
    "data-key": `chosen-${of}`, onclick: () => choose(of) }, text);
  const parts = [button("value", "value")];
  if (tensor.grad !== null) parts.push(button("gradient", "gradient"));
  const count = (tensor.contributions ?? []).length;
  if (count > 1 && count <= CHOSEN_BUTTONS)
    for (let i = 0; i < count; i += 1) parts.push(button(`contribution.${i}`, `contribution ${i + 1}`));
  else if (count > 1) {
    const list = h("select", { "aria-label": "Contribution", onchange: () => choose(list.value) },
      h("option", { value: "gradient" }, `${count} contributions`),
      tensor.contributions.map((_, i) => h("option", { value: `contribution.${i}` }, `contribution ${i + 1}`)));
    if (now.startsWith("contribution")) list.value = now;
    parts.push(list);
  }
  return parts;
}
