"""The report of a pipeline as blocks: what each stage did, and what came of it."""

import platform
from collections.abc import Iterator
from os import cpu_count
from pathlib import Path
from typing import Any

from tinygrad_llm.pipeline.blocks import (
    Asked,
    Block,
    Code,
    Heading,
    Paragraph,
    Picture,
    Table,
    Tokens,
)
from tinygrad_llm.pipeline.facts import MODELS, Facts
from tinygrad_llm.pipeline.scores import METRICS, TASKS, bits, guess_bits, score
from tinygrad_llm.terminal import one_line, shell_command
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training.runs import PLOT_FILE

TITLE = "From code to an assistant"
SHOWN = 3  # rows of data
CODE_SHOWN = 400  # characters of a continuation


def story(facts: Facts, scores_picture: Path) -> list[Block]:
    """The whole report."""
    return [
        *_summary(facts, scores_picture),
        *_data(facts),
        *_tokenizer(facts),
        *_pretraining(facts),
        *_sft(facts),
        *_dpo(facts),
        *_answers(facts),
        *_end(facts),
    ]


def _summary(facts: Facts, scores_picture: Path) -> Iterator[Block]:
    kept = facts.data["report"]["kept"]["bytes"]
    parameters = facts.run("pretrain")["parameters"]
    first, base, last = (facts.results[name] for name in ("untrained", "pretrain", "dpo"))
    before, after = (score(one, "docstrings_chat")[0] for one in (base, last))
    guess = guess_bits(first, facts.run("pretrain")["model"]["vocab_size"])
    yield Heading(TITLE, 1)
    yield Paragraph(
        f"One command has made a language model of **{parameters:,} parameters** from nothing but "
        f"{_corpus_name(facts)}, **{kept / 1e6:.1f} MB** of text: it learned a vocabulary, then to "
        "predict code, then to answer, then to prefer right answers. It took "
        f"**{_minutes(facts.seconds())}** on {cpu_count()} processors, and nothing was downloaded. "
        "Every model on the way was asked the same questions about modules that none of them has "
        "seen."
    )
    yield Paragraph(
        f"Pretraining took held-out code from {bits(first):.2f} to **{bits(base):.2f} bits per "
        f"byte**; a guess among all tokens costs {guess:.2f}. Asked for the docstring of a "
        f"function, the base model finds it among four {before:.0%} of the time, the last model "
        f"**{after:.0%}** (a guess: 25%). {_verdict(facts)}"
    )
    yield Heading("What each stage adds", 2)
    yield _scores(facts, guess)
    yield Paragraph(
        "Next word: every token of it must be the model's first choice. The other tasks: which of "
        "four texts is the most likely, per character? In brackets: the 95% band (Wilson). With "
        f"{facts.data['rows']['docstrings']:,} questions it is wide: a difference counts if the "
        "paired test below says so."
    )
    if bits(facts.results["sft"]) > bits(base):
        yield Paragraph(
            "After SFT, bits per byte are **worse** than before: it trains on short answers in a "
            "chat and on no code, so the model forgets part of what it knew about whole programs."
        )
    yield Picture(scores_picture, "The same as a picture; black lines are 95% bands.")
    table = _differences(facts)
    yield table
    yield Paragraph(
        "Lost / won: questions that only the earlier / only the later model gets right. p is "
        "McNemar's: how probable a difference of this size or a larger one is if neither model is "
        f"better. Below 0.05 is **bold**; with {len(table.rows)} comparisons, one can be bold by "
        "chance."
    )


def _verdict(facts: Facts) -> str:
    """Whether SFT and DPO together have changed the score of the summary."""
    differences = facts.differences[-1][-1]
    p = next(d.p for d in differences if (d.task, d.metric) == ("docstrings_chat", "acc_norm"))
    assert p is not None  # answers are right or wrong
    if p < 0.05:
        return f"Chance alone hardly makes such a difference (p: {_p(p)})."
    return f"Chance alone can make such a difference (p: {_p(p)}), so it shows nothing."


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-3 else "below 0.001"


def _scores(facts: Facts, guess: float) -> Table:
    values = [*map(bits, facts.results.values()), guess]
    rows = [["bits per byte of held-out code", *(f"{value:.3f}" for value in values)]]
    for task, about in TASKS.items():
        cells, chance = [], 0.0
        for results in facts.results.values():
            value, (low, high), chance = score(results, task)
            cells.append(f"{value:.1%} ({low * 100:.0f} to {high * 100:.0f})")
        rows.append([about, *cells, f"{chance:.0%}" if chance else ""])
    return Table(("", *MODELS.values(), "chance"), rows)


