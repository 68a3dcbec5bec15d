"""A training step against PyTorch and JAX on the same CPU: tokens/s, memory, share of peak.

    python benchmarks/train_step.py --config small
    python benchmarks/train_step.py --config gpt2 --peers torch,torch-avx512,torch-bf16,jax
    python benchmarks/train_step.py --config small --precision bf16
    python benchmarks/train_step.py --config gpt2 --precision bf16 --activations bf16
    python benchmarks/train_step.py --config small --check-losses
    python benchmarks/train_step.py --config tiny --precision bf16 --check-losses 100

A step is forward, backward, clipping and AdamW of the same GPT-2, from the same weights, on the
same batches (``_train_engines.py``). A short first round picks each peer's fastest mode. Then our
step, the peers' and NumPy's bare matrix product take turns, each in a process of its own. Medians
of the steps are compared.

``torch-avx512`` is PyTorch without the vendor check of its MKL, which otherwise runs slower kernels
on processors that are not Intel's. A library of two functions, built here with ``cc``, is preloaded
for this peer only, so that we compare with the fastest PyTorch.

Ours runs in ``--precision``, and keeps for backward what ``--activations`` says. Targets are those
against a peer of the same precision. How bf16 products are computed is printed, and decides about
the target. Since their speed has another limit, the share of the sgemm peak is one of float32.

``--check-losses`` trains every engine for 50 steps, or as many as are given, and fails if a float32
peer's losses differ from ours in float32 by more than 1e-3 in the first 50. With ``--precision
bf16`` four curves are compared, ours and PyTorch's in float32 and bf16 (``_loss_curves.py``): 300
steps of all took 9 minutes for tiny on two cores (AMD EPYC, Zen 4). The ids are random; with
``--text FILE`` they are the bytes of a file, from which a model has more to learn. One order of
batches says little: ``--seed 1 2 3`` trains in three, and judges all of them together. ``--picture
FILE`` draws the curves of the first. With ``--steps 0`` nothing is timed.

A peer that is not installed is skipped with a message. Environment variables can slow a processor's
BLAS down; those that are set are printed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _loss_curves
from _machine import (
    add_json_option,
    environment,
    say_environment,
    say_method,
    spread,
    table,
    write_json,
)  # fmt: skip
from _preload import NoCompiler, vendor_library
from _train_engines import CONFIGS, ENGINES, MODES, prepare, prepare_gemm, write_weights
from _workers import Ended, Worker, interpreters, serve

PEERS = [name for name in MODES if name != "ours"]
SIZES = (2048, 4096)
TURN = 3  # timed steps in a turn
CURVES = 1e-3  # the largest difference between two losses
CURVES_BF16 = 0.05  # the same after the warm-up, if one of the two is in bf16
STEPS_ALIKE = 50  # so long float32 losses stay this close
HALF = "torch-bf16"  # the peer in bf16; all others are in float32
TARGETS = {
    "float32": {
        ("small", "torch"): 2.1, ("gpt2", "torch"): 2.4,
        ("small", "torch-avx512"): 1.1, ("gpt2", "torch-avx512"): 1.1,
        ("small", "share"): 0.80, ("gpt2", "share"): 0.85,
    },
    "avx512-bf16": {("small", HALF): 1.1, ("gpt2", HALF): 1.2},
    "amx": {("small", HALF): 1.2, ("gpt2", HALF): 1.5},
}  # fmt: skip
MEMORY = 0.8  # of a peer's in the same precision, at most


class Skipped(Exception):
    """A peer, or one of its modes, cannot take part; the message says why."""


class NotInstalled(Skipped):
    """No mode of the peer can take part."""


class Race:
    """The engines of one comparison, from the choice of modes to the figures."""

    def __init__(self, config, name, steps, folder, paths, modes, say):
        self.config, self.name, self.steps, self.say = config, name, steps, say
        self.folder, self.paths = Path(folder), paths
        self.allowed = MODES | {engine: (mode,) for engine, mode in modes.items()}
        if name == "smoke":
            self.allowed = {engine: some[:1] for engine, some in self.allowed.items()}
        self.workers, self.modes, self.times = {}, {}, {}
        self.rounds, self.skipped = {}, {}
        self.gemm = {size: [] for size in ((256, 512) if name == "smoke" else SIZES)}
        self.tokens = config.B * config.T

    def start(self, engine, mode):
        """A worker that has warmed up; raises Skipped if it cannot run."""
        environment = {}
        if engine == "torch-avx512":
            try:
                environment["LD_PRELOAD"] = str(vendor_library(self.folder))
            except NoCompiler as error:
                raise Skipped(str(error)) from None
        try:
            worker = Worker(
                __file__, "--config", self.name, "--serve", f"{engine}:{mode}", self.weights(),
                interpreter=self.paths[engine], environment=environment,
            )  # fmt: skip
        except Ended as error:
            raise Skipped(str(error)) from None
        if worker.missing:
            worker.stop()
            raise NotInstalled(worker.missing)
        return worker

    def weights(self):
        path = self.folder / "weights.npz"
        if not path.exists():
            command = [sys.executable, __file__, "--config", self.name, "--write", str(path)]
            subprocess.run(command, check=True)
        return path

    def choose(self, engine):
        """Run every mode of an engine for a few steps and keep the fastest."""
        rates, reasons, best = {}, [], None
        for mode in self.allowed[engine]:
            try:
                worker = self.start(engine, mode)
            except Skipped as error:
                reasons.append(f"{mode}: {error}")
                self.say(f"  {engine} {mode}: skipped, {error}")
                if isinstance(error, NotInstalled):
                    break
                continue
            if len(self.allowed[engine]) == 1:  # nothing to choose
                self.workers[engine], best = worker, mode
                break
            rates[mode] = self.tokens / statistics.median(worker.ask(what="steps", n=2))
            self.say(f"  {engine} {mode}: {rates[mode]:,.0f} tokens/s")
            if best is None or rates[mode] > rates[best]:
                worker, self.workers[engine] = self.workers.get(engine), worker
                best = mode
            if worker is not None:
                worker.stop()
        if best is None:
            self.skipped[engine] = "; ".join(reasons)
        else:
            self.modes[engine], self.rounds[engine], self.times[engine] = best, rates, []

    def run(self):
        """Let the engines take turns."""
        gemm = Worker(__file__, "--serve", "gemm")
        try:
            self.core_type = gemm.hello["core_type"]
            for _ in range(-(-self.steps // TURN)):
                for size, rates in gemm.ask(sizes=list(self.gemm), n=TURN).items():
                    self.gemm[int(size)] += rates
                for engine, worker in self.workers.items():
                    n = min(TURN, self.steps - len(self.times[engine]))
                    self.times[engine] += worker.ask(what="steps", n=n)
        finally:
            gemm.stop()

    def check_first_losses(self):
        """Raise SystemExit if an engine's first losses differ from ours."""
        ours = self.workers["ours"].hello["losses"]
        for engine, worker in self.workers.items():
            same = engine != HALF and self.modes["ours"] == "float32"
            same = CURVES if same else CURVES_BF16
            self.compare(engine, ours, worker.hello["losses"], same)

    def check_curves(self, steps, text, seed):
        """Train every engine for ``steps`` steps from the start and compare the losses."""
        curves = {}
        for name, (engine, mode) in self.curve_engines().items():
            raced = self.workers.get(engine) if self.modes.get(engine) == mode else None
            try:
                worker = raced or self.start(engine, mode)
            except Skipped as error:
                self.say(f"losses of {name}: skipped, {error}")
                continue
            curves[name] = worker.ask(what="losses", n=steps, text=text, seed=seed)
            if raced is None:
                worker.stop()
            first, last = curves[name][0], curves[name][-1]
            self.say(f"losses of {name} ({mode}): from {first:.4f} to {last:.4f} in {steps} steps")
        ours = curves[_loss_curves.FLOAT32][:STEPS_ALIKE]
        for name, curve in curves.items():
            if name != HALF and not name.startswith("ours"):
                self.compare(name, ours, curve[:STEPS_ALIKE], CURVES)
        return curves

    def curve_engines(self):
        """Name of a curve -> (engine, mode): ours in float32, the race's, what bf16 needs."""
        engines, ours = {_loss_curves.FLOAT32: ("ours", "float32")}, self.modes["ours"]
        if ours != "float32":
            engines[f"ours {ours}"] = "ours", ours
        engines |= {e: (e, mode) for e, mode in self.modes.items() if e != "ours"}
        if ours != "float32":
            float32 = [] if {"torch", "torch-avx512"} & set(engines) else ["torch"]
            for engine in [*float32, HALF]:
                engines.setdefault(engine, (engine, self.allowed[engine][0]))
        return engines

    @staticmethod
    def compare(engine, ours, theirs, tolerance):
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
            if not abs(a - b) <= tolerance:
                raise SystemExit(
                    f"{engine} computes a different loss: at step {step} it is {b:.6f}, and ours "
                    f"is {a:.6f}, more than {tolerance} apart"
                )

    def stop(self):
        for worker in self.workers.values():
            worker.stop()

    def figures(self):
        """All figures, as the dictionary for ``--json``."""
        peers = {}
        for engine, times in self.times.items():
            hello = self.workers[engine].hello
            peers[engine] = {
                "tokens_per_second": spread([self.tokens / t for t in times]),
                "peak_rss_bytes": self.workers[engine].ask(what="rss"),
                "mode": self.modes[engine],
                "modes": self.rounds[engine],
                "label": hello["label"],
                "gemm_flops": hello.get("gemm_flops"),
                "steps": len(times),
            }
        ours = peers.pop("ours")
        rate = ours["tokens_per_second"]["median"]
        peak = max(statistics.median(rates) for rates in self.gemm.values())
        hello = self.workers["ours"].hello
        return {
            "config": {"name": self.name, **vars(self.config)},
            "method": hello["method"],
            "why_not": hello["why_not"],
            "ours": ours,
            "peers": peers,
            "ratios": {
                name: rate / peer["tokens_per_second"]["median"] for name, peer in peers.items()
            },
            "memory_ratios": {
                name: ours["peak_rss_bytes"] / peer["peak_rss_bytes"]
                for name, peer in peers.items()
            },
            "share_of_gemm_peak": rate * self.config.flops_per_token() / peak,
            "gemm_flops": {str(size): spread(rates) for size, rates in self.gemm.items()},
            "flops_per_token": self.config.flops_per_token(),
            "skipped": self.skipped,
            "environment": {**environment(), "blas_core_type": self.core_type},
        }


