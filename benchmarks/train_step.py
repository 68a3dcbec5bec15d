"""A training step against PyTorch and JAX on the same CPU: tokens a second, memory, share of peak.

    python benchmarks/train_step.py --config small
    python benchmarks/train_step.py --config gpt2 --peers torch,torch-avx512,torch-bf16,jax
    python benchmarks/train_step.py --config small --check-losses

A step is forward, backward, clipping and AdamW of the same GPT-2, from the same weights, on the
same batches (``_train_engines.py``). A short first round picks each peer's best mode; then that
alternates with ours and with NumPy's bare matrix product, each in a process of its own. Medians of
the steps are compared.

``torch-avx512`` is PyTorch with the vendor check of its MKL lifted: on processors that are not
Intel's it would else run slower kernels than the processor has. A library of two functions, built
here with ``cc``, is preloaded for that peer alone, so that we compare with the strongest PyTorch.

``--check-losses`` has every engine train for 50 steps and fails where a float32 peer's curve leaves
ours by more than 1e-3. What is not installed is named and skipped. A processor's BLAS can be held
back by variables of the environment; those that are set are printed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _machine import environment, say_environment, spread, table
from _train_engines import CONFIGS, ENGINES, MODES, prepare, prepare_gemm, write_weights
from _workers import Ended, Worker, interpreters, serve

PEERS = [name for name in MODES if name != "ours"]
SIZES = (2048, 4096)
TURN = 3  # timed steps in a turn
SAME_LOSS = {"torch-bf16": 0.05}  # after the warm-up; else CURVES
CURVES = 1e-3
TARGETS = {
    ("small", "torch"): 2.1, ("gpt2", "torch"): 2.4,
    ("small", "torch-avx512"): 1.05, ("gpt2", "torch-avx512"): 1.1,
    ("small", "torch-bf16"): 0.85, ("gpt2", "torch-bf16"): 1.1,
    ("small", "share"): 0.84, ("gpt2", "share"): 0.88,
}  # fmt: skip
VENDOR_CHECK = """
int mkl_serv_intel_cpu_true(void) { return 1; }
int mkl_serv_intel_cpu(void) { return 1; }
"""


class Skipped(Exception):
    """A peer, or a mode of it, cannot take part; the message says why."""


class NotInstalled(Skipped):
    """Nor can any other mode of it."""


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
        """A worker that has warmed up; raises Skipped where it cannot run."""
        environment = {}
        if engine == "torch-avx512":
            environment["LD_PRELOAD"] = str(self.preload())
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

    def preload(self):
        """The library that answers MKL's question after the vendor; raises Skipped without cc."""
        library = self.folder / "vendor.so"
        if not library.exists():
            source = self.folder / "vendor.c"
            source.write_text(VENDOR_CHECK)
            command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except FileNotFoundError:
                raise Skipped("there is no C compiler called cc to build its library") from None
            except subprocess.CalledProcessError as error:
                raise Skipped(f"cc failed: {error.stderr.strip()}") from None
        return library

    def choose(self, engine):
        """Start every mode of an engine for a few steps and keep the fastest."""
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
            if len(self.allowed[engine]) == 1:  # there is nothing to choose
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
        """Raise SystemExit where an engine's losses say that it computes something else."""
        ours = self.workers["ours"].hello["losses"]
        for engine, worker in self.workers.items():
            self.compare(engine, ours, worker.hello["losses"], SAME_LOSS.get(engine, CURVES))

    def check_curves(self, steps):
        """Train every engine for ``steps`` steps from the start and compare the losses."""
        curves = {e: w.ask(what="losses", n=steps) for e, w in self.workers.items()}
        ours = curves.pop("ours")
        self.say(f"\nlosses over {steps} steps: ours from {ours[0]:.4f} to {ours[-1]:.4f}")
        for engine, curve in curves.items():
            apart = max(abs(a - b) for a, b in zip(ours, curve, strict=True))
            self.say(f"  {engine} ({self.modes[engine]}): at most {apart:.1e} apart")
            if engine not in SAME_LOSS:
                self.compare(engine, ours, curve, CURVES)
        return {"ours": ours, **curves}

    @staticmethod
    def compare(engine, ours, theirs, tolerance):
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
            if not abs(a - b) <= tolerance:
                raise SystemExit(
                    f"{engine} computes something else: at step {step} its loss is {b:.6f}, ours "
                    f"{a:.6f}, more than {tolerance} apart"
                )

    def stop(self):
        for worker in self.workers.values():
            worker.stop()

    def figures(self):
        """Everything measured, as the dictionary that ``--json`` writes."""
        results = {}
        for engine, times in self.times.items():
            hello = self.workers[engine].hello
            results[engine] = {
                "tokens_per_second": spread([self.tokens / t for t in times]),
                "peak_rss_bytes": self.workers[engine].ask(what="rss"),
                "mode": self.modes[engine],
                "modes": self.rounds[engine],
                "label": hello["label"],
                "gemm_flops": hello.get("gemm_flops"),
                "steps": len(times),
            }
        ours = results.pop("ours")
        rate = ours["tokens_per_second"]["median"]
        peak = max(statistics.median(rates) for rates in self.gemm.values())
        return {
            "config": {"name": self.name, **vars(self.config)},
            "ours": ours,
            "peers": results,
            "ratios": {
                name: rate / found["tokens_per_second"]["median"] for name, found in results.items()
            },
            "memory_ratios": {
                name: ours["peak_rss_bytes"] / found["peak_rss_bytes"]
                for name, found in results.items()
            },
            "share_of_gemm_peak": rate * self.config.flops_per_token() / peak,
            "gemm_flops": {str(size): spread(rates) for size, rates in self.gemm.items()},
            "flops_per_token": self.config.flops_per_token(),
            "skipped": self.skipped,
            "environment": {**environment(), "blas_core_type": self.core_type},
        }


