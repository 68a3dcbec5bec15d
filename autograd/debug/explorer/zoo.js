// A bug hunt: one backward is wrong, and the reader looks for it with finite differences.

import { cellOf } from "./data.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { remember, remembered } from "./remembered.js";
import { zooFirst, zooHarm, zooHunt, zooVerdict } from "./zoo_hunt.js";

const zooHints = 3;

export const zooView = {
  id: "zoo",
  title: "Bug zoo",
  available: (graph) => Boolean(graph.bugs),
  render: renderZoo,
};

function renderZoo(root, context) {
  const { graph, page, state } = context;
  root.append(h("h3", {}, "Bug zoo"));
  if (graph.bugs.refused) {
    root.append(h("p", {}, `No bugs are planted in this graph: ${graph.bugs.refused}.`));
    return;
  }
  const hunt = zooHunt(page, graph), at = Number(state.bug) - 1;
  if (!(at in hunt.bugs)) {
    root.append(...zooList(context, hunt));
    return;
  }
  const bug = hunt.bugs[at], found = state.guess === bug.at;
  const chosen = { ...context, hunt, bug, at, found, over: found || state.answer === "1", first: zooFirst(hunt, bug) };
  if (found) zooRemember(graph, at);
  root.append(...[zooTop(chosen), zooTask(chosen), zooHelp(chosen), chosen.over ? zooAnswer(chosen) : null, zooTable(chosen)].filter(Boolean));
}

// ---- the list of bugs

function zooList({ graph, link }, { bugs }) {
  const solved = zooSolved(graph);
  return [
    h("p", {}, "Each of these is one real backward pass of this graph, in which one piece of code is wrong: a typical mistake, out of ",
      h("code", {}, "autograd/bug_zoo"), ". The loss is right, no error is raised, and every gradient has the right shape."),
    h("p", {}, "Find the first operation, in the order of backward, at which the gradient and its proof part. The proof is made of finite differences: a number is moved a little, and the loss computed again."),
    h("ol", { class: "zoo-list" }, bugs.map((_, i) => h("li", {},
      h("a", { href: link({ bug: i + 1, look: null, guess: null, hints: null, answer: null, all: null }) }, `Bug ${i + 1}`),
      solved.has(i) ? h("span", { class: "good" }, " found") : null))),
  ];
}

function zooSolved(graph) {
  return new Set((remembered(`explorer-zoo-${graph.name}`) ?? "").split(",").filter(Boolean).map(Number));
}

function zooRemember(graph, at) {
  remember(`explorer-zoo-${graph.name}`, [...zooSolved(graph).add(at)].join(","));
}

// ---- the task, the guess, the hints

function zooTop({ hunt, at, link }) {
  const to = (i, text) => i in hunt.bugs ? h("a", { href: link({ bug: i + 1, look: null, guess: null, hints: null, answer: null }) }, text) : null;
  return h("nav", { class: "zoo-top", "aria-label": "bugs" }, h("b", {}, `Bug ${at + 1} of ${hunt.bugs.length}`),
    to(at - 1, "previous"), to(at + 1, "next"), h("a", { href: link({ bug: null, look: null, guess: null, hints: null, answer: null }) }, "all bugs"));
}

function zooTask({ over }) {
  return over ? null : h("details", { open: true }, h("summary", {}, "How to find it"),
    h("p", {}, "A step of backward is given the gradient of its output and hands a part to each input. Open a step below: it shows some of these numbers beside their proof by finite differences, for which a number is moved a little and the loss computed again. ",
      "For what is handed on, it is moved where this step alone reads it."),
    h("p", {}, "Before the wrong step the two agree in all digits, or all but the last. After it nearly all differ, even where the code is right, since wrong numbers are passed on. So open a step in the middle, and halve."));
}

