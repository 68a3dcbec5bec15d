"""Every fused operation: its fast kernel against its reference, PyTorch and the machine's limits.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --ops layer_norm,attention --sizes gpt2
    python benchmarks/kernels.py --ops product

The reference is the operation in plain NumPy, one formula per line. The sizes are those in a
training step of the configurations in ``_train_engines.py``, and one so small that only the cost of
a call counts. Each operation is timed forward, and forward with backward: otherwise an operation
that computes its gradient during forward would look slow, and its backward free.

The speed of an operation made of matrix products is in GFLOP/s, and its limit that of a bare
product. The speed of any other is in GB/s, and its limit that of copying. Its bytes are those that
it cannot avoid: every input read once, every result written once. Arrays that fit in the caches may
exceed the limit. A kernel that is not faster than its reference should be deleted: such kernels are
listed below the table. The product of two matrices has a table of its own (``_products.py``).
"""

import argparse
import statistics
from dataclasses import dataclass

import _products
from _machine import (
    add_json_option,
    cores,
    environment,
    say_environment,
    seconds_of,
    table,
    write_json,
)
from _products import HIDDEN
from _workers import Worker, interpreters, serve, use_project_as_command


@dataclass(frozen=True)
class Size:
    """N = B T rows of C channels, H heads, V ids."""

    B: int
    T: int
    H: int
    C: int
    V: int

    @property
    def N(self):
        return self.B * self.T


SIZES = {
    "little": Size(B=1, T=32, H=2, C=32, V=64),
    "small": Size(B=16, T=256, H=6, C=384, V=512),
    "gpt2": Size(B=4, T=256, H=12, C=768, V=50257),
}
ENGINES = ("ours", "torch")


def work(op, s):
    """The least work possible: ("GB/s" or "GFLOP/s", forward, forward and backward)."""
    rows, hidden, scores = 4 * s.N * s.C, 4 * s.N * HIDDEN * s.C, 4 * s.N * s.V
    products = {
        "linear": 2 * s.N * s.C * HIDDEN * s.C,
        "feed_forward": 4 * s.N * s.C * HIDDEN * s.C,
        "linear_cross_entropy": 2 * s.N * s.C * s.V,
        "attention": 2 * s.N * s.T * s.C,  # q k^T and weights v, half of each: it is causal
        "grouped_query_attention": 2 * s.N * s.T * s.C,
        "muon": 5 * (4 * HIDDEN + 2) * s.C**3,  # five iterations of Newton-Schulz
    }
    if op in products:
        return "GFLOP/s", products[op], 3 * products[op]
    forward, backward = {
        "layer_norm": (2 * rows, 3 * rows),
        "rms_norm": (2 * rows, 3 * rows),
        "rope": (2 * rows, 2 * rows),
        "softmax": (2 * rows, 3 * rows),
        "gelu": (2 * hidden, 3 * hidden),
        "glu": (3 * hidden, 5 * hidden),
        "dropout": (2 * rows + s.N * s.C, 2 * rows + s.N * s.C),
        "embedding": (2 * rows, rows + 4 * s.V * s.C),
        "cross_entropy": (scores, 2 * scores),
        "adamw": (7 * 4 * HIDDEN * s.C * s.C, 0),
        "sgd": (5 * 4 * HIDDEN * s.C * s.C, 0),
    }[op]
    return "GB/s", forward, forward + backward


OPS = (
    "layer_norm rms_norm softmax gelu glu dropout embedding cross_entropy adamw sgd muon "
    "linear feed_forward rope attention grouped_query_attention linear_cross_entropy product"
).split()

OPTIMIZERS = ("adamw", "sgd", "muon")


