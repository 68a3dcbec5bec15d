"""The matrix products of a training step: ours, NumPy's and PyTorch's, and the machine's limit.

    python benchmarks/kernels.py --ops product
    python benchmarks/kernels.py --ops product --sizes gpt2 --rounds 9

A linear layer has three: forward y = x W^T, and the gradients g_x = g W and g_W = g^T x. The
matrices lie in memory as they do in a step. The columns, all in GFLOP/s:

    sgemm           NumPy
    float32         ours (TINYGRAD_LLM_BLAS=kernel)
    bf16            ours; both operands are packed (rounded and laid out anew) in the time measured
    bf16, packed    ours; the right one was packed before, as a weight in the further micro-batches
    torch           PyTorch, float32; without the vendor check of its MKL if there is a C compiler
    torch bf16      PyTorch; operands and result are bf16
    torch, casts    the same from float32 operands, as in autocast

The engines take turns, each in a process of its own, and medians are compared. The limits are the
speed of multiply-adds in registers (``_registers.py``).
"""

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from _machine import say_method, seconds_of, table
from _preload import NoCompiler, vendor_library
from _workers import Worker, use_project_as_command

HIDDEN = 4  # the hidden layer of a feed-forward layer has HIDDEN C channels
FOREVER = ExitStack()  # what is entered here ends with the process
DIRECTIONS = ("forward", "g_x", "g_W")
COLUMNS = {
    "ours": ("sgemm", "float32", "bf16", "bf16, packed"),
    "torch": ("torch", "torch bf16", "torch, casts"),
}


def layers(size):
    """The linear layers of a GPT-2 of this size: name -> channels (in, out)."""
    C = size.C
    return {
        "qkv": (C, 3 * C),
        "proj": (C, C),
        "fc": (C, HIDDEN * C),
        "fc2": (HIDDEN * C, C),
        "head": (C, size.V),
    }


def shape(size, layer, direction):
    """(M, K, N) of a product of (M, K) and (K, N)."""
    n_in, n_out = layers(size)[layer]
    return {
        "forward": (size.N, n_in, n_out),
        "g_x": (size.N, n_out, n_in),
        "g_W": (n_out, size.N, n_in),
    }[direction]


def operands(size, layer, direction):
    """The two float32 matrices, views that lie in memory as in a step."""
    import numpy as np

    rng, (n_in, n_out) = np.random.default_rng(0), layers(size)[layer]

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    if direction == "forward":
        return normal(size.N, n_in), normal(n_out, n_in).T
    if direction == "g_x":
        return normal(size.N, n_out), normal(n_out, n_in)
    return normal(size.N, n_out).T, normal(size.N, n_in)


# --- the engines: a call for each column ----------------------------------------------------------


def ours(a, b):
    import numpy as np

    from autograd.kernels.product.choice import method
    from autograd.kernels.product.cpu import Weight, empty, multiply

    out, fast = empty((len(a), b.shape[1])), method("bf16") is not None
    own = method("float32") is not None

    return {
        "sgemm": lambda: np.matmul(a, b, out=out),
        "float32": (lambda: multiply(a, b, out, "float32")) if own else None,
        "bf16": lambda: multiply(a, b, out, "bf16"),
        "bf16, packed": (lambda: multiply(a, Weight(b), out, "bf16")) if fast else None,
    }


def torch(a, b):
    import torch

    a, b = torch.from_numpy(a), torch.from_numpy(b)
    half_a, half_b = a.bfloat16(), b.bfloat16()  # they keep the strides
    out, half_out = a @ b, half_a @ half_b
    return {
        "torch": lambda: torch.mm(a, b, out=out),
        "torch bf16": lambda: torch.mm(half_a, half_b, out=half_out),
        "torch, casts": lambda: torch.mm(a.bfloat16(), b.bfloat16(), out=half_out),
    }


