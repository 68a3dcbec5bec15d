"""What each optimisation saves: a training step, from plain NumPy to the engine as it is.

    python benchmarks/stages.py --config small
    python benchmarks/stages.py --config small --markdown

A step is the trainer's: forward, backward, clipping and AdamW. The stages, listed in
tinygrad_llm/machine/stages.py, add up: each includes all earlier ones. Each runs in a process of
its own, since two of them are settings of a process. All start from the same weights, train on the
same batches and take turns. A stage whose losses differ from the first stage's is an error.

"saved" is the time of the stage before minus that of the stage; "x" is how many times as fast the
stage is as the one before, and as the first. Medians of the steps are compared. What a stage saves
depends on the size of the model and on the stages before it.

``--markdown`` prints the table for docs/performance.md. All processes are alive at the same time:
for gpt2 they need about 20 GB of memory.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from _machine import add_json_option, environment, say_environment, spread, table, write_json
from _train_engines import CONFIGS, Ours, prepare
from _workers import ROOT, Worker, serve, use_project
from train_step import CURVES, SIZES, TURN

use_project()
from tinygrad_llm.machine.stages import STAGES, set_up_process, stage_kernels  # noqa: E402

TRAIN_STEP = ROOT / "benchmarks" / "train_step.py"  # writes weights, and measures the bare product


class AtStage(Ours):
    """The trainer's step with the stages 0 to ``mode``, an integer."""

    def set_up_process(self, mode):
        set_up_process(mode)
        self.kernels = stage_kernels(mode)

    def step(self, x, y):
        with self.kernels:
            return super().step(x, y)


def check_losses(losses):
    """Raise SystemExit if a stage's losses, one list per stage, differ from the first stage's."""
    for stage, own in zip(STAGES, losses, strict=True):
        for step, (a, b) in enumerate(zip(losses[0], own, strict=True), 1):
            if not abs(a - b) <= CURVES:
                raise SystemExit(
                    f"stage {stage.name!r} is wrong: at step {step} its loss is {b:.6f}, and that "
                    f"of {STAGES[0].name!r} is {a:.6f}, more than {CURVES} apart"
                )


def measure(name, steps, say):
    """Let the stages take turns; returns all figures, as the dictionary for ``--json``."""
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
            for worker, seconds in zip(workers, times, strict=True):
                seconds += worker.ask(what="steps", n=min(TURN, steps - len(seconds)))
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
    """A dictionary per stage. ``times`` are seconds; ``peak`` is a product's speed in FLOP/s."""
    stages = []
    tokens = config.B * config.T
    medians = [statistics.median(seconds) for seconds in times]
    for number, (stage, seconds, median) in enumerate(zip(STAGES, times, medians, strict=True)):
        before = medians[max(0, number - 1)]
        stages.append(
            {
                "name": stage.name,
                "kernels": stage.kernels,
                "seconds": spread(seconds),
                "tokens_per_second": spread([tokens / s for s in seconds]),
                "peak_rss_bytes": memory[number],
                "saved_seconds": before - median,
                "times_the_stage_before": before / median,
                "times_the_first": medians[0] / median,
                "share_of_gemm_peak": tokens / median * config.flops_per_token() / peak,
            }
        )
    return stages


HEAD = (
    "stage", "ms per step", "lowest", "highest", "tokens/s", "saved ms", "x before", "x first",
    "peak memory", "of sgemm",
)  # fmt: skip


def cells(one, first):
    """A stage's row of the table, as strings in the order of HEAD."""
    seconds = one["seconds"]
    return (
        one["name"],
        *(f"{1e3 * seconds[key]:,.0f}" for key in ("median", "min", "max")),
        f"{one['tokens_per_second']['median']:,.0f}",
        "" if first else f"{1e3 * one['saved_seconds']:z,.0f}",
        "" if first else f"{one['times_the_stage_before']:.2f}",
        f"{one['times_the_first']:.2f}",
        f"{one['peak_rss_bytes'] / 1e9:.2f} GB",
        f"{one['share_of_gemm_peak']:.0%}",
    )


def report(results, markdown=False):
    """The table, and below it the machine that it was measured on, as text or as Markdown."""
    rows = [HEAD, *(cells(one, i == 0) for i, one in enumerate(results["stages"]))]
    config = results["config"]
    shape = CONFIGS[config["name"]]
    products = ", ".join(
        f"{size}^3 {rates['median'] / 1e9:.0f} GFLOP/s"
        for size, rates in results["gemm_flops"].items()
    )
    about = [
        f"{config['name']}: {shape}; {results['steps']} steps of each stage",
        f"sgemm: {products}",
    ]
    if not markdown:
        return "\n".join(["", table(rows), "", *about])
    say_environment(results["environment"], about.append)
    rows.insert(1, ("---", *("---:" for _ in HEAD[1:])))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {line}" for line in about)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of every stage")
    add_json_option(parser)
    parser.add_argument(
        "--markdown", action="store_true", help="print only the table for docs/performance.md"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.config, options.steps = "smoke", 2
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    if options.serve:
        number, weights = options.serve
        return serve(lambda: prepare(CONFIGS[options.config], AtStage, int(number), weights))

    only_output = options.markdown or options.json == "-"

    def say(text=""):
        print(text, flush=True, file=sys.stderr if only_output else sys.stdout)

    about = environment()
    say_environment(about, say)
    say(f"\n{options.config}: {CONFIGS[options.config]}")
    results = measure(options.config, options.steps, say) | {"environment": about}
    if options.markdown:
        print(report(results, markdown=True))
    else:
        say(report(results))
    write_json(results, options.json)


if __name__ == "__main__":
    main()
