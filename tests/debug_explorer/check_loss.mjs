// node check_loss.mjs FOLDER FILE: what loss_math.js computes for the rows in FILE, as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
const { lossJacobian, lossLimits, lossScaled } = await import(pathToFileURL(`${folder}/loss_math.js`));
const rows = JSON.parse(readFileSync(file, "utf-8"));
const text = (value) => (Number.isFinite(value) ? value : String(value));
console.log(JSON.stringify(rows.map(({ x, target, scales, p, y, r }) => ({
  scaled: scales.map((scale) => Object.values(lossScaled(Float32Array.from(x), target, scale))
    .map((way) => [way.p, way.loss, way.g].map(text))),
  limits: lossLimits(Float32Array.from(x), target),
  product: lossJacobian(Float32Array.from(p), Float32Array.from(y), Math.fround(r), "float32"),
}))));
