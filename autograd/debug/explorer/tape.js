// The tape: every operation in recorded order, forward and then backward; and beside it what is
// pending and why the next node is next. Only the rows in view are in the page.

import { h, clear } from "./dom.js";
import { progress, pendingBefore } from "./progress.js";
import { term } from "./glossary.js";
import { shapeText } from "./format.js";

const TAPE_ROW = 26;
const TAPE_CHIPS = 7;

export function createTape(goToStep, choose) {
  const spacer = h("div", { class: "tape-spacer" });
  const list = h("div", { class: "tape-list", role: "listbox", tabindex: "0",
    "aria-label": "Tape: all steps in order. Left and right take one step." }, spacer);
  const pending = h("div", { class: "tape-pending" });
  const element = h("section", { class: "tape", "aria-label": "Tape" }, list);
  let context = null, rows = [], rowOf = new Map(), elements = new Map();
  let top = 0, room = 0;  // what is scrolled and what is in view: known without asking for a layout

  function update(next) {
    const fresh = !context || context.graph !== next.graph;
    const moved = fresh || context.step !== next.step;
    context = next;
    if (fresh) {
      [rows, rowOf] = tapeRows(next.graph);
      spacer.style.height = `${rows.length * TAPE_ROW}px`;
      elements = new Map();
      clear(spacer);
    }
    if (moved && next.step) scrollTo(rowOf.get(next.step.n), fresh);
    paint();
    if (moved) tapePending(clear(pending), next, choose);
  }

  function scrollTo(row, strictly) {
    const place = row * TAPE_ROW;
    if (!room || (!strictly && place >= top + TAPE_ROW && place <= top + room - 3 * TAPE_ROW)) return;
    top = Math.max(0, Math.min(rows.length * TAPE_ROW - room, place - room * 0.4));
    list.scrollTop = top;
  }

  function paint() {
    const n = context.step ? context.step.n : -1;
    const first = Math.max(0, Math.floor(top / TAPE_ROW) - 8);
    const last = Math.min(rows.length, Math.ceil((top + room) / TAPE_ROW) + 8);
    for (const [i, element] of elements)
      if (i < first || i >= last) { element.remove(); elements.delete(i); }
    for (let i = first; i < last; i += 1) {
      if (!elements.has(i)) {
        elements.set(i, tapeRow(context.graph, rows[i], i, goToStep));
        spacer.append(elements.get(i));
      }
      if (rows[i].step) tapeMark(elements.get(i), rows[i].step.n, n);
    }
    if (n >= 0) list.setAttribute("aria-activedescendant", `tape-${n}`);
  }

  list.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !context.step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const step = context.graph.steps[context.step.n + by];
    if (step) goToStep(step.n);
  });
  list.addEventListener("scroll", () => { top = list.scrollTop; if (context) paint(); }, { passive: true });
  new ResizeObserver(() => {
    const before = room;
    room = list.clientHeight;
    if (!context) return;
    if (!before && context.step) scrollTo(rowOf.get(context.step.n), true);
    paint();
  }).observe(list);
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

function tapeRow(graph, { heading, step }, i, goToStep) {
  const row = heading
    ? h("div", { class: "tape-heading", role: "presentation" }, heading)
    : tapeStep(graph, step, goToStep);
  row.style.top = `${i * TAPE_ROW}px`;
  return row;
}

function tapeStep(graph, step, goToStep) {
  const out = graph.tensors[step.out];
  return h("div", { role: "option", id: `tape-${step.n}`, "aria-posinset": String(step.n + 1),
    "aria-setsize": String(graph.steps.length), title: out ? out.key : "", onclick: () => goToStep(step.n) },
    h("span", { class: "tape-n" }, String(step.n)),
    h("span", { class: "tape-op" }, tapeName(step)),
    h("span", { class: "tape-key" }, out ? out.key : ""),
    h("span", { class: "tape-shape" }, out ? shapeText(out.shape) : ""));
}

function tapeMark(row, n, now) {
  const state = n === now ? "current" : n < now ? "done" : "ahead";
  if (row.dataset.state === state) return;
  row.dataset.state = state;
  row.className = `tape-step is-${state}`;
  row.setAttribute("aria-selected", String(n === now));
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
    const left = pass.start - step.n, when = left === 1 ? "with the next step" : `in ${left} steps`;
    root.append(h("p", {}, step.phase === "start"
      ? "Nothing is pending yet. This step starts the backward pass: it gives the loss its gradient, 1."
      : `Nothing is pending in the forward pass. The backward pass starts ${when}. For it, this operation keeps:`));
    if (step.phase !== "start") root.append(tapeKept(graph, step, choose));
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
        const kind = `tape-chip${now ? " is-current" : ""}${full ? " is-full" : ""}`;
        return h("li", {}, h("button", { type: "button", class: kind,
          onclick: () => choose(id),
          title: `${tensor.key}: ${arrived} of ${expected} contributions have arrived` },
          h("span", { class: "tape-chip-name" }, tensor.key),
          h("span", { class: "tape-chip-count" }, `${arrived} of ${expected}`)));
      }),
      rest > 0 ? h("li", { class: "tape-more" }, `and ${rest} more`) : null,
      operations.length && leaves
        ? h("li", { class: "tape-more" }, `and ${leaves} ${leaves === 1 ? "leaf" : "leaves"}`) : null));
}

// What a forward step keeps for the backward pass.
function tapeKept(graph, step, choose) {
  const kept = step.saved ?? [];
  return h("ul", { class: "tape-chips", "aria-label": "Kept for backward" },
    kept.length ? kept.map(({ what, tensor, shape }) => {
      const key = tensor === null || tensor === undefined ? null : graph.tensors[tensor]?.key;
      const text = [h("span", { class: "tape-chip-name" }, key ?? what), h("span", { class: "faint" }, shapeText(shape))];
      return h("li", {}, key
        ? h("button", { type: "button", class: "tape-chip tape-kept", title: what, onclick: () => choose(tensor) }, text)
        : h("span", { class: "tape-more" }, text[0], " ", text[1]));
    }) : h("li", { class: "tape-more" }, "nothing"));
}

function tapeReason(graph, waiting, step) {
  const mine = waiting.find(({ id }) => id === step.out);
  const name = graph.tensors[step.out].key;
  if (!mine) return "";
  const which = waiting.length === 1 ? ["It is the only ", term("pending"), " node"]
    : ["It is the ", term("newest"), ` of ${waiting.length} `, term("pending"), " nodes"];
  const parts = mine.expected === 1 ? ["its one ", term("contribution"), " has arrived"]
    : [`${mine.arrived} of ${mine.expected} `, term("contribution", "contributions"), " have arrived"];
  return [`Why ${name}? `, which, ": everything that used it is done, ", parts, "."];
}
