// The controls of the tape: buttons, the scrubber, running by itself, and the keys.

import { h } from "./dom.js";
import { progress, nextBackward } from "./progress.js";

const CONTROLS_SPEEDS = [["slow", 2000], ["1 step a second", 1000], ["2 a second", 500],
  ["5 a second", 200], ["fast", 60]];

export function createControls(actions) {
  const button = (text, label, key, action, extra) => h("button", { type: "button", class: extra || "",
    title: `${label} (${key})`, "aria-label": label, "aria-keyshortcuts": key, onclick: action }, text);
  const run = button("\u25B6\uFE0E Run", "Run", "Space", () => toggle(), "controls-run");
  const first = button("\u21E4", "First step", "Home", () => to(0));
  const back = button("\u2190", "One step back", "ArrowLeft", () => by(-1));
  const forward = button("\u2192", "One step forward", "ArrowRight", () => by(1), "controls-next");
  const last = button("\u21E5", "Last step", "End", () => to(Infinity));
  const backward = button("next backward", "Jump to the next step of the backward pass", "b", jumpBackward);
  const speed = h("select", { "aria-label": "Speed of running", title: "Speed of running" },
    CONTROLS_SPEEDS.map(([name, pause]) => h("option", { value: String(pause) }, name)));
  speed.value = matchMedia("(prefers-reduced-motion: reduce)").matches ? "2000" : "1000";
  const number = h("input", { type: "number", min: "0", "aria-label": "Step number", title: "Jump to a step (g)",
    onchange: () => to(Number(number.value)) });
  const total = h("span", { class: "controls-total" });
  const where = h("span", { class: "controls-where", "aria-hidden": "true" });
  const scrubber = h("input", { type: "range", min: "0", step: "1", class: "controls-scrubber",
    "aria-label": "Step", oninput: () => to(Number(scrubber.value), true) });
  const track = h("span", { class: "controls-track" }, scrubber);
  const element = h("div", { class: "controls", role: "group", "aria-label": "Steps" },
    first, back, forward, last, run, speed, backward, track,
    h("label", { class: "controls-number" },
      h("span", { class: "controls-word" }, "step "), number, " ", total),
    where);
  let context = null, timer = null;

  function update(next) {
    context = next;
    const end = next.graph.steps.length - 1, n = next.step ? next.step.n : 0;
    const pass = progress(next.graph);
    scrubber.max = number.max = String(Math.max(0, end));
    scrubber.value = String(n);
    scrubber.setAttribute("aria-valuetext", `step ${n} of 0 to ${end}, ${n < pass.start ? "forward" : "backward"}`);
    track.style.setProperty("--turn", String(pass.start / Math.max(1, end)));
    if (document.activeElement !== number) number.value = String(n);
    where.textContent = next.step ? controlsWhere(next) : "";
    total.textContent = `of 0 to ${end}`;
    for (const b of [first, back]) b.setAttribute("aria-disabled", String(n === 0));
    for (const b of [forward, last]) b.setAttribute("aria-disabled", String(n === end));
    backward.setAttribute("aria-disabled", String(nextBackward(next.graph, n) === null));
    if (n === end) stop();
  }

  function to(n, quiet = false) {
    if (!context || Number.isNaN(n)) return;
    const end = context.graph.steps.length - 1;
    actions.step(Math.min(end, Math.max(0, Math.round(Math.min(n, end)))), quiet);
  }

  function by(change) { to((context.step ? context.step.n : 0) + change); }

  function jumpBackward() {
    const n = nextBackward(context.graph, context.step ? context.step.n : 0);
    if (n !== null) to(n);
  }

  function toggle() {
    if (timer) { stop(); return; }
    const n = context.step ? context.step.n : 0;
    if (n === context.graph.steps.length - 1) to(0, true);
    else to(n + 1, true);
    tick();
    run.textContent = "\u275A\u275A Stop";
    run.setAttribute("aria-label", "Stop");
  }

  function tick() {
    timer = setTimeout(() => {
      to((context.step ? context.step.n : 0) + 1, true);
      if (timer) tick();
    }, Number(speed.value));
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    run.textContent = "\u25B6\uFE0E Run";
    run.setAttribute("aria-label", "Run");
  }

  // True if a key meant something here.
  function key(name) {
    if (name === "ArrowRight" || name === "j") by(1);
    else if (name === "ArrowLeft" || name === "k") by(-1);
    else if (name === " ") toggle();
    else if (name === "Home") to(0);
    else if (name === "End") to(Infinity);
    else if (name === "b") jumpBackward();
    else if (name === "g") { number.focus(); number.select(); }
    else return false;
    return true;
  }

  return { element, update, key, running: () => timer !== null };
}

// Where we are, in few words: for a phone, where the sentence may be out of sight.
function controlsWhere({ graph, step }) {
  const name = graph.tensors[step.out]?.key ?? "";
  const phase = { forward: "forward", start: "start", backward: "backward", leaf: ".grad" }[step.phase];
  return `${phase}: ${[step.op, name].filter(Boolean).join(" ")}`;
}