def _differences(facts: Facts) -> Table:
    rows = []
    for a, b, differences in facts.differences:
        for d in differences:
            if METRICS.get(d.task) != d.metric or d.p is None:
                continue
            rows.append(
                [
                    f"{MODELS[a]} → {MODELS[b]}: {TASKS[d.task]}",
                    f"{100 * (d.b - d.a):+.1f}",
                    f"{d.only_a:,} / {d.only_b:,}",
                    f"**{_p(d.p)}**" if d.p < 0.05 else _p(d.p),
                ]
            )
    return Table(("", "points", "lost / won", "p"), rows)


def _data(facts: Facts) -> Iterator[Block]:
    data, report = facts.data, facts.data["report"]
    found, kept = report["found"], report["kept"]
    yield Heading(f"1. Data ({_minutes(facts.seconds('data'))})")
    yield Paragraph(
        f"{_corpus_name(facts, capital=True)} has {found['documents']:,} documents; "
        f"{kept['documents']:,} of them, {kept['bytes']:,} bytes, were kept. Whole documents are "
        f"held out, chosen by a hash of their names: {data['documents']['train']:,} are for "
        f"training, {data['documents']['held out']:,} for every score on this page. The rows for "
        "fine-tuning and the questions are made of functions with docstrings: "
        f"{data['functions']['train']:,} to learn from, {data['functions']['held out']:,} held "
        "out. A held-out function whose docstring also occurs in training is left out."
    )
    rows = [
        [
            f"{what}: {reason}",
            f"{tally['documents']:,}",
            f"{-tally['bytes'] if what == 'dropped' else tally['bytes']:,}",
        ]
        for what in ("dropped", "changed")
        for reason, tally in report[what].items()
    ]
    if rows:
        yield Table(("cleaning", "documents", "bytes"), rows)


def _tokenizer(facts: Facts) -> Iterator[Block]:
    tokenizer = Tokenizer.load(facts.folder / "tokenizer")
    corpus = facts.run("pretrain")["corpus"]
    tokens, size = corpus["tokens"], corpus["bytes"]
    yield Heading(f"2. Tokenizer ({_minutes(facts.seconds('tokenizer'))})")
    yield Paragraph(
        f"Byte-pair encoding, learned on the training documents: {tokenizer.vocab_size:,} ids. "
        "Three are special: the end of a text, and the two marks of a turn in a chat. A token has "
        f"{sum(size.values()) / sum(tokens.values()):.2f} bytes on average; the corpus has "
        f"{tokens['train']:,} tokens for training. A held-out function in pieces:"
    )
    row = facts.rows("docstrings")[0]
    text = f'{row["signature"]}:\n    """{row["choices"][row["gold"]]}"""'
    yield Tokens([tokenizer.decode([i]) for i in tokenizer.encode(text)])


def _pretraining(facts: Facts) -> Iterator[Block]:
    run, metrics = facts.run("pretrain"), facts.metrics("pretrain")
    options, last = run["options"], metrics[-1]
    speeds = sorted(m["tokens_per_second"] for m in metrics if "tokens_per_second" in m)
    tokens = options["steps"] * options["batch_size"] * run["model"]["block_size"]
    yield Heading(f"3. Pretraining ({_minutes(facts.seconds('pretrain'))})")
    yield Paragraph(
        f"A {run['model']['n_layer']}-layer transformer with {run['model']['n_embd']} channels "
        f"and a context of {run['model']['block_size']} tokens predicts the next token: "
        f"{options['steps']:,} steps, {tokens:,} tokens, {speeds[len(speeds) // 2]:,.0f} tokens "
        f"per second. At the end it needs **{last['val_bits_per_byte']:.3f} bits per byte** for "
        "the whole held-out text (the table above has only the beginning of each document). Its "
        "continuations of three beginnings, drawn at temperature 0.7:"
    )
    yield from _picture(facts.folder / "pretrain" / PLOT_FILE, "Loss of training and validation.")
    for row in facts.answers:
        if row["kind"] == "code":
            yield Heading(f"`{one_line(row['prompt'].strip())}`", 3)
            for stage in ("untrained", "pretrain"):
                text = row["prompt"] + row["answers"][stage]
                yield Code(text[:CODE_SHOWN], f"{MODELS[stage]} model")


