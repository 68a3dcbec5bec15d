"""What the engine itself costs: microseconds per operation on arrays with little arithmetic.

    python benchmarks/op_overhead.py
    python benchmarks/op_overhead.py --peer-python hips=OTHER_ENV/bin/python

Two workloads, forward and backward together: a chain of 50 ``sin`` on one element, and a network
of three linear layers with tanh on an (8, 16) batch. Every engine runs the same mathematics in
float64 on one thread, in a process of its own. The engines take turns, so that a busy moment of
the machine affects all of them, and the median of the turns is shown. An engine that is not
installed is skipped with a message. HIPS autograd has the same import name as this project's
engine, so it needs an environment of its own: give its interpreter with ``--peer-python``.
"""

import argparse
import platform
import statistics
import time

from _machine import core_type, cores, processor
from _workers import Worker, interpreters, serve, use_project

CHAIN = 50
OPS = {"chain": CHAIN, "mlp": 10}
"""Operations per run. The network's: three products and three sums, two tanh, a square, a mean."""
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
TARGET = 3.0  # microseconds per op on the chain
AGAINST_TORCH = 1.2


def arrays():
    """The input, then weight and bias of every layer."""
    import numpy as np

    rng = np.random.default_rng(0)
    widths = [16, 32, 32, 1]
    layers = [
        (rng.standard_normal((m, n)) / m**0.5, np.zeros(n))
        for m, n in zip(widths, widths[1:], strict=False)
    ]
    return rng.standard_normal((8, 16)), [a for layer in layers for a in layer]


def network(x, parameters, tanh):
    """The loss of the network, for any library whose arrays have operators."""
    w1, b1, w2, b2, w3, b3 = parameters
    y = tanh(tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3
    return (y * y).mean()


def ours():
    """This project's engine."""
    use_project()
    import numpy as np

    from autograd import IS_TINYGRAD_LLM, Tensor, ops

    assert IS_TINYGRAD_LLM
    x = Tensor(np.array([0.5]), requires_grad=True)
    batch, values = arrays()
    batch = Tensor(batch)
    parameters = [Tensor(v, requires_grad=True) for v in values]

    def chain():
        y = x
        for _ in range(CHAIN):
            y = ops.sin(y)
        y.backward()
        gradient, x.grad = x.grad.data, None
        return gradient

    def mlp():
        network(batch, parameters, ops.tanh).backward()
        gradient = parameters[0].grad.data
        for p in parameters:
            p.grad = None
        return gradient

    return f"numpy {np.__version__}", chain, mlp


def torch():
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    x = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    batch, values = arrays()
    batch = torch.from_numpy(batch)
    parameters = [torch.from_numpy(v).requires_grad_() for v in values]

    def chain():
        y = x
        for _ in range(CHAIN):
            y = torch.sin(y)
        y.backward()
        gradient, x.grad = x.grad.numpy(), None
        return gradient

    def mlp():
        network(batch, parameters, torch.tanh).backward()
        gradient = parameters[0].grad.numpy()
        for p in parameters:
            p.grad = None
        return gradient

    return f"torch {torch.__version__}", chain, mlp


def jax():
    """JAX without jit: one dispatch per operation, as a learner's loop would run it."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    x = jnp.array([0.5])
    batch, values = arrays()
    batch, parameters = jnp.asarray(batch), [jnp.asarray(v) for v in values]

    def sines(y):
        for _ in range(CHAIN):
            y = jnp.sin(y)
        return y[0]

    slope = jax.grad(sines)
    slopes = jax.grad(lambda p: network(batch, p, jnp.tanh))
    return (
        f"jax {jax.__version__}",
        lambda: np.asarray(slope(x)),
        lambda: np.asarray(slopes(parameters)[0]),
    )


def hips():
    """HIPS autograd: the NumPy engine that JAX grew out of."""
    from importlib.metadata import version

    import autograd.numpy as anp

    from autograd import grad

    batch, values = arrays()

    def sines(y):
        for _ in range(CHAIN):
            y = anp.sin(y)
        return y[0]

    slope = grad(sines)
    slopes = grad(lambda p: anp.mean(network_output(batch, p, anp) ** 2))
    x = anp.array([0.5])
    return f"autograd {version('autograd')}", lambda: slope(x), lambda: slopes(values)[0]


def network_output(x, parameters, xp):
    """The network's y in functions, for arrays whose operators lack some methods."""
    w1, b1, w2, b2, w3, b3 = parameters
    h = xp.tanh(xp.dot(xp.tanh(xp.dot(x, w1) + b1), w2) + b2)
    return xp.dot(h, w3) + b3


ENGINES = {"ours": ours, "torch": torch, "jax": jax, "hips": hips}


def prepare(engine):
    """A worker: it answers a workload and a time with microseconds per operation."""
    label, chain, mlp = ENGINES[engine]()
    work = {"chain": chain, "mlp": mlp}
    for run in work.values():
        for _ in range(20):
            run()
    sums = {name: float(run().sum()) for name, run in work.items()}

    def answer(workload, seconds):
        run, count = work[workload], 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            for _ in range(10):
                run()
            count += 10
        took = time.perf_counter() - start
        return took / count / OPS[workload] * 1e6

    return {"label": label, "sums": sums}, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer-python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="per turn and workload")
    parser.add_argument("--serve", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(lambda: prepare(options.serve))
    paths = interpreters(parser, options.peer_python, ENGINES)

    print(f"Python {platform.python_version()}, {processor()}, {cores()} cores, ", end="")
    print(f"BLAS core type {core_type()}, one thread each")
    workers, labels, sums = {}, {}, {}
    try:
        for name in ENGINES:
            worker = Worker(__file__, "--serve", name, interpreter=paths[name], environment=THREADS)
            if worker.missing:
                print(f"{name}: skipped, {worker.missing}")
                worker.stop()
                continue
            workers[name] = worker
            labels[name], sums[name] = worker.hello["label"], worker.hello["sums"]
        for name, own in sums.items():
            for workload, value in own.items():
                expected = sums["ours"][workload]
                if abs(value - expected) > 1e-9 * max(1.0, abs(expected)):
                    raise SystemExit(f"{workload}: {name} computes {value}, ours {expected}")
        times = {(name, w): [] for name in workers for w in OPS}
        for _ in range(options.turns):
            for name, worker in workers.items():
                for workload in OPS:
                    took = worker.ask(workload=workload, seconds=options.seconds)
                    times[name, workload].append(took)
    finally:
        for worker in workers.values():
            worker.stop()
    report(labels, times)


def report(labels, times):
    print(f"\n{'microseconds per op':30}{'chain of 50 sin':>26}{'MLP on (8, 16)':>26}")
    medians = {key: statistics.median(values) for key, values in times.items()}
    for name, label in labels.items():
        print(f"{name + ' (' + label + ')':30}", end="")
        for workload in OPS:
            low, high = min(times[name, workload]), max(times[name, workload])
            cell = f"{medians[name, workload]:.2f} [{low:.2f}, {high:.2f}]"
            print(f"{cell:>26}", end="")
        print()
    chain = medians["ours", "chain"]
    print("\nmedian [lowest, highest] of the turns")
    print(f"chain: {chain:.2f} microseconds per op (target: at most {TARGET})")
    if "torch" in labels:
        for workload in OPS:
            ratio = medians["ours", workload] / medians["torch", workload]
            print(f"{workload}: {ratio:.2f} times PyTorch (target: at most {AGAINST_TORCH})")


if __name__ == "__main__":
    main()
