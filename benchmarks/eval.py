"""Evaluations next to transformers, and in lm-evaluation-harness next to its own model.

    python benchmarks/eval.py smollm2-135m-instruct --data DIR       # DIR as `eval` takes it

    mmlu K      items per second of MMLU after K examples: log p of four letters
    gsm8k       tokens per second of GSM8K after five examples: --tokens greedy tokens for each
                problem, and reading the prompts
    lm-eval K   items per second of MMLU when lm-evaluation-harness runs it, with our model or with
                its own ("hf")

The same prompts in batches of the same size, sorted by length. transformers reads whole prompts,
padded on the left, and takes the logits of the last place: one pass for all four letters, as here.
"shared" is transformers with what it does not do by itself: the examples of a subject are read
once, and copies of their keys and values continued. Prompts are encoded before the clock starts,
except in lm-eval. No answer to GSM8K ends early, so that all have the same number of tokens.

Each engine is a process of its own; they take turns. Medians are compared, and ratios are those of
one turn. ``--avx512`` runs PyTorch without the vendor check of its MKL, as train_step.py does.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from _eval_engines import prepare
from _machine import add_json_option, environment, say_environment, spread, table, write_json
from _preload import NoCompiler, vendor_library
from _workers import Ended, Worker, serve, use_project

ENTRANTS = {  # the first is the one that the others are compared with
    "mmlu": {
        "ours": ("ours", "score", {}),
        "transformers": ("transformers", "score", {}),
        "transformers, shared": ("transformers", "score", {"shared": True}),
    },
    "gsm8k": {
        "ours": ("ours", "write", {}),
        "ours, int8": ("ours:int8", "write", {}),
        "transformers": ("transformers", "write", {}),
        "transformers, shared": ("transformers", "write", {"shared": True}),
    },
    "lm-eval": {
        "ours": ("ours", "harness", {}),
        "hf": ("transformers", "harness", {}),
    },
}
"""By kind of work, who takes part: the worker, its method, and options of that."""
TARGET = 1.5
"""How much faster than transformers, and than lm-evaluation-harness's own model."""


# --- what the engines answer ----------------------------------------------------------------------


def write_work(options, folder):
    """Write the model and work.json into a folder; returns the works."""
    use_project()
    from tinygrad_llm.evals.language_model import LanguageModel
    from tinygrad_llm.pretrained import load_pretrained, save_pretrained

    model, tokenizer = load_pretrained(options.model)
    save_pretrained(model, tokenizer, folder / "model")
    reader = LanguageModel(model, tokenizer)
    works = {}
    for shots in options.shots if "mmlu" in options.kinds else ():
        works[f"mmlu {shots}"] = mmlu(options, shots, reader)
    if "gsm8k" in options.kinds:
        works["gsm8k"] = gsm8k(options, reader)
    for shots in options.shots if "lm-eval" in options.kinds else ():
        works[f"lm-eval {shots}"] = {"shots": shots, "rows": rows_of_mmlu(options)}
    (folder / "work.json").write_text(json.dumps(works))
    return works


def mmlu(options, shots, reader):
    from tinygrad_llm.evals.runner import Settings, prepare as prepare_items
    from tinygrad_llm.evals.tasks import TASKS

    items = prepare_items(TASKS["mmlu"], options.data, Settings(options.limit, shots), reader)
    asked = items[0].requests
    return {
        **prompts_of(items, reader),
        "choices": [request.continuation for request in asked],
        "letters": [reader.encoder.pair(request).continuation[0] for request in asked],
    }


def gsm8k(options, reader):
    from tinygrad_llm.evals.runner import Settings, prepare as prepare_items
    from tinygrad_llm.evals.tasks import TASKS

    items = prepare_items(TASKS["gsm8k"], options.data, Settings(options.problems, 5), reader)
    return {**prompts_of(items, reader), "tokens": options.tokens}


def prompts_of(items, reader):
    contexts = [item.requests[0].context for item in items]
    return {
        "contexts": contexts,
        "prompts": [reader.encoder.context(context) for context in contexts],
        "groups": [item.document.group for item in items],
    }


def rows_of_mmlu(options):
    """By subject and split, the rows in the names of lm-evaluation-harness."""
    from tinygrad_llm.evals.tasks import TASKS

    task, rows = TASKS["mmlu"], {}
    for split, documents in (
        ("dev", task.examples(options.data)),
        ("test", task.documents(options.data)),
    ):
        for d in documents:
            some = rows.setdefault(d.group, {"dev": [], "test": []})[split]
            if split == "dev" or len(some) < options.limit:
                some.append({"question": d.question, "choices": d.choices, "answer": d.gold})
    return rows


# --- taking turns ---------------------------------------------------------------------------------


