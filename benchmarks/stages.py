"""What each optimisation buys: one training step, from plain NumPy to the engine as it is.

    python benchmarks/stages.py --config small
    python benchmarks/stages.py --config small --markdown

A step is the trainer's own: forward, backward, clipping and AdamW. The stages, in
tinygrad_llm/machine/stages.py, add up: each keeps what those before it have. Each is a process of
its own, since two of them are settings of a process; all begin with the same weights and are given
the same batches, and they take turns. A stage whose losses are not the first stage's is an error.

"bought" is the time of the stage before less its own, "x" how many times as fast a stage is as the
one before and as the first; medians of the steps are compared. What a stage buys depends on the
size of the model, and on what is there already.

``--markdown`` prints the table as docs/performance.md has it. All processes are alive at once: for
gpt2 that takes some 20 GB of memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from _machine import environment, say_environment, spread, table
from _train_engines import CONFIGS, Ours, prepare
from _workers import ROOT, Worker, serve, use_project
from train_step import CURVES, SIZES, TURN

use_project()
from tinygrad_llm.machine.stages import STAGES, set_up_process, stage_kernels  # noqa: E402

TRAIN_STEP = ROOT / "benchmarks" / "train_step.py"  # writes weights, and measures the bare product


class AtStage(Ours):
    """The trainer's step with the stages 0 to ``mode``, an integer, and none after."""

    def set_up_process(self, mode):
        set_up_process(mode)
        self.kernels = stage_kernels(mode)

    def step(self, x, y):
        with self.kernels:
            return super().step(x, y)


def check_losses(losses):
    """Raise SystemExit where a stage's losses, one list per stage, are not the first stage's."""
    for stage, found in zip(STAGES, losses, strict=True):
        for step, (a, b) in enumerate(zip(losses[0], found, strict=True), 1):
            if not abs(a - b) <= CURVES:
                raise SystemExit(
                    f"{stage.name!r} computes something else: at step {step} its loss is {b:.6f}, "
                    f"that of {STAGES[0].name!r} {a:.6f}, more than {CURVES} apart"
                )


def measure(name, steps, say):
    """Let the stages take turns; everything measured, as the dictionary that ``--json`` writes."""
    config = CONFIGS[name]
    times, gemm = [[] for _ in STAGES], {n: [] for n in ((256, 512) if name == "smoke" else SIZES)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def start(*arguments):
            worker = Worker(*arguments)
            stack.callback(worker.stop)
            return worker

        weights = Path(folder) / "weights.npz"
        command = [sys.executable, TRAIN_STEP, "--config", name, "--write", weights]
        subprocess.run(command, check=True)
        workers = []
        for number, stage in enumerate(STAGES):
            say(f"  starting: {stage.name}")
            workers.append(start(__file__, "--config", name, "--serve", number, weights))
        losses = [worker.hello["losses"] for worker in workers]
        check_losses(losses)
        product = start(TRAIN_STEP, "--serve", "gemm")
        for _ in range(-(-steps // TURN)):
            for size, rates in product.ask(sizes=list(gemm), n=TURN).items():
                gemm[int(size)] += rates
            for worker, known in zip(workers, times, strict=True):
                known += worker.ask(what="steps", n=min(TURN, steps - len(known)))
        memory = [worker.ask(what="rss") for worker in workers]
    peak = max(statistics.median(rates) for rates in gemm.values())
    return {
        "config": {"name": name, **vars(config)},
        "steps": steps,
        "stages": figures(config, times, memory, peak),
        "losses": losses,
        "gemm_flops": {str(size): spread(rates) for size, rates in gemm.items()},
    }


def figures(config, times, memory, peak):
    """One dictionary per stage, of the seconds of its steps and the peak of a product, FLOP/s."""
    found = []
    tokens = config.B * config.T
    medians = [statistics.median(seconds) for seconds in times]
    for number, (stage, seconds, median) in enumerate(zip(STAGES, times, medians, strict=True)):
        before = medians[max(0, number - 1)]
        found.append(
            {
                "name": stage.name,
                "kernels": stage.kernels,
                "seconds": spread(seconds),
                "tokens_per_second": spread([tokens / s for s in seconds]),
                "peak_rss_bytes": memory[number],
                "bought_seconds": before - median,
                "times_the_stage_before": before / median,
                "times_the_first": medians[0] / median,
                "share_of_gemm_peak": tokens / median * config.flops_per_token() / peak,
            }
        )
    return found


HEAD = (
    "stage", "ms a step", "lowest", "highest", "tokens/s", "bought ms", "x before", "x first",
    "peak memory", "of sgemm",
)  # fmt: skip


def cells(one, first):
    """A stage's line of the table, as strings in the order of HEAD."""
    seconds = one["seconds"]
    return (
        one["name"],
        *(f"{1e3 * seconds[key]:,.0f}" for key in ("median", "min", "max")),
        f"{one['tokens_per_second']['median']:,.0f}",
        "" if first else f"{1e3 * one['bought_seconds']:z,.0f}",
        "" if first else f"{one['times_the_stage_before']:.2f}",
        f"{one['times_the_first']:.2f}",
        f"{one['peak_rss_bytes'] / 1e9:.2f} GB",
        f"{one['share_of_gemm_peak']:.0%}",
    )


def report(found, markdown=False):
    """The table with what it was measured on below, as text or as Markdown."""
    rows = [HEAD, *(cells(one, i == 0) for i, one in enumerate(found["stages"]))]
    config = found["config"]
    shape = CONFIGS[config["name"]]
    products = ", ".join(
        f"{size}^3 {rates['median'] / 1e9:.0f} GFLOP/s"
        for size, rates in found["gemm_flops"].items()
    )
    about = [
        f"{config['name']}: {shape}; {found['steps']} steps of each stage",
        f"sgemm: {products}",
    ]
    if not markdown:
        return "\n".join(["", table(rows), "", *about])
    say_environment(found["environment"], about.append)
    rows.insert(1, ("---", *("---:" for _ in HEAD[1:])))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {line}" for line in about)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of every stage")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="PATH", help="write the figures; - is the output"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the table of docs/performance.md, no other"
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest form, to see it run")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.config, options.steps = "smoke", 2
    if options.steps < 1:
        parser.error("--steps is at least 1")
    if options.serve:
        number, weights = options.serve
        return serve(lambda: prepare(CONFIGS[options.config], AtStage, int(number), weights))

    only_output = options.markdown or options.json == "-"

    def say(text=""):
        print(text, flush=True, file=sys.stderr if only_output else sys.stdout)

    about = environment()
    say_environment(about, say)
    say(f"\n{options.config}: {CONFIGS[options.config]}")
    found = measure(options.config, options.steps, say) | {"environment": about}
    if options.markdown:
        print(report(found, markdown=True))
    else:
        say(report(found))
    if options.json == "-":
        print(json.dumps(found, indent=2))
    elif options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