function zooHelp(chosen) {
  const { state, go, bug, hunt, over, found } = chosen;
  const shown = Math.min(Number(state.hints) || 0, zooHints);
  const button = (text, changes, key, disabled = false) => h("button", { type: "button", "data-key": key, disabled, onclick: () => go(changes) }, text);
  return h("div", { class: "zoo-help", "aria-live": "polite" },
    state.guess && !found && !over && !zooOpen(chosen, state.guess) ? h("p", { class: "bad" }, zooMiss(chosen)) : null,
    found ? h("p", { class: "good zoo-found" }, `\u2713 Yes: ${zooName(hunt.rows.find((row) => row.key === bug.at))}.`) : null,
    !over && shown > 0 ? h("ol", { class: "zoo-hints" }, zooHintTexts(chosen).slice(0, shown).map((text) => h("li", {}, text))) : null,
    over ? null : h("p", { class: "zoo-buttons" },
      button(shown < zooHints ? `Hint ${shown + 1} of ${zooHints}` : "No more hints", { hints: shown + 1 }, "zoo-hint", shown >= zooHints),
      button("Show the answer", { answer: 1 }, "zoo-answer")));
}

function zooOpen({ state }, key) {
  return state.all === "1" || state.look === key;
}

function zooName(row) {
  return row.op ? `${row.op} ${row.key}` : `.grad of ${row.key}`;
}

function zooHintTexts({ hunt, bug }) {
  const steps = hunt.rows.filter((row) => row.op), half = Math.ceil(steps.length / 2);
  const place = steps.findIndex((row) => row.key === bug.at);
  const [from, to] = place < half ? [steps[0], steps[half - 1]] : [steps[half], steps.at(-1)];
  return [
    place < 0 ? "No operation hands on anything wrong." : `It is one of the steps ${from.n} to ${to.n}, the ${place < half ? "first" : "second"} half of the operations.`,
    bug.op ? `It is a ${bug.op}. ${bug.hints[0]}` : `The code of every operation is right: the engine is not. ${bug.hints[0]}`,
    bug.hints[1],
  ];
}

// Why a guess was wrong, from the numbers.
function zooMiss({ hunt, bug, state, first }) {
  const row = hunt.rows.find(({ key }) => key === state.guess);
  if (!row) return "That is not a step of this pass.";
  const { arrives, hands } = zooVerdict(hunt, bug, row);
  if (!arrives && !hands.includes(true)) {
    return `Not there: at ${zooName(row)} everything agrees with the proof. `
      + (row.n < first.n ? "The two part later." : "This step is not reached by what is wrong; they part earlier.");
  }
  return `Numbers differ at ${zooName(row)}, but not for the first time: ${arrives ? "what arrives there is wrong already." : "look at earlier steps."}`;
}

// ---- the answer

function zooAnswer({ bug, hunt, first, link }) {
  const { wrong, leaves } = zooHarm(hunt, bug), verdict = zooVerdict(hunt, bug, first);
  const code = (title, text) => h("div", {}, h("h5", {}, title), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title }, h("pre", {}, text)));
  return h("section", { class: "zoo-answer", "aria-label": "The answer" },
    h("h4", {}, bug.name),
    h("p", {}, `${bug.story[0].toUpperCase()}${bug.story.slice(1)}. ${bug.note} `,
      verdict.arrives ? `The operations are innocent: what each of them handed on was right. What arrives at ${first.key} is not their sum.`
        : `At ${zooName(first)} what arrives is right, and what is handed on is not.`,
      " ", h("a", { href: link({ step: first.n, tensor: first.key, of: "gradient", cell: null, view: verdict.arrives ? "ledger" : "card" }) }, `Step ${first.n}`), "."),
    h("p", {}, wrong ? `${wrong} of ${leaves} leaves get a wrong gradient.` : "At the sampled elements no leaf shows it.", ` In a test it is caught by: ${bug.caught}.`),
    h("div", { class: "zoo-codes" }, code("Wrong", bug.wrong), code("Right", bug.right)),
    bug.planted ? h("details", {}, h("summary", {}, "How it was planted here"),
      h("p", {}, bug.op ? "The zoo's operation is simpler than the one of this graph. This function takes the place of the right backward:" : "This class takes the place of the engine's own sums:"), h("pre", { class: "scroll" }, bug.planted)) : null);
}

// ---- the steps

