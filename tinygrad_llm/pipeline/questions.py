"""Questions about held-out code, for tasks that a tiny model can do.

    docstrings   a signature, and four docstrings: which is its own?      evals/docstrings.py
    signatures   a docstring, and four signatures                        evals/docstrings.py
    next_word    a piece of code up to a word: which one?                 evals/next_word.py

The wrong choices are those of other held-out functions, so nothing about a text tells whether it
was seen in training.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_llm.data.corpus import Document
from tinygrad_llm.errors import UserError
from tinygrad_llm.pipeline.functions import Function

CHOICES = 4
_WORD = re.compile(r"(?<=\S) [A-Za-z_]\w+")


def choices(
    functions: Sequence[Function], limit: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(docstrings, signatures): a row for each of at most ``limit`` functions, drawn at random."""
    kinds = {f.summary for f in functions}, {f.signature for f in functions}
    if min(map(len, kinds)) < CHOICES:
        raise UserError(
            f"the held-out part of the corpus has {len(functions)} functions with docstrings, too "
            f"few for questions with {CHOICES} different choices: name a larger folder of Python "
            "files with --data"
        )
    rng = np.random.default_rng(seed)
    drawn = [functions[i] for i in np.sort(rng.permutation(len(functions))[:limit])]
    docstrings, signatures = [], []
    for f in drawn:
        texts, gold = _among(f.summary, [g.summary for g in functions], rng)
        docstrings.append(
            {"signature": f.signature, "choices": texts, "gold": gold, "module": f.module}
        )
        texts, gold = _among(f.signature, [g.signature for g in functions], rng)
        signatures.append(
            {"docstring": f.summary, "choices": texts, "gold": gold, "module": f.module}
        )
    return docstrings, signatures


def _among(right: str, others: Sequence[str], rng: np.random.Generator) -> tuple[list[str], int]:
    """The right text among wrong ones, in random order, and its place."""
    wrong: list[str] = []
    while len(wrong) < CHOICES - 1:
        text = others[int(rng.integers(len(others)))]
        if text != right and text not in wrong:
            wrong.append(text)
    gold = int(rng.integers(CHOICES))
    return [*wrong[:gold], right, *wrong[gold:]], gold


def next_words(
    documents: Sequence[Document], limit: int, longest: int, seed: int
) -> list[dict[str, Any]]:
    """At most ``limit`` rows, drawn from all documents: {"context", "target"}.

    longest: most bytes of both together, and so, at most as many tokens.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for document in (d for d in documents if d.name.endswith(".py")):
        words = [m for m in _WORD.finditer(document.text) if m.start() > longest]
        for i in rng.permutation(len(words))[: -(-limit // max(1, len(documents)))]:
            context, target = document.text[: words[i].start()], words[i].group()
            room = longest - len(target.encode())
            context = context.encode()[-room:].decode("utf-8", "ignore")
            rows.append({"context": context, "target": target, "module": document.name})
    return rows[:limit]
