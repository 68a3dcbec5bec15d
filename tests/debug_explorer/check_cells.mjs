// node check_cells.mjs FOLDER DATA: explains every cell of every tensor in DATA (the page's JSON, a
// line break, its arrays), and prints as JSON what did not agree with the stored number.

import { readFileSync } from "node:fs";

const [folder, file] = process.argv.slice(2);
const { cellOf, loadPage } = await import(`${folder}/data.js`);
const { explainCell } = await import(`${folder}/rules.js`);
const { largestCell } = await import(`${folder}/cells.js`);
const { holdsGradient, towardsLoss } = await import(`${folder}/towards.js`);
const { usesOf } = await import(`${folder}/uses.js`);
const { ruleInWords } = await import(`${folder}/words.js`);

const page = loadPage(...readFileSync(file, "utf8").split("\n"));
const result = { cells: 0, uses: 0, equal: 0, rules: {}, opaque: {}, wrong: [], silent: [], strays: [], lost: [] };

// Whether the way along the largest terms of a gradient ends with the 1 of the loss.
function checkWay(graph, id) {
  let at = { id, cell: largestCell(graph, graph.tensors[id]) };
  for (let next = at; next !== null; next = towardsLoss(graph, explainCell(graph, at.id, at.cell))) at = next;
  const { kind, of } = graph.tensors[at.id];
  if (of !== graph.loss || !["gradient", "contribution"].includes(kind)) result.lost.push([graph.name, id, at]);
}

// Whether what a cell goes into has it among its terms.
function checkUses(graph, id, cell) {
  for (const use of usesOf(graph, id, cell)) {
    if (use.cell === null) continue;
    const { terms } = explainCell(graph, use.line.out, use.cell);
    const reads = (factor) => factor.id === id && String(factor.cell) === String(cell);
    if (!terms.some((term) => term.factors.some(reads))) {
      result.strays.push({ graph: graph.name, id, cell, op: use.line.op, into: use.cell });
    }
    result.uses += 1;
  }
}

for (const graph of page.graphs) {
  graph.tensors.forEach((tensor, id) => {
    const size = tensor.shape.reduce((a, b) => a * b, 1);
    for (let flat = 0; flat < size; flat += 1 + Math.floor(size / 12)) {
      checkUses(graph, id, cellOf(flat, tensor.shape));
    }
    if (tensor.line === null || tensor.data === null) return;
    if (size > 0 && holdsGradient(graph, id)) checkWay(graph, id);
    const { rule, op, attrs } = graph.lines[tensor.line];
    for (let flat = 0; flat < size; flat++) {
      const cell = cellOf(flat, tensor.shape);
      const found = explainCell(graph, id, cell);
      const words = ruleInWords(graph, found);
      if (!/^.+[.]$/.test(words) || /undefined|null/.test(words)) {
        result.silent.push([graph.name, op, words]);
      }
      if (rule === "opaque") {
        result.opaque[op] = (result.opaque[op] ?? 0) + 1;
        continue;
      }
      result.cells += 1;
      result.rules[rule] = (result.rules[rule] ?? 0) + 1;
      if (found.ulps === 0) result.equal += 1;
      if (found.agrees !== true) {
        const { agrees, total, stored, ulps, bound } = found;
        result.wrong.push({ graph: graph.name, id, op, rule, attrs, cell, agrees, total, stored, ulps, bound });
      }
    }
  });
}
console.log(JSON.stringify(result));
