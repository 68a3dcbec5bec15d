"""Rows for fine-tuning, made from functions: what SFT answers, and what DPO prefers.

    a signature  ->  its docstring
    a docstring  ->  a signature

DPO's rejected answers are wrong in one of three ways, each of which a reader can see: they belong
to another function, their words are shuffled, or their end is missing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_llm.evals.docstrings import ASK_DOCSTRING, ASK_SIGNATURE
from tinygrad_llm.pipeline.functions import Function

FAULTS = ("another", "another", "shuffled", "cut")
"""Kinds of rejected answers, as often as they stand here: those that must be understood prevail."""


def completions(functions: Sequence[Function]) -> list[dict[str, Any]]:
    """Two rows of prompt and completion for each function."""
    return [
        {"prompt": prompt, "completion": answer, "module": function.module}
        for function in functions
        for prompt, answer in _both_ways(function)
    ]


def preferences(functions: Sequence[Function], limit: int, seed: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows of prompt, chosen and rejected, and how the latter is wrong.

    There are two for each function, or for those that are drawn at random.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(functions))[: limit // 2])
    rows = []
    for function in (functions[int(i)] for i in drawn):
        for way, (prompt, answer) in enumerate(_both_ways(function)):
            rejected, fault = _wrong(answer, str(rng.choice(FAULTS)), functions, way, rng)
            rows.append(
                {"prompt": prompt, "chosen": answer, "rejected": rejected, "fault": fault,
                 "module": function.module}
            )  # fmt: skip
    return rows


def _both_ways(function: Function) -> tuple[tuple[str, str], tuple[str, str]]:
    return (
        (ASK_DOCSTRING.format(function.signature), function.summary),
        (ASK_SIGNATURE.format(function.summary), function.signature),
    )


def _wrong(
    answer: str, fault: str, functions: Sequence[Function], way: int, rng: np.random.Generator
) -> tuple[str, str]:
    """A wrong answer and its fault: another function's if one word cannot be shuffled or cut."""
    words = answer.split()
    if fault == "shuffled" and len(set(words)) > 1:
        while (shuffled := [words[i] for i in rng.permutation(len(words))]) == words:
            pass
        return " ".join(shuffled), fault
    if fault == "cut" and len(words) > 1:
        return " ".join(words[: (len(words) + 1) // 2]), fault
    while (other := _both_ways(functions[int(rng.integers(len(functions)))])[way][1]) == answer:
        pass
    return other, "another"
