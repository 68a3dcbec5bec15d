// The bug hunt as numbers: what every step hands on with a bug planted, and what the proof says.

const zooRead = new WeakMap();

// {rows, records, bugs}. A row is one backward step: {n, op, key, arrives, hands: [{input, key, record}]},
// where `arrives` and `record` are numbers of records. A record is {shape, cells, proof, tolerance, norm}.
// A bug has {gradients: one array of sampled elements for each record, norms}.
export function zooHunt(page, graph) {
  const data = graph.bugs;
  if (!zooRead.has(data)) {
    const array = (reference) => page.array(reference).data;
    const first = array(data.first), cut = (values, i) => values.subarray(first[i], first[i + 1]);
    const [cells, proof, tolerance, norms] = [data.cells, data.proof, data.tolerance, data.norms].map(array);
    const records = data.shapes.map((shape, i) => ({ shape, cells: cut(cells, i), proof: cut(proof, i), tolerance: tolerance[i], norm: norms[i] }));
    const steps = graph.steps.filter((step) => step.phase === "backward" || step.phase === "leaf");
    const rows = data.rows.map((row, i) => ({ ...row, n: steps[i].n }));
    const bugs = data.bugs.map((bug) => {
      const gradients = array(bug.gradients);
      return { ...bug, gradients: records.map((_, i) => cut(gradients, i)), norms: array(bug.norms) };
    });
    zooRead.set(data, { rows, records, bugs });
  }
  return zooRead.get(data);
}

// Whether a gradient misses the proof at one of the sampled elements.
export function zooDiffers(record, gradient) {
  return record.proof.some((slope, i) => !(Math.abs(gradient[i] - slope) <= record.tolerance));
}

// What of a row differs: {arrives, hands: [true or false]}.
export function zooVerdict(hunt, bug, row) {
  const differs = (record) => zooDiffers(hunt.records[record], bug.gradients[record]);
  return { arrives: differs(row.arrives), hands: row.hands.map(({ record }) => differs(record)) };
}

// The first row at which gradient and proof part; null if they nowhere do.
export function zooFirst(hunt, bug) {
  return hunt.rows.find((row) => {
    const { arrives, hands } = zooVerdict(hunt, bug, row);
    return arrives || hands.includes(true);
  }) ?? null;
}

// How many leaves get a wrong gradient, of how many.
export function zooHarm(hunt, bug) {
  const leaves = hunt.rows.filter((row) => row.op === "");
  return { wrong: leaves.filter((row) => zooVerdict(hunt, bug, row).arrives).length, leaves: leaves.length };
}
