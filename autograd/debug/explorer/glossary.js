// The words of the page, each explained in a sentence or two: as a list, and where they are used.

import { h } from "./dom.js";

const GLOSSARY = {
  tape: "All operations in the order in which they were computed. Backward goes through it from its end.",
  "the turn": "The step between the passes: the loss gets its gradient, 1, and backward begins.",
  gradient: "How the loss changes with each number of a tensor. It has the tensor's shape.",
  contribution: "What one use of a tensor hands back to its gradient. The gradient is the sum of all contributions.",
  leaf: "A tensor that was given, such as a weight, not computed. Its gradient lands in .grad.",
  pending: "Of a tensor: some of its gradient has arrived, and its turn has not come yet.",
  newest: "What forward computed last. Backward always takes the newest pending node, so all uses of it are done by then.",
  complete: "All contributions to the gradient have arrived, and its turn has come.",
  "2/2": "Contributions that have arrived, of all that will. At 2/2 both of two are there, and their sum is the gradient.",
  hold: "With hold, the chosen tensor stays while you step. Without it, the page shows the tensor of each step.",
};

// A word that explains itself when it is pressed: a button in the text.
export function term(word, text = word, style = "") {
  return h("button", { type: "button", class: `term ${style}`, "data-word": word, title: GLOSSARY[word] ?? null }, text);
}

export function glossaryList() {
  return h("dl", { class: "glossary" }, Object.entries(GLOSSARY).map(([word, text]) =>
    h("div", {}, h("dt", {}, word), h("dd", {}, text))));
}

// The note that explains a pressed word, beside it, until something else is pressed.
export function createGlossaryNote() {
  const note = h("div", { class: "glossary-note", role: "status", hidden: true });
  addEventListener("click", (event) => {
    const pressed = event.target instanceof Element ? event.target.closest(".term[data-word]") : null;
    const again = !note.hidden && note.of === pressed;
    note.hidden = !pressed || again;
    if (note.hidden) return;
    note.of = pressed;
    note.replaceChildren(h("b", {}, pressed.dataset.word), ": ", GLOSSARY[pressed.dataset.word]);
    const place = pressed.getBoundingClientRect(), { offsetWidth, offsetHeight } = note;
    const below = place.bottom + 6 + offsetHeight < innerHeight;
    note.style.left = `${Math.max(8, Math.min(place.left, innerWidth - offsetWidth - 8))}px`;
    note.style.top = `${below ? place.bottom + 6 : place.top - offsetHeight - 6}px`;
  });
  addEventListener("keydown", (event) => { if (event.key !== "Enter" && event.key !== " ") note.hidden = true; });
  return note;
}