def report(results, name, say):
    """Print the figures as a table, with the targets if there are any."""
    half = results["ours"]["mode"].startswith("bf16")
    targets = TARGETS.get(results["method"] if half else "float32", {})
    rows = [("", "mode", "tokens/s", "lowest", "highest", "peak memory", "ours / it", "target")]
    for engine, one in {"ours": results["ours"], **results["peers"]}.items():
        rate, ratio = one["tokens_per_second"], results["ratios"].get(engine)
        target = targets.get((name, engine))
        rows.append(
            (
                engine, one["mode"], f"{rate['median']:,.0f}", f"{rate['min']:,.0f}",
                f"{rate['max']:,.0f}", f"{one['peak_rss_bytes'] / 1e9:.2f} GB",
                "" if ratio is None else f"{ratio:.2f}", f">= {target}" if target else "",
            )
        )  # fmt: skip
    say("\n" + table(rows, right=2) + "\n")
    for engine, one in {"ours": results["ours"], **results["peers"]}.items():
        own = (
            f", its own matrix product {one['gemm_flops'] / 1e9:.0f} GFLOP/s"
            if one["gemm_flops"]
            else ""
        )
        say(f"{engine}: {one['label']}{own}")
    for engine, ratio in results["memory_ratios"].items():
        aim = f" (target: at most {MEMORY})" if half == (engine == HALF) else ""
        say(f"peak memory of a step against {engine}: {ratio:.2f}{aim}")
    for size, rates in results["gemm_flops"].items():
        low, high = rates["min"] / 1e9, rates["max"] / 1e9
        say(f"sgemm {size}^3: {rates['median'] / 1e9:.0f} GFLOP/s [{low:.0f}, {high:.0f}]")
    target = targets.get((name, "share"))
    aim = f" (target: at least {target:.0%})" if target else ""
    say(f"share of the sgemm peak: {results['share_of_gemm_peak']:.1%}{aim}")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--activations", choices=("float32", "bf16"), default="float32")
    parser.add_argument(
        "--peers",
        help=f"some of {', '.join(PEERS)}; those of the same precision if it is not given",
    )
    parser.add_argument("--peer-python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument(
        "--mode",
        action="append",
        default=[],
        metavar="ENGINE=MODE",
        help="run only this mode of an engine",
    )
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each engine")
    parser.add_argument("--check-losses", nargs="?", type=int, const=50, metavar="STEPS")
    parser.add_argument("--text", metavar="FILE", help="check losses with the bytes of this file")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[1], help="orders of the batches of these losses"
    )
    parser.add_argument("--picture", metavar="FILE", help="draw the losses of the first order")
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peers is None:
        options.peers = HALF if options.precision == "bf16" else "torch,torch-avx512"
    options.names = [name for name in options.peers.split(",") if name]
    for name in options.names:
        if name not in PEERS:
            parser.error(f"--peers {name}: choose among {', '.join(PEERS)}")
    if options.check_losses is not None and options.check_losses not in range(1, 301):
        parser.error("--check-losses must be between 1 and 300")
    if options.steps < (options.check_losses is None):
        parser.error("--steps must be at least 1, or 0 with --check-losses")
    if len(set(options.seed)) < len(options.seed):
        parser.error("--seed names an order twice: each counts as a run of its own")
    if (options.text or options.picture) and options.check_losses is None:
        parser.error("--text and --picture are for --check-losses")
    keeps = ", keeping bf16" if options.activations == "bf16" else ""
    options.modes = {"ours": options.precision + keeps}
    for pair in options.mode:
        engine, _, mode = pair.partition("=")
        if engine not in PEERS or mode not in MODES[engine]:
            known = ", ".join(f"{e}={m}" for e in PEERS for m in MODES[e])
            parser.error(f"--mode {pair}: choose among {known}")
        options.modes[engine] = mode
    options.paths = interpreters(parser, options.peer_python, MODES)
    if options.smoke:
        options.config, options.steps = "smoke", min(options.steps, 2)
    return options


