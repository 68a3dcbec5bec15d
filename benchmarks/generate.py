"""Reading prompts and writing tokens against transformers and llama.cpp on the same CPU.

    python benchmarks/generate.py --model smollm2-135m-instruct
    python benchmarks/generate.py --model model.gguf --engines ours:int8,llama.cpp:q8_0

The same weights run in every engine, in files that are written here: for transformers a directory,
for llama.cpp GGUF files of F32 and Q8_0, and the file itself if it is one. Each engine is a process
of its own and they take turns. Medians are compared.

    prefill        tokens per second of a prompt of 256 and of 1,024 tokens; the time of one is the
                   time to the first token
    decode         tokens per second after that, for 1, 4 and 8 texts at once

Every weight is read once for a token, or for one token each of 8 texts. So the table also has the
bytes that are read, and as a share of how fast a sum on every core reads memory in the same run.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from _generate_engines import KINDS, PROMPT, prepare, prepare_bandwidth
from _machine import add_json_option, environment, say_environment, spread, table, write_json
from _workers import Ended, Worker, serve, use_project

ENGINES = {
    "ours:float32": "directory",
    "ours:int8": "directory",
    "ours:q8_0": "q8_0",
    "ours:as-stored": "file",
    "transformers:float32": "directory",
    "transformers:bfloat16": "directory",
    "llama.cpp:f32": "f32",
    "llama.cpp:q8_0": "q8_0",
    "llama.cpp:as-stored": "file",
}
"""Each engine with its weights, and the file that it reads."""
AS_STORED = {"ours:q8_0": "as-stored", "ours:as-stored": "as-stored"}
SAME_TEXT = [("ours:float32", "transformers:float32"), ("ours:float32", "ours:as-stored")]

TARGETS = [  # ours, a measurement, another engine, the same of it, at least this ratio
    ("ours:float32", "decode 1", "llama.cpp:f32", "decode 1", 1.0),
    ("ours:q8_0", "decode 1", "llama.cpp:q8_0", "decode 1", 1.0),
    ("ours:as-stored", "decode 1", "llama.cpp:as-stored", "decode 1", 1.0),
    ("ours:float32", "decode 1", "transformers:float32", "decode 1", 2.0),
    ("ours:float32", "decode 8", "ours:float32", "decode 1", 3.0),
    ("ours:float32", "prefill 256", "transformers:float32", "prefill 256", 1.0),
    ("ours:float32", "prefill 1024", "transformers:float32", "prefill 1024", 1.0),
]
SHARES = {"ours:float32": 0.8, "ours:int8": 0.8}
"""Targets of the share of the memory's speed, decoding one text."""


def write_files(model, folder, needed):
    """The files that engines read: kind -> path."""
    use_project()
    from tinygrad_llm.pretrained import load_pretrained
    from tinygrad_llm.pretrained.gguf_save import save_gguf
    from tinygrad_llm.pretrained.names import find_model
    from tinygrad_llm.pretrained.save import save_pretrained

    path = find_model(model)
    files = {"file": path} if path.is_file() else {}
    network, tokenizer = load_pretrained(path)
    if "directory" in needed:
        files["directory"] = folder / "directory"
        save_pretrained(network, tokenizer, files["directory"])
    for dtype in {"f32", "q8_0"} & needed:
        if tokenizer is not None:
            files[dtype] = folder / f"{dtype}.gguf"
            save_gguf(network, tokenizer, files[dtype], dtype)
    return files


class Race:
    """The engines of one comparison."""

    def __init__(self, names, files, say):
        self.say, self.workers, self.skipped, self.seconds = say, {}, {}, {}
        for name in names:
            kind, _, weights = name.partition(":")
            if ENGINES[name] not in files:
                self.skipped[name] = "there is no file for it"
                continue
            weights = AS_STORED.get(name, weights)
            try:
                worker = Worker(__file__, "--serve", kind, files[ENGINES[name]], weights)
            except Ended as error:
                self.skipped[name] = str(error)
                continue
            if worker.missing:
                self.skipped[name] = worker.missing
                worker.stop()
            else:
                self.workers[name], self.seconds[name] = worker, {}
        for name, why in self.skipped.items():
            say(f"  {name}: skipped, {why}")

    def warm_up(self):
        """One short measurement of each; says whose greedy text is the same."""
        ids = {}
        for name, worker in self.workers.items():
            worker.ask(what="prefill", T=16)
            ids[name] = worker.ask(what="decode", B=1, n=16)["ids"]
        for one, other in SAME_TEXT:
            if one in ids and other in ids:
                same = "the same text" if ids[one] == ids[other] else "different texts"
                self.say(f"  {one} and {other} write {same} (17 greedy tokens)")

    def run(self, rounds, prompts, batches, n):
        """Let the engines take turns; returns the memory's bytes per second, one for a turn."""
        memory = Worker(__file__, "--serve", "bandwidth", "-", "-")
        rates = []
        try:
            for _ in range(rounds):
                rates += memory.ask(n=3)
                for what, options in [
                    *((f"prefill {T}", {"what": "prefill", "T": T}) for T in prompts),
                    *((f"decode {B}", {"what": "decode", "B": B, "n": n}) for B in batches),
                ]:
                    for name, worker in self.workers.items():
                        seconds = worker.ask(**options)["seconds"]
                        self.seconds[name].setdefault(what, []).append(seconds)
        finally:
            memory.stop()
        return rates

    def figures(self, n, rates):
        """All figures, as the dictionary for ``--json``."""
        bandwidth = statistics.median(rates)
        engines = {}
        for name, measured in self.seconds.items():
            one = engines[name] = {}
            for what, seconds in measured.items():
                kind, _, size = what.partition(" ")
                tokens = int(size) if kind == "prefill" else int(size) * n
                one[what] = spread([tokens / s for s in seconds])
                one[what]["seconds"] = statistics.median(seconds)
            if name.startswith("ours") and "decode 1" in measured:
                size = self.workers[name].ask(what="bytes")
                one["bytes_per_token"] = size
                one["share_of_bandwidth"] = size * one["decode 1"]["median"] / bandwidth
        return {
            "engines": engines,
            "bandwidth": spread(rates),
            "ratios": list(self._ratios()),
            "skipped": self.skipped,
            "environment": environment(),
        }

    def _ratios(self):
        """The measured ratios that have a target. Pairs of one turn are compared, not medians."""
        for ours, a, theirs, b, target in TARGETS:
            first = self.seconds.get(ours, {}).get(a)
            second = self.seconds.get(theirs, {}).get(b)
            if first and second:
                scale = tokens_of(a) / tokens_of(b)
                pairs = [scale * y / x for x, y in zip(first, second, strict=True)]
                yield {"ours": f"{ours} {a}", "other": f"{theirs} {b}", "target": target,
                       **spread(pairs)}  # fmt: skip

    def stop(self):
        for worker in self.workers.values():
            worker.stop()


