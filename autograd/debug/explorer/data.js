// Reads the data of the page: JSON, in which arrays are references into one block of bytes.

const dataTypes = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array,
};

// JSON has no NaN and no infinity: they are written as these strings.
export function readNumber(x) {
  if (x === "nan") return NaN;
  if (x === "inf") return Infinity;
  if (x === "-inf") return -Infinity;
  return x;
}

// The page of its document, a JSON text, and the bytes of its arrays: a buffer, or base64.
export function loadPage(json, arrays) {
  return new Page(JSON.parse(json), typeof arrays === "string" ? fromBase64(arrays).buffer : arrays);
}

export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// What was compressed by gzip and written as base64, as a buffer.
export async function unpacked(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export class Page {
  constructor(document, buffer) {
    Object.assign(this, document);
    this.buffer = buffer;
    this.arrayCache = new Map();
    this.graphs = (document.graphs ?? []).map((graph) => new Graph(this, graph));
  }

  // The array of a reference: {data: typed array, shape, dtype}.
  array(reference) {
    const number = reference.$;
    if (!this.arrayCache.has(number)) {
      const [dtype, shape, offset] = this.arrays[number];
      const size = shape.reduce((a, b) => a * b, 1);
      const data = new dataTypes[dtype](this.buffer, offset, size);
      this.arrayCache.set(number, { data, shape, dtype });
    }
    return this.arrayCache.get(number);
  }

  // A new reference to an array that was not embedded.
  addArray(array) {
    this.arrays.push(null);
    this.arrayCache.set(this.arrays.length - 1, array);
    return { $: this.arrays.length - 1 };
  }

  graph(name) {
    return this.graphs.find((graph) => graph.name === name) ?? this.graphs[0] ?? null;
  }
}

export class Graph {
  constructor(page, document) {
    Object.assign(this, document);
    this.page = page;
    this.keys = new Map();
    this.usedBy = new Map(); // id of a tensor -> ids of the lines that read it
    for (const tensor of this.tensors) {
      tensor.sample ??= null;
      tensor.grad = null;
      tensor.contributions = [];
      if (tensor.key !== undefined) this.keys.set(tensor.key, tensor);
    }
    for (const tensor of this.tensors) {
      if (tensor.kind === "gradient") this.tensors[tensor.of].grad = tensor.id;
      if (tensor.kind === "contribution") this.tensors[tensor.of].contributions.push(tensor.id);
    }
    this.lines.forEach((line, id) => {
      line.id = id;
      line.attrs ??= {};
      for (const input of line.inputs) {
        if (typeof input !== "number") continue;
        if (!this.usedBy.has(input)) this.usedBy.set(input, []);
        this.usedBy.get(input).push(id);
      }
    });
    this.steps.forEach((step) => {
      for (const line of step.lines) this.lines[line].step ??= step.n;
    });
  }

  byKey(key) {
    return this.keys.get(key) ?? null;
  }

  // The embedded elements of a tensor as a typed array, or null where nobody kept them. Of a sampled
  // tensor (tensor.sample) they are those of the grid sample[0] x sample[1] x ...
  values(id) {
    const { data } = this.tensors[id];
    return data === null ? null : this.page.array(data).data;
  }
}

// Flat index <-> cell, in C order.
export function cellOf(flat, shape) {
  const cell = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    cell[axis] = flat % shape[axis];
    flat = Math.floor(flat / shape[axis]);
  }
  return cell;
}

export function flatOf(cell, shape) {
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++) flat = flat * shape[axis] + cell[axis];
  return flat;
}

// The element of a tensor at a cell; null if it is not embedded.
export function valueAt(graph, id, cell) {
  const tensor = graph.tensors[id];
  const values = graph.values(id);
  if (values === null) return null;
  if (tensor.sample === null) return values[flatOf(cell, tensor.shape)];
  const places = cell.map((index, axis) => tensor.sample[axis].indexOf(index));
  if (places.includes(-1)) return null;
  return values[flatOf(places, tensor.sample.map((axis) => axis.length))];
}