def arrays(op, s):
    """The operation's float32 inputs, then its integers or another constant (or None)."""
    import numpy as np

    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    C = s.C
    floats = {
        "layer_norm": lambda: (normal(s.N, C), normal(C), normal(C)),
        "rms_norm": lambda: (normal(s.N, C), normal(C)),
        "rope": lambda: (normal(s.B, s.T, s.H, C // s.H),),
        "softmax": lambda: (normal(s.N, C),),
        "gelu": lambda: (normal(s.N, HIDDEN * C),),
        "glu": lambda: (normal(s.N, HIDDEN * C), normal(s.N, HIDDEN * C)),
        "dropout": lambda: (normal(s.N, C),),
        "embedding": lambda: (normal(s.V, C),),
        "cross_entropy": lambda: (normal(s.N, s.V),),
        **dict.fromkeys(OPTIMIZERS, lambda: (normal(HIDDEN * C, C), normal(HIDDEN * C, C))),
        "linear": lambda: (normal(s.N, C), normal(HIDDEN * C, C), normal(HIDDEN * C)),
        "feed_forward": lambda: (
            normal(s.N, C),
            normal(HIDDEN * C, C),
            normal(HIDDEN * C),
            normal(C, HIDDEN * C),
            normal(C),
        ),
        "attention": lambda: (normal(s.B, s.T, 3 * C),),
        "grouped_query_attention": lambda: tuple(
            normal(s.B, s.T, heads, C // s.H) for heads in (s.H, s.H // 2, s.H // 2)
        ),
        "linear_cross_entropy": lambda: (normal(s.N, C), normal(s.V, C) * np.float32(C**-0.5)),
    }[op]()
    if op == "rope":
        return floats, normal(s.T, 1, C // s.H // 2)  # cos and sin: any numbers will do
    with_ids = ("embedding", "cross_entropy", "linear_cross_entropy")
    return floats, rng.integers(0, s.V, s.N) if op in with_ids else None


# --- the engines: a call of forward, and one of forward and backward ------------------------------


def ours(op, s):
    """The operation as the model calls it; the second call adds the backward of its node."""
    import numpy as np

    from autograd import Parameter, ops
    from autograd.device import numpy_namespace
    from tinygrad_llm.training.optim import SGD, AdamW, Muon

    floats, constant = arrays(op, s)
    if op in OPTIMIZERS:
        p = Parameter(floats[0])
        p.grad = floats[1]
        make = {"adamw": AdamW, "sgd": lambda p: SGD(p, momentum=0.9), "muon": Muon}[op]
        return make([p]).step, None
    inputs = [Parameter(a) for a in floats]
    rng = np.random.default_rng(0)
    call = {
        "rope": lambda x: ops.rope(x, constant, constant),
        "gelu": lambda x: ops.gelu(x, approximate="tanh"),
        "glu": ops.swiglu,
        "feed_forward": lambda *xs: ops.feed_forward(*xs, approximate="tanh"),
        "dropout": lambda x: ops.dropout(x, 0.1, rng=rng),
        "embedding": lambda w: ops.embedding(w, constant),
        "cross_entropy": lambda x: ops.cross_entropy(x, constant),
        "attention": lambda x: ops.causal_attention(x, s.H),
        "grouped_query_attention": lambda *qkv: ops.grouped_query_attention(
            *(ops.swapaxes(x, 1, 2) for x in qkv)
        ),
        "linear_cross_entropy": lambda h, w: ops.linear_cross_entropy(h, w, constant),
    }.get(op) or getattr(ops, op)
    g = np.ones(call(*inputs).shape, np.float32)

    def both():
        node = call(*inputs)._node
        return node.backward(numpy_namespace, g, *node.saved)

    return lambda: call(*inputs), both


def torch(op, s):
    """The same in PyTorch, eager."""
    import torch
    from torch.nn import functional as F

    floats, constant = arrays(op, s)
    inputs = [torch.from_numpy(a).requires_grad_() for a in floats]
    constant = None if constant is None else torch.from_numpy(constant)
    if op in OPTIMIZERS:
        p, g = inputs
        p.grad = g.detach()
        make = {
            "adamw": lambda p: torch.optim.AdamW(p, fused=True),
            "sgd": lambda p: torch.optim.SGD(p, momentum=0.9, fused=True),
            "muon": torch.optim.Muon,
        }[op]
        return make([p]).step, None

    def attention(x):
        heads = (t.view(s.B, s.T, s.H, -1).transpose(1, 2) for t in x.split(s.C, dim=2))
        y = F.scaled_dot_product_attention(*heads, is_causal=True)
        return y.transpose(1, 2).reshape(s.B, s.T, s.C)

    def feed_forward(x, up_weight, up_bias, down_weight, down_bias):
        hidden = F.gelu(F.linear(x, up_weight, up_bias), approximate="tanh")
        return F.linear(hidden, down_weight, down_bias)

    def rope(x):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * constant - b * constant, a * constant + b * constant), dim=-1)

    call = {
        "rope": rope,
        "layer_norm": lambda x, w, b: F.layer_norm(x, (s.C,), w, b),
        "rms_norm": lambda x, w: F.rms_norm(x, (s.C,), w),
        "softmax": lambda x: F.softmax(x, -1),
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "glu": lambda a, b: F.silu(a) * b,
        "dropout": lambda x: F.dropout(x, 0.1),
        "embedding": lambda w: F.embedding(constant, w),
        "cross_entropy": lambda x: F.cross_entropy(x, constant),
        "linear": F.linear,
        "feed_forward": feed_forward,
        "attention": attention,
        "grouped_query_attention": lambda *qkv: F.scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in qkv), is_causal=True, enable_gqa=True
        ),
        "linear_cross_entropy": lambda h, w: F.cross_entropy(F.linear(h, w), constant),
    }[op]
    g = torch.ones_like(call(*inputs))
    return lambda: call(*inputs), lambda: torch.autograd.grad(call(*inputs), inputs, g)


def prepare(engine):
    """A worker: it answers an operation, a size and a mode with seconds (forward, both)."""
    if engine == "torch":
        import torch as library

        make, label = torch, f"torch {library.__version__}"
    else:
        use_project_as_command()
        import numpy as library

        make, label = ours, f"numpy {library.__version__}"

    def answer(op, size, mode, seconds):
        if engine == "torch":
            return [f and seconds_of(f, seconds) for f in make(op, SIZES[size])]
        if op == "limits":
            return limits(seconds)
        from autograd import use_kernels

        with use_kernels(mode):
            return [f and seconds_of(f, seconds) for f in make(op, SIZES[size])]

    return {"label": label}, answer


