"""Fine-tuning against PyTorch (transformers and peft) on the same CPU: tokens/s, memory, answers/s.

    python benchmarks/finetune.py --model smollm2-135m-instruct
    python benchmarks/finetune.py --model smollm2-135m-instruct --work lora,dpo --data pairs.json

    full    supervised fine-tuning of all weights
    lora    the same with LoRA on every linear layer of the blocks
    dpo     LoRA on pairs of answers, the reference's log-probabilities computed before
    grpo    answers sampled from the model with the adapter, several for each prompt

The engines have the same weights, adapter and rows (``_finetune_engines.py``), in float32, and take
turns, each in a process of its own. They must compute the same losses. The ratios are those of
steps of one turn, and the peak of memory is that of a process after its warm-up.

Rows are made up, --length tokens each: for SFT every label counts, for DPO those of the second
half. With --data they are those of a file, in the forms that ``finetune sft`` reads (``finetune
dpo`` for dpo) and with their own lengths and masks, padded to the longest of a step.

``torch-avx512`` is PyTorch without the vendor check of its MKL, as in train_step.py.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from _finetune_engines import ENGINES, IGNORE, prepare
from _machine import add_json_option, environment, say_environment, spread, table, write_json
from _preload import NoCompiler, vendor_library
from _workers import Ended, Worker, serve, use_project

KINDS = ("full", "lora", "dpo", "grpo")
BATCHES = 8  # steps' rows, which are used again and again
PROMPT = 64  # tokens of a prompt of grpo
CURVES = 1e-3  # the largest difference between two losses
MEMORY = 0.8
TARGETS = {"AMD": 1.5, "Intel": 1.1}
ANSWERS = 2.0
"""Targets of the ratios: of memory, of speed by the processor's maker, and of grpo's speed."""


# --- what the engines read ------------------------------------------------------------------------


def write_folders(options, folder, say):
    """Write the folders that engines read, one for each kind; returns them by kind."""
    use_project()
    from tinygrad_llm.finetune.lora import add_lora, save_adapter
    from tinygrad_llm.pretrained import load_pretrained
    from tinygrad_llm.pretrained.save import save_pretrained

    model, tokenizer = load_pretrained(options.model)
    model.eval()
    save_pretrained(model, tokenizer, folder / "model")
    rows = {kind: rows_of(kind, options, model, tokenizer) for kind in options.kinds}
    add_lora(model, options.rank, 2 * options.rank)
    save_adapter(model, folder / "adapter")
    folders = {}
    for kind, arrays in rows.items():
        folders[kind] = folder / kind
        folders[kind].mkdir()
        for shared in ("model", "adapter"):
            (folders[kind] / shared).symlink_to(folder / shared, target_is_directory=True)
        np.savez(folders[kind] / "rows.npz", **arrays)
        work = {"kind": kind, "B": options.batch, "n_batches": count(arrays),
                "group": options.group, "new": options.new}  # fmt: skip
        (folders[kind] / "work.json").write_text(json.dumps(work))
        if kind != "grpo":
            tokens, labels = totals(arrays)
            say(f"{kind}: {tokens:,.0f} tokens a step, {labels:,.0f} labels that count")
    return folders


def rows_of(kind, options, model, tokenizer):
    """The arrays of ``rows.npz``: ``ids``, ``labels``, ``lengths`` and ``reference`` of steps."""
    rng = np.random.default_rng(0)
    V, T, B = model.config.vocab_size, options.length, options.batch
    if kind == "grpo":
        return {"prompts": rng.integers(3, V, (options.prompts, options.prompt))}
    if options.data is not None:
        rows = rows_of_file(kind, options, tokenizer, rng)
    elif kind == "dpo":
        rows = [made_up_pair(rng, V, T) for _ in range(BATCHES * B)]
    else:
        rows = [[made_up(rng, V, T, 0)] for _ in range(BATCHES * B)]
    arrays = {}
    for i in range(len(rows) // B):
        some = rows[i * B : (i + 1) * B]
        flat = [row for side in zip(*some, strict=True) for row in side]  # chosen, then rejected
        arrays |= {f"{name}{i}": array for name, array in padded(flat).items()}
        arrays[f"reference{i}"] = reference(model, flat) if kind == "dpo" else np.zeros(len(flat))
    return arrays


def made_up(rng, V, T, prompt, ids=None):
    """An example of T random ids of which the labels after the prompt count."""
    from tinygrad_llm.finetune.examples import shifted

    new = rng.integers(3, V, T + 1)
    if ids is not None:
        new[: prompt + 1] = ids[: prompt + 1]
    return shifted(new, np.arange(T + 1) > prompt)


def made_up_pair(rng, V, T):
    """Two examples with the same first half."""
    chosen = made_up(rng, V, T, T // 2)
    return [chosen, made_up(rng, V, T, T // 2, chosen.ids)]


def rows_of_file(kind, options, tokenizer, rng):
    """Examples, alone or in pairs, of at most --length tokens; similar lengths are neighbours.

    Rows that cannot be used are left out.
    """
    from tinygrad_llm.finetune.examples import load_examples, load_pairs

    load = load_pairs if kind == "dpo" else load_examples
    as_chat = tokenizer.conventions.chat_template is not None
    found, _ = load(options.data, tokenizer, options.length, as_chat=as_chat, skip_faulty=True)
    rows = [list(one.examples()) if kind == "dpo" else [one] for one in found]
    rng.shuffle(rows)
    rows = rows[: BATCHES * options.batch]
    if len(rows) < options.batch:
        raise SystemExit(f"{options.data} has {len(rows)} rows, fewer than --batch")
    rows = sorted(rows, key=lambda sides: max(len(side.ids) for side in sides))
    steps = [rows[i : i + options.batch] for i in range(0, len(rows), options.batch)]
    steps = [step for step in steps if len(step) == options.batch]
    rng.shuffle(steps)
    return [row for step in steps for row in step]


def padded(rows):
    """ids and labels (R, T) of examples, padded on the right, and their lengths (R,)."""
    lengths = np.array([len(row.ids) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), np.int64)
    labels = np.full_like(ids, IGNORE)
    for r, (row, n) in enumerate(zip(rows, lengths, strict=True)):
        ids[r, :n], labels[r, :n] = row.ids, row.labels
    return {"ids": ids, "labels": labels, "lengths": lengths}


def reference(model, rows):
    """The model's log-probability of each example's labels."""
    from tinygrad_llm.finetune.reference import answer_logps

    return answer_logps(model, rows)


def count(arrays):
    return sum(name.startswith("ids") for name in arrays)


def totals(arrays):
    """Tokens, without padding, and labels that count, of a step: means."""
    n = count(arrays)
    tokens = sum(arrays[f"lengths{i}"].sum() for i in range(n)) / n
    return tokens, sum(np.count_nonzero(arrays[f"labels{i}"] != IGNORE) for i in range(n)) / n


# --- the comparison -------------------------------------------------------------------------------


class Race:
    """The engines of one kind of work."""

    def __init__(self, kind, names, folder, say):
        self.kind, self.say, self.workers, self.skipped = kind, say, {}, {}
        for name in names:
            variables = {}
            try:
                if name == "torch-avx512":
                    variables["LD_PRELOAD"] = str(vendor_library(folder.parent))
                worker = Worker(__file__, "--serve", name, folder, environment=variables)
            except (Ended, NoCompiler) as error:
                self.skipped[name] = str(error)
                continue
            if worker.missing:
                self.skipped[name] = worker.missing
                worker.stop()
            else:
                self.workers[name] = worker
        for name, why in self.skipped.items():
            say(f"{kind}: {name} skipped, {why}")
        self.seconds = {name: [] for name in self.workers}
        check_losses(kind, {name: w.hello["losses"] for name, w in self.workers.items()})

    def run(self, rounds):
        """Let the engines take turns of one step each."""
        for _ in range(rounds):
            for name, worker in self.workers.items():
                self.seconds[name].append(worker.ask(what="step"))

    def figures(self, arrays_per_step):
        """All figures, as a dictionary for ``--json``; ``arrays_per_step``: tokens or answers."""
        engines = {}
        for name, seconds in self.seconds.items():
            engines[name] = {
                "rate": spread([arrays_per_step / s for s in seconds]),
                "seconds": spread(seconds),
                "peak_rss_bytes": self.workers[name].ask(what="rss"),
                **self.workers[name].hello,
            }
        ratios = {}
        for name, seconds in self.seconds.items():
            if name != "ours" and "ours" in self.seconds:
                pairs = zip(seconds, self.seconds["ours"], strict=True)
                memory = engines["ours"]["peak_rss_bytes"] / engines[name]["peak_rss_bytes"]
                ratios[name] = {**spread([b / a for b, a in pairs]), "memory": memory}
        return {"engines": engines, "ratios": ratios, "skipped": self.skipped}

    def stop(self):
        for worker in self.workers.values():
            worker.stop()


def check_losses(kind, losses):
    """Raise SystemExit if an engine's first losses differ from ours."""
    for name, theirs in losses.items():
        pairs = zip(losses.get("ours", theirs), theirs, strict=True)
        for step, (ours, other) in enumerate(pairs, 1):
            if not abs(ours - other) <= CURVES:
                raise SystemExit(
                    f"{kind}: {name} computes a different loss: at step {step} it is {other:.6f}, "
                    f"and ours is {ours:.6f}, more than {CURVES} apart"
                )