def prepare(engine, sizes):
    """A worker: it makes ready for a product, and answers a column with seconds."""
    calls = {}
    if engine == "torch":
        import torch as library

        make, hello = torch, {"label": f"torch {library.__version__}"}
    else:
        use_project_as_command()
        os.environ["TINYGRAD_LLM_BLAS"] = "kernel"  # np.matmul, sgemm's column, stays NumPy's
        import numpy as library

        from autograd.kernels.product import method, packed_weights_held, why_not

        FOREVER.enter_context(packed_weights_held())
        hello = {"label": f"numpy {library.__version__}", "method": method(), "why_not": why_not()}
        make = ours

    def answer(what, seconds, column=None, size=None, layer=None, direction=None):
        if what == "limits":
            from _registers import limit

            return {precision: limit(precision, seconds) for precision in ("float32", "bf16")}
        if what == "make":
            calls.clear()  # the matrices before are large
            calls.update(make(*operands(sizes[size], layer, direction)))
            return None
        return calls[column] and seconds_of(calls[column], seconds, calls=1)

    return hello, answer


# --- the table ------------------------------------------------------------------------------------


def measure(script, sizes, rounds, seconds, paths, some=None):
    """All figures, as the dictionary for ``--json``; ``some`` names the layers, if not all."""
    workers, results = {}, []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for engine in COLUMNS:
                worker = Worker(script, "--serve", f"{engine} products", interpreter=paths[engine],
                                environment=preload(engine, folder))  # fmt: skip
                if worker.missing:
                    worker.stop()
                else:
                    workers[engine] = worker
            for name, size in sizes.items():
                for layer in some or layers(size):
                    for direction in DIRECTIONS:
                        one = {"size": name, "layer": layer, "direction": direction}
                        M, K, N = shape(size, layer, direction)
                        rates = measure_one(workers, one, 2 * M * K * N, rounds, seconds)
                        limits = workers["ours"].ask(what="limits", seconds=seconds)
                        results.append(
                            {**one, "M": M, "K": K, "N": N, "flops": rates, "limits": limits}
                        )
        finally:
            for worker in workers.values():
                worker.stop()
    rates = {name: [one["limits"][name] for one in results] for name in ("float32", "bf16")}
    return {
        "products": results,
        "limits": {
            name: None if None in some else statistics.median(some) for name, some in rates.items()
        },
        **{name: workers["ours"].hello[name] for name in ("method", "why_not")},
    }


def preload(engine, folder):
    """The environment of a worker: PyTorch's MKL runs its fastest kernels if that is possible."""
    if engine != "torch":
        return {}
    try:
        return {"LD_PRELOAD": str(vendor_library(Path(folder)))}
    except NoCompiler:
        return {}


def measure_one(workers, one, operations, rounds, seconds):
    """Operations per second of a product, by column; None for one that this machine lacks."""
    for worker in workers.values():
        worker.ask(what="make", seconds=seconds, **one)
    times = {column: [] for engine in workers for column in COLUMNS[engine]}
    for _ in range(rounds):
        for engine, worker in workers.items():
            for column in COLUMNS[engine]:
                times[column].append(worker.ask(what="time", column=column, seconds=seconds))
    return {
        column: None if None in some else operations / statistics.median(some)
        for column, some in times.items()
    }


def report(found, say=print):
    """Print the products, and what part of the machine's limit the two of ours reach."""
    columns = list(found["products"][0]["flops"])
    limits = found["limits"]
    rows = [("size", "product", "M", "K", "N", *columns, "of limit", "bf16, of limit")]
    for one in found["products"]:
        flops = one["flops"]
        shares = [
            f"{flops[name] / limits[name]:.0%}" if flops[name] and limits[name] else ""
            for name in ("float32", "bf16")
        ]
        rates = ["" if flops[name] is None else f"{flops[name] / 1e9:,.0f}" for name in columns]
        where = one["size"], f"{one['layer']} {one['direction']}", one["M"], one["K"], one["N"]
        rows.append((*where, *rates, *shares))
    say("\n" + table(rows, right=2))
    parts = [f"{name} {rate / 1e9:,.0f}" for name, rate in limits.items() if rate]
    say(f"\nproducts in GFLOP/s; multiply-adds in registers: {', '.join(parts) or 'not known'}")
    say_method(found, say)
