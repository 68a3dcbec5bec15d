// Predict, then reveal: a question before each step of the backward pass, when switched on.

import { h, clear } from "./dom.js";
import { number } from "./format.js";
import { predictAgrees, predictQuestion, predictScoreText } from "./predict_questions.js";

const predictScore = { asked: 0, right: 0 };
const predictAnswered = new Map(); // "graph step kind" -> {right, given}: what was answered already
const predictRevealed = new Set();

export const predictView = {
  id: "predict",
  title: "Predict",
  available: (graph) => graph.steps.some((step) => step.phase === "backward"),
  render: renderPredict,
};

// Asked by the page at each step: the element that stands in the place of the open view until the
// question is answered or skipped; null where nothing is asked.
export function predictGate(context) {
  return context.state.view === "predict" ? null : predictAsked(context); // its own tab asks by itself
}

function predictAsked(context) {
  const { graph, state, step } = context;
  if (!state.predict || state.predict === "0" || !step) return null;
  const key = `${graph.name} ${step.n}`;
  if (predictRevealed.has(key)) return null;
  const question = predictQuestion(graph, step.n, state.predict);
  return question && predictForm(context, question, key);
}

// --- the question ---------------------------------------------------------------------------------------

function predictForm(context, question, key) {
  const verdict = h("div", { class: "predict-verdict", role: "status" });
  const form = h("section", { class: "predict-gate", "aria-label": "Predict, then reveal" },
    h("h3", {}, `Step ${context.step.n}: predict, then reveal`), h("p", { class: "predict-text" }, question.text),
    h("dl", { class: "predict-given" }, question.given.map(({ name, text }) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))));
  const reveal = (focus) => {
    predictRevealed.add(key);
    dispatchEvent(new Event("hashchange")); // draws the page again, with this step revealed
    if (focus) document.querySelector("[role='tabpanel']")?.focus({ preventScroll: true });
  };
  const answer = (given, right) => {
    predictScore.asked += 1;
    predictScore.right += right ? 1 : 0;
    predictAnswered.set(key, { given, right });
    predictSettle(form, verdict, question, given, right, () => reveal(true));
  };
  const buttons = question.choices ? predictChoices(question, answer) : predictNumber(question, answer, verdict);
  form.append(buttons, verdict,
    h("p", { class: "predict-foot" },
      h("button", { type: "button", class: "predict-skip", "data-key": "predict-skip", onclick: () => reveal(true) }, "Skip: show the step"),
      h("button", { type: "button", "data-key": "predict-off", onclick: () => context.go({ predict: null }) }, "Ask no more"),
      h("span", { class: "faint predict-score" }, predictScoreText(predictScore))));
  const before = predictAnswered.get(key);
  if (before) predictSettle(form, verdict, question, before.given, before.right, () => reveal(true), false);
  else predictKeys(form, question);
  return form;
}

function predictChoices(question, answer) {
  return h("div", { class: "predict-choices", role: "group", "aria-label": "Answers" },
    question.choices.map((text, i) => h("button", { type: "button", "data-key": `predict-${i}`, "data-answer": text,
      "aria-keyshortcuts": String(i + 1), onclick: () => answer(text, text === question.answer) },
      h("kbd", {}, String(i + 1)), ` ${text}`)));
}

function predictNumber(question, answer, verdict) {
  const input = h("input", { type: "text", inputmode: "text", autocomplete: "off", size: "12", "data-key": "predict-number",
    "aria-label": "The gradient, a number", "aria-keyshortcuts": "1" });
  return h("form", { class: "predict-choices", onsubmit: (event) => {
    event.preventDefault();
    const right = predictAgrees(input.value, question.answer);
    if (right === null) {
      clear(verdict).append(h("p", {}, "Type a number, such as -0.25 or 3e-4."));
      return;
    }
    answer(input.value.trim(), right);
  } }, h("kbd", {}, "1"), " ", input, " ", h("button", { type: "submit" }, "Answer"));
}

