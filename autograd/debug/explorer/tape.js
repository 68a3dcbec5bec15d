// The tape: every operation in recorded order, forward and then backward; and beside it what is
// pending and why the next node is next. Only the rows in view are in the page.

import { h, clear } from "./dom.js";
import { progress, pendingBefore } from "./progress.js";
import { shapeText } from "./format.js";

const TAPE_ROW = 26;
const TAPE_CHIPS = 7;

export function createTape(goToStep, choose) {
  const spacer = h("div", { class: "tape-spacer" });
  const list = h("div", { class: "tape-list", role: "listbox", tabindex: "0",
    "aria-label": "Tape: all steps in order. Left and right take one step." }, spacer);
  const pending = h("div", { class: "tape-pending" });
  const element = h("section", { class: "tape", "aria-label": "Tape" }, list);
  let context = null, rows = [], rowOf = new Map(), painted = "";

  function update(next) {
    const fresh = !context || context.graph !== next.graph;
    const moved = fresh || context.step !== next.step;
    context = next;
    if (fresh) {
      [rows, rowOf] = tapeRows(next.graph);
      spacer.style.height = `${rows.length * TAPE_ROW}px`;
      painted = "";
    }
    if (moved && next.step) scrollTo(rowOf.get(next.step.n), fresh);
    paint();
    if (moved) tapePending(clear(pending), next, choose);
  }

  function scrollTo(row, strictly) {
    const top = row * TAPE_ROW, room = list.clientHeight;
    if (strictly || top < list.scrollTop + TAPE_ROW || top > list.scrollTop + room - 3 * TAPE_ROW)
      list.scrollTop = top - room * 0.4;
  }

  function paint() {
    const n = context.step ? context.step.n : -1;
    const first = Math.max(0, Math.floor(list.scrollTop / TAPE_ROW) - 8);
    const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / TAPE_ROW) + 8);
    const key = `${context.graph.name} ${n} ${first} ${last}`;
    if (key === painted) return;
    painted = key;
    const inside = [];
    for (let i = first; i < last; i += 1) inside.push(tapeRow(context.graph, rows[i], i, n, goToStep));
    spacer.replaceChildren(...inside);
    if (n >= 0) list.setAttribute("aria-activedescendant", `tape-${n}`);
  }

  list.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !context.step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const step = context.graph.steps[context.step.n + by];
    if (step) goToStep(step.n);
  });
  list.addEventListener("scroll", () => { if (context) paint(); }, { passive: true });
  new ResizeObserver(() => { if (context) paint(); }).observe(list);
  return { element, pending, update };
}

// Headings where the phase changes, and steps: {heading} or {step}.
function tapeRows(graph) {
  const rows = [], rowOf = new Map();
  let heading = null;
  for (const step of graph.steps) {
    const name = step.phase === "forward" ? "Forward" : "Backward";
    if (name !== heading) rows.push({ heading: heading = name });
    rowOf.set(step.n, rows.length);
    rows.push({ step });
  }
  return [rows, rowOf];
}

function tapeRow(graph, { heading, step }, i, n, goToStep) {
  const row = heading
    ? h("div", { class: "tape-heading", role: "presentation" }, heading)
    : tapeStep(graph, step, n, goToStep);
  row.style.top = `${i * TAPE_ROW}px`;
  return row;
}

function tapeStep(graph, step, n, goToStep) {
  const out = graph.tensors[step.out], now = step.n === n;
  const state = now ? "current" : step.n < n ? "done" : "ahead";
  return h("div", { class: `tape-step is-${state} tape-${step.phase}`, role: "option", id: `tape-${step.n}`,
    "aria-selected": String(now), "aria-posinset": String(step.n + 1),
    "aria-setsize": String(graph.steps.length), onclick: () => goToStep(step.n) },
    h("span", { class: "tape-n" }, String(step.n)),
    h("span", { class: "tape-op" }, tapeName(step)),
    h("span", { class: "tape-key" }, out ? out.key : ""),
    h("span", { class: "tape-shape" }, out ? shapeText(out.shape) : ""));
}

export function tapeName(step) {
  if (step.phase === "start") return "start";
  if (step.phase === "leaf") return ".grad";
  return step.op;
}

// What is pending when this step begins, the newest first, and how complete each gradient is.
function tapePending(root, context, choose) {
  const { graph, step } = context;
  if (!step) return;
  const pass = progress(graph);
  if (step.n <= pass.start) {
    const left = pass.start - step.n;
    root.append(h("p", {}, step.phase === "start"
      ? "Nothing is pending yet. This step starts the backward pass: it gives the loss its gradient, 1."
      : `Nothing is pending in the forward pass. The backward pass starts ${left === 1 ? "with the next step" : `in ${left} steps`}.`));
    return;
  }
  const waiting = pendingBefore(pass, step.n);
  const operations = waiting.filter(({ id }) => graph.tensors[id].kind === "computed");
  const leaves = waiting.length - operations.length;
  const shown = (operations.length ? operations : waiting).slice(0, TAPE_CHIPS);
  const rest = (operations.length ? operations : waiting).length - shown.length;
  root.append(
    h("p", {}, tapeReason(graph, waiting, step)),
    h("ol", { class: "tape-chips", "aria-label": "Pending gradients, newest first" },
      shown.map(({ id, arrived, expected }) => {
        const tensor = graph.tensors[id], now = id === step.out;
        const full = arrived === expected;
        return h("li", {}, h("button", { type: "button", class: `tape-chip${now ? " is-current" : ""}${full ? " is-full" : ""}`,
          onclick: () => choose(id),
          title: `${tensor.key}: ${arrived} of ${expected} contributions have arrived` },
          h("span", { class: "tape-chip-name" }, tensor.key),
          h("span", { class: "tape-chip-count" }, `${arrived} of ${expected}`)));
      }),
      rest > 0 ? h("li", { class: "tape-more" }, `and ${rest} more`) : null,
      operations.length && leaves
        ? h("li", { class: "tape-more" }, `and ${leaves} ${leaves === 1 ? "leaf" : "leaves"}`) : null));
}

function tapeReason(graph, waiting, step) {
  const mine = waiting.find(({ id }) => id === step.out);
  const name = graph.tensors[step.out].key;
  if (!mine) return "";
  const which = waiting.length === 1 ? "It is the only pending node"
    : `It is the newest of ${waiting.length} pending nodes`;
  const parts = mine.expected === 1 ? "its one contribution has arrived"
    : `${mine.arrived} of ${mine.expected} contributions have arrived`;
  return `Why ${name}? ${which}: everything that used it is done, ${parts}.`;
}
