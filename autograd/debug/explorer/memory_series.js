// Bytes alive after every step, from the buffers that Python measured (memory_parts.py).

export const MEMORY_KINDS = ["tape", "waiting", "grad"];

const memoryRead = new WeakMap();

// The buffers of a series: [{kind, bytes, start, stop, holders: [{name, as, start, stop}]}]; a stop
// that never comes is Infinity.
export function memoryBuffers(page, series) {
  if (!memoryRead.has(series)) {
    const column = (name) => page.array(series[name]).data;
    const end = (x) => (x < 0 ? Infinity : x);
    const [kind, bytes, start, stop] = ["kind", "bytes", "start", "stop"].map(column);
    const [buffer, by, as, from, until] = ["buffer", "by", "as", "from", "until"].map(column);
    const buffers = Array.from(kind, (k, i) => ({ kind: MEMORY_KINDS[k], bytes: bytes[i], start: start[i], stop: end(stop[i]), holders: [] }));
    buffer.forEach((b, i) => buffers[b].holders.push({ name: series.names[by[i]], as: series.names[as[i]], start: from[i], stop: end(until[i]) }));
    memoryRead.set(series, buffers);
  }
  return memoryRead.get(series);
}

// The same buffers if no node were released: what the tape keeps stays to the end.
export function memoryRetained(buffers) {
  return buffers.map((b) => (b.kind === "tape" ? { ...b, stop: Infinity, holders: b.holders.map((x) => ({ ...x, stop: Infinity })) } : b));
}

// {tape, waiting, grad, total}: bytes after every step.
export function memoryCurves(buffers, steps) {
  const curves = Object.fromEntries([...MEMORY_KINDS, "total"].map((kind) => [kind, new Float64Array(steps)]));
  for (const { kind, bytes, start, stop } of buffers) {
    if (start < steps) curves[kind][start] += bytes;
    if (stop < steps) curves[kind][stop] -= bytes;
  }
  for (const kind of MEMORY_KINDS) {
    for (let n = 1; n < steps; n++) curves[kind][n] += curves[kind][n - 1];
    for (let n = 0; n < steps; n++) curves.total[n] += curves[kind][n];
  }
  return curves;
}

export function memoryPeak(curve) {
  let at = 0;
  curve.forEach((x, n) => { if (x > curve[at]) at = n; });
  return { at, bytes: curve[at] };
}

export function memoryAlive(buffers, n) {
  return buffers.filter((b) => b.start <= n && n < b.stop);
}