// The verdict takes the place of the choices; the next key that matters is on the button under it.
function predictSettle(form, verdict, question, given, right, reveal, focus = true) {
  predictForget();
  for (const control of form.querySelectorAll(".predict-choices button, .predict-choices input")) {
    control.disabled = true;
    if (control.dataset.answer === given) control.classList.add(right ? "is-right" : "is-wrong");
    if (control.dataset.answer === question.answer) control.classList.add("is-right");
  }
  const answer = typeof question.answer === "number" ? number(question.answer) : question.answer;
  const show = h("button", { type: "button", class: "predict-show", "data-key": "predict-show", onclick: reveal }, "Show the step");
  clear(verdict).append(
    h("p", { class: right ? "good" : "bad" }, right ? `\u2713 Right: ${answer}.` : `\u2717 It is ${answer}, not ${given}.`),
    h("p", {}, question.why), show);
  form.querySelector(".predict-skip").hidden = true;
  form.querySelector(".predict-score").textContent = predictScoreText(predictScore);
  if (focus) show.focus({ preventScroll: false });
}

let predictListener = null;

function predictForget() {
  if (predictListener) document.removeEventListener("keydown", predictListener);
  predictListener = null;
}

// The keys 1 to 4 answer, from anywhere on the page; where a number is typed, 1 goes to the field.
function predictKeys(form, question) {
  predictForget();
  predictListener = (event) => {
    if (!form.isConnected) { predictForget(); return; }
    const typing = event.target instanceof Element && event.target.matches("input:not([type='range'], [type='checkbox']), select, textarea");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || !/^[1-4]$/.test(event.key)) return;
    const controls = form.querySelectorAll(question.choices ? ".predict-choices button" : ".predict-choices input");
    const control = controls[Number(event.key) - 1];
    if (!control) return;
    event.preventDefault();
    if (question.choices) control.click();
    else control.focus();
  };
  document.addEventListener("keydown", predictListener);
}

// --- the tab: the switch and the score ------------------------------------------------------------------------

function renderPredict(root, context) {
  const { graph, state, step } = context;
  const on = state.predict && state.predict !== "0" ? state.predict : "";
  const one = (value, text) => h("button", { type: "button", "data-key": `predict-on-${value}`, "aria-pressed": String(on === value),
    onclick: () => context.go({ predict: value === "" ? null : value }) }, text);
  const after = step ? step.n + 1 : 0;
  const next = graph.steps.find(({ n }) => n >= after && predictQuestion(graph, n) !== null);
  const clearAll = () => {
    Object.assign(predictScore, { asked: 0, right: 0 });
    predictAnswered.clear();
    predictRevealed.clear();
    dispatchEvent(new Event("hashchange"));
  };
  root.append(h("h3", {}, "Predict, then reveal"),
    h("p", {}, "Before each step of the backward pass, the page asks for the shape, the sign or the value of the gradient "
      + "that the step hands on. It shows the step once you have answered, and says by which rule."),
    h("div", { class: "predict-switch", role: "group", "aria-label": "Questions" }, "Ask for ",
      one("", "nothing"), one("1", "all in turn"), one("shape", "shapes"), one("sign", "signs"), one("value", "values")),
    h("p", { class: "faint" }, h("kbd", {}, "1"), " to ", h("kbd", {}, "4"), " answer, ", h("kbd", {}, "Enter"),
      " shows the step, ", h("kbd", {}, "\u2192"), " goes on."),
    h("p", {}, `Score: ${predictScoreText(predictScore)}. It is forgotten when the page is closed. `,
      h("button", { type: "button", "data-key": "predict-clear", onclick: clearAll }, "Start over")));
  if (!on) return;
  const gate = predictAsked(context);
  root.append(gate ?? h("p", {}, next
    ? h("a", { href: context.link({ step: next.n, tensor: null, of: null, cell: null }) }, `Go to the next question, at step ${next.n}`)
    : "No step after this one hands a gradient on."));
}