def tokens_of(what):
    return int(what.split()[1])


def report(results, say):
    """Print the figures as tables."""
    measured = list(next(iter(results["engines"].values())))
    columns = [name for name in measured if " " in name]
    rows = [("tokens/s", *columns)]
    for name, one in results["engines"].items():
        rows.append((name, *(f"{one[column]['median']:,.1f}" for column in columns)))
    say("\n" + table(rows) + "\n")
    for column in columns:
        if column.startswith("prefill"):
            times = (
                f"{name} {one[column]['seconds'] * 1e3:,.0f} ms"
                for name, one in results["engines"].items()
            )
            say(f"first token after {tokens_of(column):,} tokens: {', '.join(times)}")
    low, middle, high = (results["bandwidth"][k] / 1e9 for k in ("min", "median", "max"))
    say(f"\nmemory: a sum on every core reads {middle:.1f} GB/s [{low:.1f}, {high:.1f}]")
    for name, one in results["engines"].items():
        if "share_of_bandwidth" in one:
            aim = f" (target: at least {SHARES[name]:.0%})" if name in SHARES else ""
            say(
                f"  {name} reads {one['bytes_per_token'] / 1e6:,.0f} MB a token: "
                f"{one['share_of_bandwidth']:.0%} of that{aim}"
            )
    if results["ratios"]:
        say("")
    for ratio in results["ratios"]:
        say(
            f"{ratio['ours']} / {ratio['other']}: {ratio['median']:.2f} [{ratio['min']:.2f}, "
            f"{ratio['max']:.2f}] (target: at least {ratio['target']})"
        )


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="a directory, a GGUF file or a name")
    parser.add_argument("--engines", default=",".join(ENGINES), help=", ".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", default="256,1024", help="lengths for prefill")
    parser.add_argument("--batches", default="1,4,8", help="numbers of texts for decode")
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of each text")
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.smoke:
        options.rounds, options.prompts, options.batches, options.tokens = 1, "8", "1,8", 2
    options.names = options.engines.split(",")
    for name in options.names:
        if name not in ENGINES:
            parser.error(f"--engines {name}: choose among {', '.join(ENGINES)}")
    if options.model is None and not options.serve:
        parser.error("--model is missing: name a directory, a GGUF file or a known model")
    for name in ("prompts", "batches"):
        try:
            numbers = [int(n) for n in getattr(options, name).split(",")]
        except ValueError:
            numbers = [0]
        high = 1024 if name == "prompts" else 8
        if not all(1 <= n <= high for n in numbers):
            parser.error(f"--{name}: expected numbers from 1 to {high}, with commas between them")
        setattr(options, name, numbers)
    if options.rounds < 1 or not 1 <= options.tokens <= 256 - PROMPT:
        parser.error(f"--rounds must be at least 1, and --tokens between 1 and {256 - PROMPT}")
    return options


def main():
    options = parse()
    if options.serve:
        kind, path, weights = options.serve
        if kind == "bandwidth":
            return serve(lambda: prepare_bandwidth(256))
        assert kind in KINDS
        return serve(lambda: prepare(kind, path, weights))

    def say(text=""):
        print(text, flush=True, file=sys.stderr if options.json == "-" else sys.stdout)

    say_environment(environment(), say)
    say(f"\n{options.model}: writing its files, starting the engines")
    with tempfile.TemporaryDirectory() as folder:
        needed = {ENGINES[name] for name in options.names}
        files = write_files(options.model, Path(folder), needed)
        race = Race(options.names, files, say)
        try:
            race.warm_up()
            rates = race.run(options.rounds, options.prompts, options.batches, options.tokens)
            results = race.figures(options.tokens, rates)
        finally:
            race.stop()
    report(results, say)
    write_json(results, options.json)


if __name__ == "__main__":
    main()
