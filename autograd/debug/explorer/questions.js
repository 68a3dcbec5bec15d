// What learners ask: a list of questions, each a link to the step and the view that answer it, and a
// strip above that view with the question and its answer.

import { h } from "./dom.js";

export const questionsView = {
  id: "questions",
  title: "Questions",
  available: (graph, page) => Boolean(graph && graph.page.questions),
  render(root, context) {
    root.append(
      h("h3", {}, "What learners ask"),
      h("p", {}, "Each question leads to the step and the view that show its answer."),
      h("ul", { class: "questions-list" }, context.page.questions.map(({ question, address }, i) =>
        h("li", {}, h("a", { href: `#${address}&q=${i + 1}` }, question)))));
  },
};

// The question that led here (q=3 in the address), with its answer; null without one.
export function questionStrip(context) {
  const asked = context.page.questions && context.page.questions[Number(context.state.q) - 1];
  if (!asked || context.state.view === "questions") return null;
  return h("aside", { class: "questions-strip", "aria-label": "Question" },
    h("p", {}, h("b", {}, asked.question), " ", asked.answer),
    h("p", {}, h("a", { href: context.link({ view: "questions", q: null }) }, "all questions"), " ",
      h("a", { href: context.link({ q: null }) }, "close")));
}
