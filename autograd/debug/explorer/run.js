// A training run: norms of gradients, sizes of updates and dead units, checkpoint by checkpoint.

import { h } from "./dom.js";
import { number, shapeText } from "./format.js";
import { runHeatMap, runLines, runScatter } from "./runcharts.js";

// A training run, checkpoint by checkpoint: how hard each layer is pulled, how far it moves, how
// large its activations are and which units are dead. Every picture has its numbers as a table.

export const runView = {
  id: "run",
  title: "Training run",
  available: (graph) => Boolean(graph?.page.run),
  render: runRender,
};

const runQuantities = [
  {
    id: "gradient", title: "Gradient norm", unit: "|g|", log: true, of: "layers",
    about: "How strongly the batch pulls at the weights, before clipping. A layer whose norm falls " +
      "to nothing has stopped to learn; one far above the others makes clipping slow them down.",
  },
  {
    id: "ratio", title: "Update ratio", unit: "|w' - w| / |w|", log: true, of: "layers",
    about: "How far the next step would move the weights, as a share of their own size: the run's " +
      "optimizer with its saved state, its clipping, decay and learning rate. About 0.001 is usual.",
  },
  {
    id: "stream", title: "Residual stream", unit: "root mean square", log: true, of: "blocks",
    about: "The size of the stream after each block. Each block adds to it, so it grows with depth.",
  },
  {
    id: "attention", title: "What attention adds", unit: "root mean square", log: true, of: "blocks",
    about: "The size of the attention branch's output, which is added to the stream.",
  },
  {
    id: "feed_forward", title: "What the feed-forward layer adds", unit: "root mean square",
    log: true, of: "blocks",
    about: "The size of the feed-forward branch's output, which is added to the stream.",
  },
  {
    id: "hidden", title: "Hidden units", unit: "root mean square", log: true, of: "blocks",
    about: "The size of the feed-forward layer's units before the activation function.",
  },
  {
    id: "off", title: "Units that are off", unit: "share", log: false, of: "blocks",
    about: "The share of all pairs of a unit and a token in which the unit is off.",
  },
  {
    id: "dead", title: "Dead units", unit: "how many", log: false, of: "blocks",
    about: "Units that are off at every token of the batch: they add nothing, and no gradient " +
      "comes through them.",
  },
];

function runRender(root, context) {
  const { page, state, go } = context;
  const run = runArrays(page);
  const last = run.steps.length - 1;
  const quantity = runQuantities.find((q) => q.id === state.run) ?? runQuantities[0];
  const layer = run.layers.includes(state.layer) ? state.layer : null;
  const start = Math.min(Math.max(Number.parseInt(state.at ?? last, 10) || 0, 0), last);
  const width = Math.min(Math.max(root.clientWidth || 720, 300), 760);
  const body = h("div", {});
  const label = h("output", { class: "run-at", for: "run-slider" });
  const draw = (at) => {
    const view = { run, quantity, layer, at, width, context };
    label.replaceChildren(`step ${runGroup(run.steps[at])}`, h("span", { class: "run-faint" },
      ` (${at + 1} of ${last + 1})`));
    body.replaceChildren(...[runCurves(view), ...runPicture(view), ...runLayers(view),
      ...(layer === null ? [] : runParameters(view)), ...runDead(view)].filter(Boolean));
  };
  const slider = h("input", {
    type: "range", id: "run-slider", min: 0, max: last, step: 1, value: start,
    "aria-label": "Checkpoint", "aria-valuetext": `step ${run.steps[start]}`,
    "data-key": "run-slider", oninput: (event) => draw(Number(event.target.value)),
    onchange: (event) => go({ at: Number(event.target.value) }),
  });
  root.append(runAbout(run), h("div", { class: "run-scrubber" },
    h("button", { onclick: () => go({ at: start - 1 }), disabled: start === 0 }, "earlier"),
    slider,
    h("button", { onclick: () => go({ at: start + 1 }), disabled: start === last }, "later"), label),
  body);
  draw(start);
}

// --- the data --------------------------------------------------------------------------------

const runCache = new WeakMap();

// page.run with its arrays as typed arrays; a matrix (S, n) is a function (row, column) -> number.
function runArrays(page) {
  if (!runCache.has(page)) {
    const vector = (reference) => Array.from(page.array(reference).data);
    const matrix = (reference) => {
      const { data, shape } = page.array(reference);
      return (row, column) => data[row * shape[1] + column];
    };
    const { run } = page;
    const read = { ...run, metrics: {} };
    for (const name of ["steps", "loss", "clip", "lr"]) read[name] = vector(run[name]);
    for (const name of ["grad_norm", "weight_norm", "update_norm", "layer_grad_norm",
      "layer_ratio", "units", "dead", "off"]) read[name] = matrix(run[name]);
    read.scale = Object.fromEntries(Object.entries(run.scale).map(([k, v]) => [k, matrix(v)]));
    for (const [name, v] of Object.entries(run.metrics)) read.metrics[name] = vector(v);
    runCache.set(page, read);
  }
  return runCache.get(page);
}

