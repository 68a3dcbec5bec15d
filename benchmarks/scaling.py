"""How time and memory of a training step grow with T, L, C, B and V, as a table and a picture.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --axes T --out scaling.png

One size changes at a time. Each point is measured in a new process, since a process keeps its
memory. The exponents are slopes of straight lines through the points on logarithmic axes: 1 is
linear, 2 quadratic. Time has three curves: the step, attention alone (forward and backward), and
the rest. Memory has two: the tape, which the graph keeps for backward, and the peak of the
process's memory less what it held before the model was made.

Memory should be linear in T, since attention keeps no weights (T, T), and its time quadratic.
"""

import argparse
import math
import statistics
import time
from dataclasses import replace

from _machine import (
    add_json_option,
    environment,
    forget_peak_rss,
    peak_rss,
    say_environment,
    table,
    write_json,
)
from _train_engines import Config, gpt_config, one_step
from _workers import Worker, serve, use_project_as_command

BASE = Config(L=2, H=4, C=256, V=512, B=4, T=256, block=4096)
AXES = {
    "T": (256, 512, 1024, 2048, 4096),
    "L": (1, 2, 4, 8),
    "C": (128, 256, 512, 1024),
    "B": (1, 2, 4, 8, 16),
    "V": (512, 2048, 8192, 32768),
}
CURVES = ("step", "attention", "rest", "tape", "resident")
STEPS = 3


def at(axis, value):
    """The configuration of a point. A longer context has a batch of 1; heads keep 64 channels."""
    config = replace(BASE, **{axis: value})
    if axis == "T":
        return replace(config, B=1)
    return replace(config, H=value // 64) if axis == "C" else config


def prepare(config):
    """A worker that measures one point; the figures are its first message."""
    use_project_as_command()
    from autograd.debug import profile
    from tinygrad_llm.machine.warmup import compile_kernels
    from tinygrad_llm.model.gpt import GPT

    shape = gpt_config(config)
    compile_kernels(shape)
    forget_peak_rss()
    before = peak_rss()
    step = one_step(GPT(shape), config)
    step()
    forget_peak_rss()
    times = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    resident = peak_rss() - before
    attention = []
    for _ in range(STEPS):
        with profile() as observed:
            step()
        attention.append(observed.rows()["CausalAttention"].seconds)
    whole, inside = statistics.median(times), statistics.median(attention)
    hello = {
        "step": whole,
        "attention": inside,
        "rest": max(whole - inside, 1e-9),
        "tape": observed.peak.bytes,
        "resident": max(resident, 1),
    }
    return hello, None


def exponent(sizes, values):
    """The slope of the line through the points, on logarithmic axes."""
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    centre_x, centre_y = statistics.fmean(x), statistics.fmean(y)
    along = sum((a - centre_x) * (b - centre_y) for a, b in zip(x, y, strict=True))
    return along / sum((a - centre_x) ** 2 for a in x)


def draw(results, path):
    """A column for each axis: time above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(results), figsize=(3.4 * len(results), 6.4), squeeze=False, layout="constrained"
    )
    for column, (axis, one) in zip(axes.T, results.items(), strict=True):
        for plot, curves, scale, unit in (
            (column[0], CURVES[:3], 1.0, "seconds per step"),
            (column[1], CURVES[3:], 1e-6, "memory, MB"),
        ):
            for curve in curves:
                values = [v * scale for v in one["values"][curve]]
                label = f"{curve}, ~ {axis}^{one['exponents'][curve]:.2f}"
                plot.loglog(one["sizes"], values, "o-", markersize=4, label=label)
            plot.set_xlabel(axis)
            plot.set_ylabel(unit)
            plot.set_xticks(one["sizes"], [str(s) for s in one["sizes"]])
            plot.minorticks_off()
            plot.grid(alpha=0.3)
            plot.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--axes", default=",".join(AXES))
    parser.add_argument("--points", type=int, default=99, help="points per axis, from the smallest")
    parser.add_argument("--out", default="scaling.png", help="the picture")
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        axis, value = options.serve
        return serve(lambda: prepare(at(axis, int(value))))
    if options.smoke:
        options.axes, options.points = "B", 2
    names = options.axes.split(",")
    for name in names:
        if name not in AXES:
            parser.error(f"--axes {name}: choose among {', '.join(AXES)}")
    if options.points < 2:
        parser.error("--points must be at least 2: a line needs two points")

    about = environment()
    say_environment(about)
    print(f"sizes that do not change: {BASE} (along T: B1)\n")
    results = {}
    rows = [("", "step ms", "attention ms", "rest ms", "tape MB", "resident MB")]
    for axis in names:
        sizes = AXES[axis][: options.points]
        values = {curve: [] for curve in CURVES}
        for size in sizes:
            worker = Worker(__file__, "--serve", axis, size)
            worker.stop()
            for curve in CURVES:
                values[curve].append(worker.hello[curve])
            last = [values[c][-1] * (1e3 if c in CURVES[:3] else 1e-6) for c in CURVES]
            rows.append((f"{axis} = {size}", *(f"{v:,.1f}" for v in last)))
        slopes = {curve: exponent(sizes, values[curve]) for curve in CURVES}
        rows.append((f"~ {axis}^", *(f"{slopes[c]:.2f}" for c in CURVES)))
        results[axis] = {"sizes": list(sizes), "values": values, "exponents": slopes}
    print(table(rows))
    draw(results, options.out)
    print(f"\npicture: {options.out}")
    write_json({"base": vars(BASE), "axes": results, "environment": about}, options.json)


if __name__ == "__main__":
    main()
