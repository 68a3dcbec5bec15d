// Predict, then reveal: a question before each step of the backward pass, when switched on.

import { cellText } from "./cells.js";
import { h, clear } from "./dom.js";
import { number, shapeText } from "./format.js";
import { predictAgrees, predictQuestion, predictScoreText } from "./predict_questions.js";
import { nameTensor } from "./state.js";
import { statisticsOf } from "./stats.js";

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
  const { graph, state, step } = context;
  const own = state.view === "predict"; // its own tab asks by itself
  return own || !step || predictRevealed.has(predictKey(graph, step)) ? null : predictAsked(context);
}

// Whether the page's sentence would give the answer to a question away.
export function predictHides(context) {
  const { graph, step } = context;
  return Boolean(step) && !predictRevealed.has(predictKey(graph, step)) && predictWanted(context) !== null;
}

function predictKey(graph, step) {
  return `${graph.name} ${step.n}`;
}

function predictAsked(context) {
  const question = predictWanted(context);
  return question && predictForm(context, question);
}

function predictWanted({ graph, state, step }) {
  if (!state.predict || state.predict === "0" || !step) return null;
  return predictQuestion(graph, step.n, state.predict);
}

// --- the question ---------------------------------------------------------------------------------------

// In another view the question stands in its place and makes room for it; in the own tab it stays,
// with its answer and what the step handed on, until the next one is asked for.
function predictForm(context, question) {
  const own = context.state.view === "predict", key = predictKey(context.graph, context.step);
  const verdict = h("div", { class: "predict-verdict", role: "status" });
  const form = h("section", { class: "predict-gate", "aria-label": "Predict, then reveal" },
    h("h3", {}, `Step ${context.step.n}: predict, then reveal`), h("p", { class: "predict-text" }, question.text),
    h("dl", { class: "predict-given" }, question.given.map(({ name, text }) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))));
  const reveal = () => {
    predictRevealed.add(key);
    dispatchEvent(new Event("hashchange")); // draws the page again, with this step revealed
    document.querySelector("[role='tabpanel']")?.focus({ preventScroll: true });
  };
  const settle = (given, right, focus) => {
    predictAnswered.set(`${key} ${question.kind}`, { given, right });
    if (own) predictRevealed.add(key);
    predictSettle(form, verdict, question, given, right, own ? predictAfter(context, question)
      : [h("button", { type: "button", class: "predict-show", "data-key": "predict-show", onclick: reveal }, "Show the step")], focus);
  };
  const answer = (given, right) => {
    predictScore.asked += 1;
    predictScore.right += right ? 1 : 0;
    settle(given, right, true);
  };
  const buttons = question.choices ? predictChoices(question, answer) : predictNumber(question, answer, verdict);
  form.append(buttons, verdict,
    h("p", { class: "predict-foot" },
      h("button", { type: "button", class: "predict-skip", "data-key": "predict-skip", onclick: own ? () => settle(null, false, true) : reveal },
        own ? "Skip: show the answer" : "Skip: show the step"),
      h("button", { type: "button", "data-key": "predict-off", onclick: () => context.go({ predict: null }) }, "Ask no more"),
      own ? null : h("span", { class: "faint predict-score" }, predictScoreText(predictScore))));
  const before = predictAnswered.get(`${key} ${question.kind}`);
  if (before) settle(before.given, before.right, false);
  else predictKeys(form, question);
  return form;
}

// What stands under an answer in the own tab: what the step handed on, and the way to the next question.
function predictAfter(context, question) {
  const { graph, go, link, step } = context;
  const tensor = graph.tensors[question.tensor], values = graph.values(question.tensor);
  const known = values === null ? "" : values.length <= 8 ? `: ${Array.from(values, number).join(", ")}`
    : `, with numbers from ${number(statisticsOf(graph, tensor).min)} to ${number(statisticsOf(graph, tensor).max)}`;
  const place = { ...nameTensor(graph, question.tensor), cell: question.cell === null ? null : question.cell.join(",") };
  const next = predictNext(context);
  return [
    h("p", {}, `${step.op} hands on to ${graph.tensors[tensor.of].key} ${tensor.shape.length ? `a gradient of shape ${shapeText(tensor.shape)}` : "one number"}${known}. `,
      h("a", { href: link({ ...place, view: "tensor" }) }, "See it in Tensor"),
      question.cell === null ? null : [", or ", h("a", { href: link({ ...place, view: "cell" }) }, `${question.cell.length ? cellText(question.cell) : "it"} term by term`)], "."),
    next ? h("button", { type: "button", class: "predict-show", "data-key": "predict-next",
      onclick: () => go({ step: next.n, tensor: null, of: null, cell: null }) }, `Next question: step ${next.n}`)
      : h("p", {}, "This was the last question: no later step hands a gradient on."),
  ];
}

