// node check_proof.mjs FOLDER DATA: reads the proof of the first graph in DATA (the page's JSON, a
// line break, its arrays) as the page does, and prints as JSON what it would show.

import { readFileSync } from "node:fs";

const [folder, file] = process.argv.slice(2);
const { loadPage } = await import(`${folder}/data.js`);
const { proofGap, proofOf, proofOverview, proofRelativePart } = await import(`${folder}/proof_data.js`);
const { curveBest, curveErrors, curveLaws, curveValley } = await import(`${folder}/curve.js`);

const page = loadPage(...readFileSync(file, "utf8").split("\n"));
const [graph] = page.graphs;
const { checks, curves } = proofOf(graph);
console.log(JSON.stringify({
  checks: checks.length,
  gaps: checks.map((check) => proofGap(check).gap),
  parts: checks.map((check) => proofRelativePart(check) + check.noise + check.rounding),
  overview: proofOverview(graph).length,
  curves: curves.map((curve) => {
    const laws = curveLaws(curve, graph.proof.loss);
    return [
      curveBest(curveErrors(curve.slopes32, curve.exact)),
      curveBest(curveErrors(curve.slopes64, curve.exact)),
      curveValley(laws, "float64"), laws.truncation,
    ];
  }),
}));