class Race:
    """The workers, and what they have answered: by work and entrant."""

    def __init__(self, options, folder, works, say):
        self.say, self.works, self.skipped = say, works, {}
        self.workers, self.seconds, self.answers = {}, {}, {}
        needed = {who for work in works for who, *_ in ENTRANTS[work.split()[0]].values()}
        for name in sorted(needed):
            kind, _, weights = name.partition(":")
            extra = {"HF_HUB_OFFLINE": "1"}
            if options.avx512 and kind == "transformers":
                extra["LD_PRELOAD"] = str(vendor_library(folder))
            arguments = ("--serve", kind, weights or "float32", folder, options.batch_size)
            try:
                worker = Worker(__file__, *arguments, environment=extra)
            except Ended as error:
                self._skip(name, str(error))
                continue
            if worker.missing:
                self._skip(name, worker.missing)
                worker.stop()
            else:
                self.workers[name] = worker

    def _skip(self, name, why):
        self.skipped[name] = why
        self.say(f"  {name}: skipped, {why}")

    def round(self, warm_up=False):
        """Each entrant answers each work once, or a few of its prompts to warm up."""
        for work in self.works:
            kind = work.split()[0]
            for name, (who, what, more) in ENTRANTS[kind].items():
                if who not in self.workers or f"{kind}: {name}" in self.skipped:
                    continue
                found = self.workers[who].ask(what=what, name=work, warm_up=warm_up, **more)
                if "missing" in found:
                    self._skip(f"{kind}: {name}", found["missing"])
                    continue
                if not warm_up:
                    self.answers.setdefault(work, {})[name] = found["answers"]
                    times = self.seconds.setdefault(work, {}).setdefault(name, [])
                    times.append(found["seconds"])

    def stop(self):
        for worker in self.workers.values():
            worker.stop()

    def figures(self):
        """All figures, as the dictionary for ``--json``."""
        works = {}
        for work, times in self.seconds.items():
            entrants = {}
            for name, seconds in times.items():
                n = self._count(work)
                one = entrants[name] = {"rate": spread([n / s for s in seconds])}
                if "ours" in times and name != "ours":
                    pairs = zip(times["ours"], seconds, strict=True)
                    one["ours_over_it"] = spread([theirs / ours for ours, theirs in pairs])
                    one |= agreement(self.answers[work]["ours"], self.answers[work][name])
            works[work] = {**self._sizes(work), "entrants": entrants}
        return {"works": works, "skipped": self.skipped, "environment": environment()}

    def _count(self, work):
        """Items, or tokens for GSM8K, that an entrant answers."""
        some = self.works[work]
        if "rows" in some:
            return sum(len(splits["test"]) for splits in some["rows"].values())
        return len(some["prompts"]) * some.get("tokens", 1)

    def _sizes(self, work):
        prompts = self.works[work].get("prompts")
        if prompts is None:
            return {"items": self._count(work)}
        return {"items": len(prompts), "tokens": statistics.mean(map(len, prompts))}


def agreement(ours, theirs):
    """How many items got the same answer; for log p, also how far they are apart."""
    if isinstance(ours[0], str):
        return {"same": sum(a == b for a, b in zip(ours, theirs, strict=True))}
    pairs = list(zip(ours, theirs, strict=True))
    apart = max(abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True))
    return {"same": sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs), "apart": apart}


def report(results, say):
    """Print the figures: a table for each work."""
    for work, found in results["works"].items():
        unit = "tokens/s" if work == "gsm8k" else "items/s"
        size = f" of {found['tokens']:.0f} tokens" if "tokens" in found else ""
        rows = [(f"{work}: {found['items']} items{size}", unit, "lowest", "highest",
                 "ours / it", "lowest", "highest", "same answers", "log p within")]  # fmt: skip
        for name, one in found["entrants"].items():
            cells = [f"{one['rate'][k]:.2f}" for k in ("median", "min", "max")]
            if "ours_over_it" in one:
                cells += [f"{one['ours_over_it'][k]:.2f}" for k in ("median", "min", "max")]
                cells += [f"{one['same']}", f"{one['apart']:.0e}" if "apart" in one else ""]
            rows.append((name, *cells, *[""] * (9 - 1 - len(cells))))
        say("\n" + table(rows))
    say(f"\ntarget: at least {TARGET} times transformers, and hf")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", help="a name, a directory or a GGUF file")
    parser.add_argument("--data", type=Path, help="folder with MMLU and GSM8K")
    parser.add_argument("--work", default=",".join(ENTRANTS), help="kinds of work, with commas")
    parser.add_argument("--limit", type=int, default=8, help="items of each subject of MMLU")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5], help="of MMLU")
    parser.add_argument("--problems", type=int, default=8, help="of GSM8K")
    parser.add_argument("--tokens", type=int, default=128, help="that are written for a problem")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--avx512", action="store_true", help="PyTorch without MKL's vendor check")
    add_json_option(parser)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.kinds = options.work.split(",")
    for kind in options.kinds:
        if kind not in ENTRANTS:
            parser.error(f"--work {kind}: choose among {', '.join(ENTRANTS)}")
    if not options.serve and None in (options.model, options.data):
        parser.error("name a model, and with --data the folder of MMLU and GSM8K")
    return options


def main():
    options = parse()
    if options.serve:
        return serve(lambda: prepare(*options.serve))

    def say(text=""):
        print(text, flush=True, file=sys.stderr if options.json == "-" else sys.stdout)

    say_environment(environment(), say)
    with tempfile.TemporaryDirectory() as name:
        works = write_work(options, Path(name))
        try:
            race = Race(options, Path(name), works, say)
        except NoCompiler as error:
            sys.exit(f"--avx512: {error}")
        try:
            race.round(warm_up=True)
            for _ in range(options.rounds):
                race.round()
            results = race.figures()
        finally:
            race.stop()
    report(results, say)
    write_json(results, options.json)


if __name__ == "__main__":
    main()