function predictNext({ graph, state, step }) {
  const after = step ? step.n + 1 : 0;
  return graph.steps.find(({ n }) => n >= after && predictQuestion(graph, n, state.predict) !== null);
}

function predictChoices(question, answer) {
  return h("div", { class: "predict-choices", role: "group", "aria-label": "Answers" },
    question.choices.map((text, i) => h("button", { type: "button", "data-key": `predict-${i}`, "data-answer": text,
      "aria-keyshortcuts": String(i + 1), onclick: () => answer(text, text === question.answer) },
      h("kbd", { title: "the key for this answer" }, String(i + 1)), ` ${text}`)));
}

function predictNumber(question, answer, verdict) {
  const input = h("input", { type: "text", inputmode: "text", autocomplete: "off", size: "12", "data-key": "predict-number",
    "aria-keyshortcuts": "1" });
  return h("form", { class: "predict-choices", onsubmit: (event) => {
    event.preventDefault();
    const right = predictAgrees(input.value, question.answer);
    if (right === null) {
      clear(verdict).append(h("p", {}, "Type a number, such as -0.25 or 3e-4."));
      return;
    }
    answer(input.value.trim(), right);
  } }, h("label", {}, "Your answer ", input), " ", h("button", { type: "submit" }, "Answer"),
    h("span", { class: "faint" }, "Key ", h("kbd", {}, "1"), " puts the cursor here."));
}

// The verdict takes the place of the choices; the next key that matters is on the button under it.
// Nothing is given by who skipped the question.
function predictSettle(form, verdict, question, given, right, after, focus) {
  predictForget();
  for (const control of form.querySelectorAll(".predict-choices button, .predict-choices input")) {
    control.disabled = true;
    if (control.dataset.answer === given) control.classList.add(right ? "is-right" : "is-wrong");
    if (control.dataset.answer === question.answer) control.classList.add("is-right");
  }
  const answer = typeof question.answer === "number" ? number(question.answer) : question.answer;
  clear(verdict).append(
    h("p", { class: right ? "good" : given === null ? null : "bad" },
      right ? `\u2713 Right: ${answer}.` : given === null ? `It is ${answer}.` : `\u2717 It is ${answer}, not ${given}.`),
    h("p", {}, question.why), ...after);
  form.querySelector(".predict-skip").hidden = true;
  for (const score of [...form.querySelectorAll(".predict-score"), ...document.querySelectorAll(".predict-score")])
    score.textContent = predictScoreText(predictScore);
  if (focus) verdict.querySelector("button")?.focus({ preventScroll: false });
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
  const next = predictNext(context);
  const clearAll = () => {
    Object.assign(predictScore, { asked: 0, right: 0 });
    predictAnswered.clear();
    predictRevealed.clear();
    dispatchEvent(new Event("hashchange"));
  };
  const whole = predictNext({ graph, state, step: null }), place = (n) => ({ step: n, tensor: null, of: null, cell: null });
  root.append(h("h3", {}, "Predict, then reveal"),
    on ? "" : h("p", {}, "Before a step of the backward pass, the page asks for the shape, the sign or the value of the gradient "
      + "that the step hands on. It shows the step once you have answered, and says by which rule. "
      + "While this is on, every other view asks as well, before it shows such a step."),
    h("div", { class: "predict-switch", role: "group", "aria-label": "Questions" }, "Ask for ",
      one("", "nothing"), one("1", "all in turn"), one("shape", "shapes"), one("sign", "signs"), one("value", "values")));
  if (!on) {
    if (whole) root.append(h("p", {}, h("button", { type: "button", class: "predict-show", "data-key": "predict-begin",
      onclick: () => context.go({ predict: 1, ...place(whole.n) }) }, `Begin: step ${whole.n}`)));
    return;
  }
  root.append(
    predictAsked(context) ?? h("p", {}, next ? h("a", { href: context.link(place(next.n)) }, `Go to the next question, at step ${next.n}`)
      : "No step after this one hands a gradient on. ",
    next || !whole ? null : h("a", { href: context.link(place(whole.n)) }, `Go to the first question, at step ${whole.n}`)),
    h("p", {}, "Score: ", h("span", { class: "predict-score" }, predictScoreText(predictScore)), ". It is forgotten when the page is closed. ",
      h("button", { type: "button", "data-key": "predict-clear", onclick: clearAll }, "Start over")));
}
