// The tensor that is looked at: found by name, its value, gradient or one contribution, held or not.

import { h, clear } from "./dom.js";
import { shapeText } from "./format.js";
import { tensorInWords } from "./words.js";

const CHOSEN_BUTTONS = 2;  // contributions; more of them become a list

export function createChosen(go) {
  const names = h("datalist", { id: "chosen-names" });
  const find = h("input", { type: "search", list: "chosen-names", "aria-label": "Tensor, by name",
    autocomplete: "off", spellcheck: "false", placeholder: "tensor, by name",
    onchange: search, oninput: () => note("") });
  const which = h("span", { class: "chosen-of", role: "group", "aria-label": "What of it" });
  const about = h("span", { class: "faint chosen-about", role: "status" });
  const hold = h("input", { type: "checkbox", onchange: () => toggleHold() });
  const element = h("div", { class: "chosen", role: "group", "aria-label": "Chosen tensor" },
    find, names, which, about,
    h("label", { class: "chosen-hold", title: "Keep this tensor while stepping (f)" }, hold, " hold"));
  let context = null, listed = null, described = "", elsewhere = false;

  // The tensor of that name, otherwise the first whose name contains the text.
  function search() {
    const { graph } = context, text = find.value.trim().toLowerCase();
    if (!text) return;
    const key = graph.byKey(find.value) ? find.value
      : [...graph.keys.keys()].find((name) => name.toLowerCase().includes(text));
    if (key === undefined) { note(`no tensor named ${find.value}`); return; }
    find.value = key;
    go(elsewhere ? { tensor: key, of: null, cell: null, view: "tensor" } : { tensor: key, of: null, cell: null });
  }

  // Where the view has no use for a tensor, its bar comes for the search, and the tensor is shown in its own view.
  function focus() {
    elsewhere = element.hidden;
    element.hidden = false;
    find.focus();
    find.select();
  }

  function note(text) {
    about.textContent = text || described;
    about.classList.toggle("bad", text !== "");
    which.hidden = text !== "";  // there is room for one of the two
  }

  function update(next) {
    context = next;
    const { graph, tensor, shown, state } = next;
    if (listed !== graph) {
      listed = graph;
      clear(names).append(...[...graph.keys.keys()].map((key) => h("option", { value: key })));
    }
    if (document.activeElement !== find) find.value = tensor ? tensor.key ?? "" : "";
    hold.checked = state.hold === "1";
    elsewhere = false;
    described = shown ? `${chosenTitle(graph, tensor, shown)}${shapeText(shown.shape)} ${shown.dtype}` : "";
    note("");
    clear(which).append(...chosenParts(next, go));
  }

  function toggleHold() {
    const { state, tensor, shown } = context;
    if (state.hold === "1") go({ hold: null, tensor: null, of: null, cell: null });
    else go({ hold: 1, tensor: tensor && tensor.key, of: chosenOf(tensor, shown) });
  }

  return { element, update, toggleHold, focus };
}

function chosenTitle(graph, tensor, shown) {
  return shown.kind === "inner" ? `${tensorInWords(graph, shown.id)}, inside: ` : "";
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
  const choose = (of) => go({ tensor: tensor.key, of });  // of the same shape: the cell stays
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