function zooTable(chosen) {
  const { hunt, state, go, over } = chosen, all = state.all === "1";
  return h("div", { class: "scroll zoo-steps", tabindex: "0", role: "group", "aria-label": "the steps of backward" },
    h("label", {}, h("input", { type: "checkbox", checked: all, "data-key": "zoo-all", onchange: () => go({ all: all ? null : 1, look: null }, true) }), " open all steps"),
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "step"), h("th", { scope: "col" }, "operation"), h("th", { scope: "col", class: "number zoo-norm", title: "the root of the sum of the squares of all its numbers" }, "length of what arrives"),
        over ? h("th", { scope: "col" }, "gradient and proof") : null)),
      h("tbody", {}, hunt.rows.map((row) => zooRow(chosen, row, zooOpen(chosen, row.key))))));
}

function zooRow(chosen, row, open) {
  const { hunt, bug, go, state, over } = chosen;
  const verdict = over ? zooVerdict(hunt, bug, row) : null;
  const wrong = verdict && (verdict.arrives || verdict.hands.includes(true));
  const look = () => go({ look: open ? null : row.key, all: null, step: row.n, tensor: null, of: null, cell: null }, true);
  const head = h("tr", { class: over && row.key === bug.at && "zoo-culprit" },
    h("td", {}, String(row.n)),
    h("th", { scope: "row" }, h("button", { type: "button", class: "zoo-open", "aria-expanded": String(open), "data-key": `zoo-${row.key}`, onclick: look }, zooName(row))),
    h("td", { class: "number zoo-norm" }, number(bug.norms[row.arrives])),
    verdict ? h("td", { class: wrong ? "bad" : "good" }, wrong ? (verdict.arrives ? "differ on arrival" : "part here") : "agree") : null);
  if (!open) return head;
  const accuse = over ? null : h("div", { class: "zoo-guess" },
    h("button", { type: "button", class: "zoo-accuse", "data-key": `zoo-accuse-${row.key}`, onclick: () => zooAccuse(chosen, row.key) }, "My answer: the bug is at this step"),
    h("span", { class: "bad", role: "status" }, state.guess === row.key ? zooMiss(chosen) : ""));
  const hands = row.hands.map((to, i) => zooCompared(chosen, `handed to ${to.key}`, to.record, verdict?.hands[i]));
  const column = (text) => h("th", { scope: "col", class: "number" }, text);
  return [head, h("tr", { class: "zoo-inside" }, h("td", { colspan: over ? 4 : 3 },
    h("table", {}, h("thead", {}, h("tr", {}, ["element", "gradient", "finite differences"].map(column))),
      zooCompared(chosen, row.op ? "arrives" : "its gradient", row.arrives, verdict?.arrives), hands), accuse))];
}

// The verdict of a wrong guess stands beside the button; a right one leads to the answer, further up.
function zooAccuse({ go }, key) {
  go({ guess: key });
  const found = document.querySelector(".zoo-found");
  if (found) found.scrollIntoView({ block: "start" });
  else document.querySelector(`[data-key="${CSS.escape(`zoo-accuse-${key}`)}"]`)?.parentNode.scrollIntoView({ block: "nearest" });
}

function zooCompared({ hunt, bug }, what, record, differs) {
  const { cells, proof, shape, tolerance } = hunt.records[record], gradient = bug.gradients[record];
  return h("tbody", {}, h("tr", {}, h("th", { scope: "rowgroup", colspan: 3 }, what)),
    Array.from(cells, (cell, i) => {
      const off = differs && !(Math.abs(gradient[i] - proof[i]) <= tolerance);
      return h("tr", {}, h("td", { class: "number" }, `[${cellOf(cell, shape).join(", ")}]`),
        h("td", { class: `number${off ? " bad" : ""}` }, zooDigits(gradient[i], tolerance)),
        h("td", { class: "number" }, zooDigits(proof[i], tolerance)));
    }));
}

// Five digits; 0 where a number is no larger than what rounding leaves of a zero.
function zooDigits(x, tolerance) {
  if (!Number.isFinite(x)) return number(x);
  if (Math.abs(x) <= tolerance) return "0";
  return Math.abs(x) < 1e-3 ? x.toExponential(4) : x.toPrecision(5);
}