def report(results, say):
    """Print the figures as a table, with the targets."""
    maker = next((m for m in TARGETS if m in results["environment"]["processor"]), None)
    rows = [("", "", "median", "lowest", "highest", "peak memory", "ours / it", "its spread",
             "memory, ours / it")]  # fmt: skip
    for kind, found in results["kinds"].items():
        unit = "answers/s" if kind == "grpo" else "tokens/s"
        digits = 2 if kind == "grpo" else 0
        for name, one in found["engines"].items():
            rate, ratio = one["rate"], found["ratios"].get(name)
            rows.append(
                (
                    f"{kind}, {unit}", name,
                    *(f"{rate[what]:,.{digits}f}" for what in ("median", "min", "max")),
                    f"{one['peak_rss_bytes'] / 1e6:,.0f} MB",
                    *((f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}",
                       f"{ratio['memory']:.2f}") if ratio else ("", "", "")),
                )
            )  # fmt: skip
    say("\n" + table(rows, right=2) + "\n")
    labels = {n: one["label"] for k in results["kinds"].values() for n, one in k["engines"].items()}
    for name, label in labels.items():
        say(f"{name}: {label}")
    speed = f"{TARGETS[maker]} x its speed, " if maker else ""
    say(f"targets against torch: at least {speed}{ANSWERS} x for grpo; at most {MEMORY} x memory")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="a directory, a GGUF file or a name")
    parser.add_argument("--work", default=",".join(KINDS), help=", ".join(KINDS))
    parser.add_argument("--engines", default=",".join(ENGINES), help=", ".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--data", help="a file of rows, in place of made-up ones")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row, at most")
    parser.add_argument("--batch", type=int, default=1, help="rows of a step; pairs for dpo")
    parser.add_argument("--rank", type=int, default=16, help="of LoRA; alpha is twice as large")
    parser.add_argument("--prompts", type=int, default=1, help="prompts of a turn of grpo")
    parser.add_argument("--group", type=int, default=8, help="answers to each prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens of each answer")
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.prompt = PROMPT
    if options.smoke:
        options.rounds, options.length, options.rank, options.group = 2, 8, 2, 2
        options.new, options.prompt = 3, 4
    options.kinds, options.names = options.work.split(","), options.engines.split(",")
    for option, names, known in (
        ("work", options.kinds, KINDS), ("engines", options.names, ENGINES),
    ):  # fmt: skip
        for name in names:
            if name not in known:
                parser.error(f"--{option} {name}: choose among {', '.join(known)}")
    if options.model is None and not options.serve:
        parser.error("--model is missing: name a directory, a GGUF file or a known model")
    for name in ("rounds", "length", "batch", "rank", "prompts", "group", "new"):
        if getattr(options, name) < (2 if name == "length" else 1):
            parser.error(f"--{name} is too small")
    return options


def main():
    options = parse()
    if options.serve:
        return serve(lambda: prepare(*options.serve))

    def say(text=""):
        print(text, flush=True, file=sys.stderr if options.json == "-" else sys.stdout)

    about = environment()
    say_environment(about, say)
    rows = options.data or f"made up, {options.length} tokens each"
    say(f"\n{options.model}: rows {rows}; {options.batch} a step; rank {options.rank}")
    results = {"options": vars(options), "kinds": {}, "environment": about}
    with tempfile.TemporaryDirectory() as folder:
        folders = write_folders(options, Path(folder), say)
        for kind, place in folders.items():
            race = Race(kind, options.names, place, say)
            try:
                race.run(options.rounds)
                results["kinds"][kind] = race.figures(per_step(options, place))
            finally:
                race.stop()
    report(results, say)
    write_json(results, options.json)


def per_step(options, place):
    """Tokens of each step, or answers of each turn of grpo."""
    with np.load(place / "rows.npz") as file:
        arrays = dict(file)
    return options.prompts * options.group if "prompts" in arrays else totals(arrays)[0]


if __name__ == "__main__":
    main()