def _sft(facts: Facts) -> Iterator[Block]:
    last, first = facts.metrics("sft")[-1], facts.rows("sft_train")
    options = facts.run("sft")["options"]
    yield Heading(f"4. Supervised fine-tuning ({_minutes(facts.seconds('sft'))})")
    yield Paragraph(
        f"Every function gives two rows: its signature is answered with its docstring, and its "
        f"docstring with its signature. {len(first):,} rows, {options['steps']:,} steps of "
        f"{options['batch_size']}; only the answers are learned. Held-out answers cost "
        f"{last['eval_loss']:.3f} nats per token at the end, and "
        f"{last['eval_mean_token_accuracy']:.0%} of their tokens are its first choice. Some rows:"
    )
    for row in _spread(first, SHOWN):
        yield Asked(row["prompt"], row["completion"], ())
    yield from _picture(facts.folder / "sft" / PLOT_FILE, "Loss of supervised fine-tuning.")


def _dpo(facts: Facts) -> Iterator[Block]:
    last, rows = facts.metrics("dpo")[-1], facts.rows("dpo_train")
    options = facts.run("dpo")["options"]
    yield Heading(f"5. Preferences: DPO ({_minutes(facts.seconds('dpo'))})")
    yield Paragraph(
        "Now each question has two answers: the right one, and one that belongs to another "
        "function, has its words shuffled, or lacks its end. The model learns to make the first "
        "more likely than the second, compared with the SFT model: "
        f"{options['steps']:,} steps of {options['batch_size']} pairs, beta {options['beta']}. In "
        f"**{last['eval_rewards/accuracies']:.0%}** of the held-out pairs, the right answer has "
        "gained on the wrong one (chance: half). That is easier than the tasks above: shuffled "
        "words and a missing end can be seen without understanding anything. Some pairs:"
    )
    for fault in ("another", "shuffled", "cut"):
        for row in [r for r in rows if r["fault"] == fault][:1]:
            yield Asked(row["prompt"], row["chosen"], [(f"rejected ({fault})", row["rejected"])])
    folder = facts.folder / "dpo"
    yield from _picture(folder / PLOT_FILE, "The loss, and how likely both answers are.")
    yield from _picture(
        folder / "rewards.png",
        "Rewards: how much more likely than before DPO; the margin between right and wrong; and "
        "how often the right answer is preferred.",
    )


def _answers(facts: Facts) -> Iterator[Block]:
    yield Heading("6. The same questions to every model")
    yield Paragraph(
        "Functions from held-out modules; a model always takes the most likely token, which makes "
        "small models repeat themselves, and long answers are cut. The untrained model is not "
        "shown, since it writes noise or nothing, and the base model has never seen a chat. Look "
        "at the form of the answers: whether the models find the right one is in the table above."
    )
    for row in facts.answers:
        if row["kind"] != "code":
            shown = [s for s in MODELS if s != "untrained"]
            answers = [(MODELS[s], _shown(row["answers"][s])) for s in shown]
            yield Asked(row["prompt"], row["expected"], answers)


def _end(facts: Facts) -> Iterator[Block]:
    yield Heading("7. Go on from here")
    folder = facts.folder
    results = folder / "evals"
    commands = [
        ("tinygrad-llm", "chat", folder / "dpo"),
        ("tinygrad-llm", "generate", folder / "pretrain", "--prompt", "def"),
        ("tinygrad-llm", "eval", "compare", results / "pretrain", results / "dpo"),
        ("tinygrad-llm", "export", folder / "dpo"),
    ]  # fmt: skip
    yield Code("\n".join(shell_command(*words) for words in commands))
    versions = ", ".join(f"{name} {version}" for name, version in facts.state["versions"].items())
    stages: list[list[str]] = [
        [name, _minutes(record["seconds"])] for name, record in facts.state["stages"].items()
        if record["outputs"]
    ]  # fmt: skip
    yield Table(("stage", "time"), [*stages, ["together", _minutes(facts.seconds())]])
    options = ", ".join(f"{name} {value}" for name, value in facts.state["options"].items())
    yield Paragraph(
        f"Options: {options}. {platform.machine()}, {cpu_count()} processors; {versions}. The same "
        "options on the same machine give the same models, bit for bit, even if the run was "
        "interrupted."
    )


# --- helpers ------------------------------------------------------------------------------------


def _corpus_name(facts: Facts, capital: bool = False) -> str:
    source = facts.data["source"]
    python = facts.data["details"].get("python", "")
    if source != "stdlib":
        return f"{'The' if capital else 'the'} corpus `{source}`"
    return f"{'The' if capital else 'the'} standard library of Python {python}"


def _minutes(seconds: float) -> str:
    if round(seconds) < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Some rows from everywhere, of both kinds."""
    step = max(1, len(rows) // count) | 1
    return rows[step // 2 :: step][:count]


def _picture(path: Path, caption: str) -> Iterator[Picture]:
    if path.exists():
        yield Picture(path, caption)


def _shown(text: str) -> str:
    return text.strip() or "(nothing)"