def limits(seconds):
    """Bytes per second of copying on all cores, and operations per second of a large product."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from tinygrad_llm.machine.speed import sgemm_rates

    n = cores()
    source = np.ones((n, 1 << 24), np.float32)  # 64 MB each, larger than the caches
    target = np.zeros_like(source)
    with ThreadPoolExecutor(n) as pool:
        took = seconds_of(lambda: list(pool.map(np.copyto, target, source)), seconds)
    return [2 * source.nbytes / took, statistics.median(sgemm_rates(2048, 3))]


# --- the table ------------------------------------------------------------------------------------


def measure(workers, names, sizes, seconds):
    """A dictionary for each operation, size and direction."""
    results = []
    for op in names:
        for size in sizes:
            unit, *amounts = work(op, SIZES[size])
            ask = {"op": op, "size": size, "seconds": seconds}
            times = {
                "kernel": workers["ours"].ask(mode="auto", **ask),
                "reference": workers["ours"].ask(mode="reference", **ask),
            }
            if "torch" in workers:
                times["torch"] = workers["torch"].ask(mode="", **ask)
            for i, direction in enumerate(("forward", "both")):
                one = {name: pair[i] for name, pair in times.items()}
                if one["kernel"] is not None:
                    rate = amounts[i] / one["kernel"]
                    results.append({"op": op, "size": size, "direction": direction, "unit": unit,
                                  "seconds": one, "rate": rate})  # fmt: skip
    return results


def report(results, bandwidth, gemm):
    names = [n for n in ("kernel", "reference", "torch") if n in results[0]["seconds"]]
    rows = [("operation", "size", "pass", *(f"{n} us" for n in names),
             *(f"x {n}" for n in names[1:]), "rate", "of limit")]  # fmt: skip
    for one in results:
        seconds = one["seconds"]
        limit = gemm if one["unit"] == "GFLOP/s" else bandwidth
        rows.append(
            (
                one["op"], one["size"], one["direction"],
                *(f"{seconds[n] * 1e6:,.0f}" for n in names),
                *(f"{seconds[n] / seconds['kernel']:.2f}" for n in names[1:]),
                f"{one['rate'] / 1e9:,.1f} {one['unit']}", f"{one['rate'] / limit:.0%}",
            )
        )  # fmt: skip
    print("\n" + table(rows, right=3))
    print("\nx reference, x torch: their time over the kernel's")
    print(f"limits: copying {bandwidth / 1e9:.1f} GB/s, sgemm 2048^3 {gemm / 1e9:.0f} GFLOP/s")
    large = [one for one in results if one["size"] != "little"]
    faster = {one["op"] for one in large if one["seconds"]["kernel"] < one["seconds"]["reference"]}
    slower = sorted({one["op"] for one in large} - faster)
    print(f"never faster than their reference: {', '.join(slower) or 'none'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ops", default=",".join(OPS))
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="shortest time of each measurement"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each column of product")
    parser.add_argument("--peer-python", action="append", default=[], metavar="ENGINE=PATH")
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        engine, _, products = options.serve.partition(" ")
        return serve(lambda: _products.prepare(engine, SIZES) if products else prepare(engine))
    names, sizes = options.ops.split(","), options.sizes.split(",")
    for chosen, known in ((names, OPS), (sizes, SIZES)):
        for name in chosen:
            if name not in known:
                parser.error(f"{name}: choose among {', '.join(known)}")
    if options.smoke:
        sizes, options.seconds, options.rounds = ["little"], 0.001, 1

    about = environment()
    say_environment(about)
    paths = interpreters(parser, options.peer_python, ENGINES)
    content = {"environment": about}
    if fused := [name for name in names if name != "product"]:
        content |= measure_fused(fused, sizes, options.seconds, paths)
    if "product" in names:
        large = {name: SIZES[name] for name in sizes if name != "little" or len(sizes) == 1}
        only = ("qkv",) if options.smoke else None
        content |= _products.measure(__file__, large, options.rounds, options.seconds, paths, only)
        _products.report(content)
    write_json(content, options.json)


def measure_fused(names, sizes, seconds, paths):
    """Measure and print the fused operations; all figures, as the dictionary for ``--json``."""
    workers = {}
    try:
        for engine in ENGINES:
            worker = Worker(__file__, "--serve", engine, interpreter=paths[engine])
            if worker.missing:
                print(f"{engine}: skipped, {worker.missing}")
                worker.stop()
            else:
                workers[engine] = worker
                print(f"{engine} ({worker.hello['label']})")
        ask = {"size": "little", "mode": "auto", "seconds": seconds}
        bandwidth, gemm = workers["ours"].ask(op="limits", **ask)
        results = measure(workers, names, sizes, seconds)
    finally:
        for worker in workers.values():
            worker.stop()
    report(results, bandwidth, gemm)
    return {"kernels": results, "copy_bytes_per_second": bandwidth, "gemm_flops": gemm}


if __name__ == "__main__":
    main()