def main():
    options = parse()
    config = CONFIGS[options.config]
    if options.write:
        return write_weights(config, options.write)
    if options.serve == ["gemm"]:
        return serve(prepare_gemm)
    if options.serve:
        (engine, _, mode), weights = options.serve[0].partition(":"), options.serve[1]
        return serve(lambda: prepare(config, ENGINES[engine], mode, weights))

    def say(text=""):
        print(text, flush=True, file=sys.stderr if options.json == "-" else sys.stdout)

    say_environment(environment(), say)
    say(f"\n{options.config}: {config}; choosing modes")
    with tempfile.TemporaryDirectory() as folder:
        race = Race(
            config, options.config, options.steps, folder, options.paths, options.modes, say
        )
        try:
            for engine in ("ours", *options.names):
                race.choose(engine)
            if "ours" in race.skipped:
                raise SystemExit(f"ours: {race.skipped['ours']}")
            say_method(race.workers["ours"].hello, say)
            race.check_first_losses()
            checked = check_losses(race, options, say) if options.check_losses else {}
            if options.steps:
                race.run()
            results = race.figures() if options.steps else {}
        finally:
            race.stop()
    if results:
        report(results, options.config, say)
    write_json(results | checked, options.json)


def check_losses(race, options, say):
    """The curves of every order, their distances and the judgement, printed and for ``--json``."""
    orders = []
    for seed in options.seed:
        say(f"\norder of batches {seed}")
        curves = race.check_curves(options.check_losses, options.text, seed)
        orders.append({"seed": seed, "losses": curves, **_loss_curves.report(curves, say)})
        if options.picture and seed == options.seed[0]:
            _loss_curves.draw(curves, options.picture)
            say(f"picture: {options.picture}")
    judgement = _loss_curves.report_orders(orders, _loss_curves.rounded(curves), say)
    return {"orders": orders, "judgement": judgement}


if __name__ == "__main__":
    main()