function runGroup(n) {
  return n.toLocaleString("en");
}

// Rows of a quantity: {name, value(row of the checkpoint)}. With a layer, its parameters.
function runRows(run, quantity, layer) {
  if (quantity.of === "layers" && layer !== null) {
    const of = run.layers.indexOf(layer);
    return run.parameters.map((p, n) => ({ ...p, n })).filter((p) => p.layer === of).map((p) => ({
      name: p.name.startsWith(`${layer}.`) ? p.name.slice(layer.length + 1) : p.name,
      dashed: p.shape.length < 2,
      value: quantity.id === "gradient" ? (s) => run.grad_norm(s, p.n)
        : (s) => runRatio(run.update_norm(s, p.n), run.weight_norm(s, p.n)),
    }));
  }
  const table = { gradient: run.layer_grad_norm, ratio: run.layer_ratio, off: run.off, dead: run.dead,
    ...run.scale }[quantity.id];
  return (quantity.of === "layers" ? run.layers : run.blocks)
    .map((name, n) => ({ name, value: (s) => table(s, n) }));
}

function runRatio(update, weight) {
  return weight === 0 ? NaN : update / weight;
}

function runNumber(x) {
  return Number.isNaN(x) ? "-" : number(x);
}

// --- the parts of the view -------------------------------------------------------------------

const runOptimizers = { adamw: "AdamW", muon: "Muon", sgd: "SGD" };

function runAbout(run) {
  const { steps, batch } = run;
  const which = steps.length === 1 ? `One checkpoint of ${run.name}, of step ${runGroup(steps[0])}`
    : `${steps.length} checkpoints of ${run.name}, of steps ${runGroup(steps[0])} to ${runGroup(steps.at(-1))}`;
  return h("div", {},
    h("p", {}, `${which}, trained with ${runOptimizers[run.optimizer] ?? run.optimizer}. Each was measured on the same batch of `,
      `validation text: ${runGroup(batch.tokens)} tokens in rows of ${batch.length}.`),
    run.note && h("p", { class: "run-note" }, run.note));
}

function runCurves({ run, at, width, context }) {
  const { metrics, steps } = run;
  const series = [
    { name: "training", x: metrics.step, y: metrics.train_loss, colour: "var(--faint)", thin: true },
    { name: "validation", x: metrics.step, y: metrics.val_loss, colour: "var(--warm)", dots: true },
    { name: "this batch", x: steps, y: run.loss, colour: "var(--accent)", dots: true },
  ];
  return h("figure", { class: "run-figure" },
    h("figcaption", {}, "Loss, in nats per token"),
    runScatter({ series, width, height: 170, mark: steps[at], label: "Loss over the steps" }),
    runKey(series),
    h("p", {}, `Step ${runGroup(steps[at])}: the batch's loss is ${number(run.loss[at])}, the learning `,
      `rate ${number(run.lr[at])}, and the gradients `, run.clip[at] < 1
        ? `were clipped: scaled by ${number(run.clip[at])}.` : "were not clipped."),
    runTable("The losses", ["step", "this batch", "learning rate", "clip factor"], steps.map((s, n) => [
      h("a", { href: context.link({ at: n }) }, runGroup(s)), number(run.loss[n]), number(run.lr[n]),
      runNumber(run.clip[n])]), at));
}

function runKey(series) {
  return h("ul", { class: "run-key" }, series.map((s) => h("li", {},
    h("span", { class: "run-swatch", style: `border-top: 3px ${s.dashed ? "dotted" : "solid"} ${s.colour}` }),
    s.href ? h("a", { href: s.href }, s.name) : s.name)));
}

const runOpenTables = new Set(); // they stay open when the view is drawn anew

function runTable(what, head, rows, current) {
  return h("details", {
    class: "run-table", open: runOpenTables.has(head.join()), ontoggle: (event) => {
      runOpenTables[event.target.open ? "add" : "delete"](head.join());
    },
  }, h("summary", {}, `${what} as a table`),
    h("div", { class: "run-scroll scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row, n) => h("tr", n === current ? { "aria-current": "true" } : {},
        row.map((cell, column) => h(column === 0 ? "th" : "td", column === 0 ? { scope: "row" } : {},
          cell))))))));
}

