"""scores.png: what each model of a pipeline can do, stage by stage."""

from math import log
from pathlib import Path
from typing import Any

from tinygrad_llm.files import write_atomically
from tinygrad_llm.finetune.curves import COLORS, picture
from tinygrad_llm.pipeline.facts import MODELS, Facts
from tinygrad_llm.training.plot import FAINT, INK

TASKS = {
    "next_word": "next word of held-out code",
    "docstrings": "docstring of a function, as code",
    "docstrings_chat": "docstring of a function, in a chat",
    "signatures_chat": "signature of a docstring, in a chat",
}
"""The tasks whose scores are shares, with what they are."""
METRICS = {
    "next_word": "acc", "docstrings": "acc_norm", "docstrings_chat": "acc_norm",
    "signatures_chat": "acc_norm",
}  # fmt: skip


def score(results: dict[str, Any], task: str) -> tuple[float, tuple[float, float], float]:
    """(score, its band, chance) of a task with shares."""
    scored, metric = results["results"][task], METRICS[task]
    low, high = scored[f"{metric}_band,none"]
    return scored[f"{metric},none"], (low, high), results["configs"][task]["chance"]


def bits(results: dict[str, Any]) -> float:
    """Bits per byte of held-out text."""
    return results["results"]["perplexity"]["bits_per_byte,none"]


def guess_bits(results: dict[str, Any], vocab_size: int) -> float:
    """Bits per byte of the same text if all tokens are equally likely."""
    tokens = results["results"]["perplexity"]["token_perplexity,none"]
    return bits(results) * log(vocab_size) / log(tokens)


def draw_scores(facts: Facts, path: Path) -> None:
    """Bits per byte above; below, a group of bars for each task, with bands and chance."""
    write_atomically(path, picture(2.6, 2, lambda axes: _draw(facts, axes), "what each stage adds"))


def _draw(facts: Facts, axes: list[Any]) -> None:
    above, below = axes
    for i, (stage, name) in enumerate(MODELS.items()):
        value = bits(facts.results[stage])
        above.barh(i, value, color=COLORS[i], height=0.62)
        above.text(value, i, f" {value:.2f}", va="center", fontsize=9, color=INK)
        for j, task in enumerate(TASKS):
            share, (low, high), chance = score(facts.results[stage], task)
            x = j + (i - 1.5) * 0.2
            below.bar(x, share, width=0.18, color=COLORS[i], label=name if j == 0 else None)
            below.plot([x, x], [low, high], color=INK, linewidth=1.2)
            if chance and i == 0:
                below.plot([j - 0.42, j + 0.42], [chance] * 2, "--", color=INK, linewidth=1)
                if j == len(TASKS) - 1:
                    below.text(j + 0.43, chance, "chance", fontsize=7, va="center", color=INK)
    above.set_yticks(range(len(MODELS)), list(MODELS.values()))
    above.invert_yaxis()
    above.set_xlabel("bits per byte of held-out code (lower is better)")
    above.margins(x=0.1)
    titles = [
        title.replace(", ", ",\n").replace(" of held", "\nof held") for title in TASKS.values()
    ]
    below.set_xticks(range(len(TASKS)), titles, fontsize=8)
    below.set_ylabel("share that is right")
    below.set_ylim(0, 1)
    below.legend(frameon=False, ncols=4, loc="upper right", fontsize=8)
    for one in axes:
        one.grid(axis="x" if one is above else "y", color=FAINT, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
