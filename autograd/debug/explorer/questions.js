// What learners ask: a list of questions, each a link to the step and the view that answer it.

import { h } from "./dom.js";

export const questionsView = {
  id: "questions",
  title: "Questions",
  available: (graph) => Boolean(graph && graph.page.questions),
  render(root, context) {
    root.append(
      h("h3", {}, "What learners ask"),
      h("p", {}, "Each question leads to the step and the view that show its answer. ",
        "Press the browser\u2019s back key to return here."),
      h("ul", { class: "questions-list" }, context.page.questions.map(({ question, address }) =>
        h("li", {}, h("a", { href: `#${address}` }, question)))));
  },
};