function runPicture({ run, quantity, layer, at, width, context }) {
  const { link, go } = context;
  const rows = runRows(run, quantity, layer);
  const inside = quantity.of === "layers" && layer !== null;
  const values = rows.map((row) => run.steps.map((_, s) => row.value(s)));
  const open = (name) => (inside || quantity.of !== "layers" ? null : link({ layer: name }));
  const colours = rows.map((_, n) => runColour(n, rows.length));
  const chooser = h("nav", { class: "run-quantities", "aria-label": "What is shown" },
    runQuantities.map((q) => h("a", {
      href: link({ run: q.id }), "aria-current": q === quantity ? "true" : null,
    }, q.title)));
  const title = `${quantity.title} (${quantity.unit})${inside ? ` of the parameters of ${layer}` : ""}`;
  return [
    h("h3", {}, title), chooser, h("p", {}, quantity.about),
    inside && h("p", {}, h("a", { href: link({ layer: null }) }, "Back to all layers")),
    h("figure", { class: "run-figure" },
      runHeatMap({
        names: rows.map((row) => row.name), hrefs: rows.map((row) => open(row.name)), values,
        steps: run.steps, at, log: quantity.log, label: `${title}, by step`,
        choose: (n) => go({ at: n }), format: runNumber, width,
      }),
      run.steps.length > 1 && runLines({
        values, steps: run.steps, colours, width, height: 210, log: quantity.log,
        mark: run.steps[at], label: `${title}, as lines`, names: rows.map((row) => row.name),
        dashed: rows.map((row) => row.dashed),
      }),
      run.steps.length > 1 && runKey(rows.map((row, n) => ({
        name: row.name, colour: colours[n], href: open(row.name), dashed: row.dashed,
      }))),
      runTable(title, ["step", ...rows.map((row) => row.name)], run.steps.map((s, n) => [
        h("a", { href: link({ at: n }) }, runGroup(s)), ...values.map((v) => runNumber(v[n]))]), at)),
  ];
}

// From cold (the first layer) to warm (the last).
function runColour(n, count) {
  const share = count === 1 ? 0 : Math.round((100 * n) / (count - 1));
  return `color-mix(in oklab, var(--warm) ${share}%, var(--cold))`;
}

function runLayers({ run, layer, at, context }) {
  const blocks = new Map(run.blocks.map((name, n) => [name, n]));
  const head = ["layer", "|g|", "|w' - w| / |w|", "stream", "attention", "feed-forward", "hidden",
    "dead units", "off"];
  const rows = run.layers.map((name, n) => {
    const k = blocks.get(name);
    const own = k === undefined ? Array(6).fill("") : [
      ...["stream", "attention", "feed_forward", "hidden"].map((part) => number(run.scale[part](at, k))),
      `${run.dead(at, k)} of ${run.units(at, k)}`, runShare(run.off(at, k))];
    const link = h("a", { href: context.link({ layer: name === layer ? null : name }) }, name);
    return h("tr", name === layer ? { "aria-current": "true" } : {}, h("th", { scope: "row" }, link),
      [runNumber(run.layer_grad_norm(at, n)), runNumber(run.layer_ratio(at, n)), ...own]
        .map((text) => h("td", {}, text)));
  });
  return [
    h("h3", {}, `All layers at step ${runGroup(run.steps[at])}`),
    h("div", { class: "run-scroll scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows))),
    h("p", { class: "run-faint" }, "Stream, attention, feed-forward and hidden are root mean squares. " +
      "A layer's name opens its parameters."),
  ];
}

function runShare(x) {
  return `${number(100 * x)} %`;
}

function runParameters({ run, layer, at }) {
  const of = run.layers.indexOf(layer);
  const rows = run.parameters.map((p, n) => ({ ...p, n })).filter((p) => p.layer === of);
  return [
    h("h3", {}, `The parameters of ${layer} at step ${runGroup(run.steps[at])}`),
    h("div", { class: "run-scroll scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["parameter", "shape", "|g|", "|w|", "|w' - w|", "|w' - w| / |w|"]
        .map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((p) => h("tr", {}, h("th", { scope: "row" }, p.name),
        [shapeText(p.shape), number(run.grad_norm(at, p.n)), number(run.weight_norm(at, p.n)),
          runNumber(run.update_norm(at, p.n)),
          runNumber(runRatio(run.update_norm(at, p.n), run.weight_norm(at, p.n)))]
          .map((text) => h("td", {}, text))))))),
  ];
}

function runDead({ run, at }) {
  const dead = run.blocks.reduce((sum, _, k) => sum + run.dead(at, k), 0);
  const units = run.blocks.reduce((sum, _, k) => sum + run.units(at, k), 0);
  const ever = run.steps.some((_, s) => run.blocks.some((_, k) => run.dead(s, k) > 0));
  return [
    h("h3", {}, "Dead units"),
    h("p", {}, run.criterion),
    h("p", {}, `At step ${runGroup(run.steps[at])}, ${runGroup(dead)} of ${runGroup(units)} units are dead`,
      ever ? "." : ", and none is at any other of these steps."),
  ];
}