def report(found, name, say):
    """The figures as a table, with the targets where there are any."""
    rows = [("", "mode", "tokens/s", "lowest", "highest", "peak memory", "ours / it", "target")]
    for engine, one in {"ours": found["ours"], **found["peers"]}.items():
        rate, ratio = one["tokens_per_second"], found["ratios"].get(engine)
        target = TARGETS.get((name, engine))
        rows.append(
            (
                engine, one["mode"], f"{rate['median']:,.0f}", f"{rate['min']:,.0f}",
                f"{rate['max']:,.0f}", f"{one['peak_rss_bytes'] / 1e9:.2f} GB",
                "" if ratio is None else f"{ratio:.2f}", f">= {target}" if target else "",
            )
        )  # fmt: skip
    say("\n" + table(rows, right=2) + "\n")
    for engine, one in {"ours": found["ours"], **found["peers"]}.items():
        own = (
            f", its own matrix product {one['gemm_flops'] / 1e9:.0f} GFLOP/s"
            if one["gemm_flops"]
            else ""
        )
        say(f"{engine}: {one['label']}{own}")
    for engine, ratio in found["memory_ratios"].items():
        say(f"peak memory of a step against {engine}: {ratio:.2f}")
    for size, rates in found["gemm_flops"].items():
        low, high = rates["min"] / 1e9, rates["max"] / 1e9
        say(f"sgemm {size}^3: {rates['median'] / 1e9:.0f} GFLOP/s [{low:.0f}, {high:.0f}]")
    target = TARGETS.get((name, "share"))
    aim = f" (target: at least {target:.0%})" if target else ""
    say(f"share of the sgemm peak: {found['share_of_gemm_peak']:.1%}{aim}")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--peers", default="torch,torch-avx512", help=", ".join(PEERS))
    parser.add_argument("--peer-python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument(
        "--mode", action="append", default=[], metavar="ENGINE=MODE", help="only this mode of it"
    )
    parser.add_argument("--steps", type=int, default=12, help="timed steps of every engine")
    parser.add_argument("--check-losses", nargs="?", type=int, const=50, metavar="STEPS")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="PATH", help="write the figures; - is the output"
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest form, to see it run")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.names = [name for name in options.peers.split(",") if name]
    for name in options.names:
        if name not in PEERS:
            parser.error(f"--peers {name}: choose among {', '.join(PEERS)}")
    if options.steps < 1 or (options.check_losses or 1) not in range(1, 51):
        parser.error("--steps is at least 1, and --check-losses between 1 and 50")
    options.modes = {}
    for given in options.mode:
        engine, _, mode = given.partition("=")
        if mode not in MODES.get(engine, ()):
            known = ", ".join(f"{e}={m}" for e in PEERS for m in MODES[e])
            parser.error(f"--mode {given}: choose among {known}")
        options.modes[engine] = mode
    options.paths = interpreters(parser, options.peer_python, MODES)
    if options.smoke:
        options.config, options.steps = "smoke", 2
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
            race.check_first_losses()
            curves = race.check_curves(options.check_losses) if options.check_losses else None
            race.run()
            found = race.figures()
        finally:
            race.stop()
    if curves:
        found["losses"] = curves
    report(found, options.config, say)
    if options.json == "-":
        print(json.dumps(found, indent=2))
    elif options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
