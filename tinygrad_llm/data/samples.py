"""Samples of what the rules of cleaning dropped and changed, to judge the rules by.

Each rule keeps a few of its documents, drawn evenly from all of them as they pass (reservoir
sampling, Vitter 1985), so the memory does not grow and the first files are not favoured.
"""

import random
from collections.abc import Iterator

from tinygrad_llm.data.corpus import Document, counted

SHOWN = 300  # characters of a text


class Samples:
    """An observer of ``clean_stream``: ``count`` samples for each reason."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self._count, self._random = count, random.Random(seed)
        self._met: dict[str, int] = {}
        self._samples: dict[str, list[str]] = {}

    def __call__(self, reason: str, document: Document, changed: str | None) -> None:
        """Count a document, and perhaps keep a sample of it."""
        self._met[reason] = met = self._met.get(reason, 0) + 1
        samples = self._samples.setdefault(reason, [])
        at = len(samples) if met <= self._count else self._random.randrange(met)
        if at < self._count:
            samples[at : at + 1] = [_sample(document, changed)]

    def lines(self, words: str = "") -> Iterator[tuple[str, list[str]]]:
        """(reason with its number of documents, its samples), for reasons with these words."""
        for reason, samples in self._samples.items():
            if words.lower() in reason.lower():
                yield f"{reason}: {counted(self._met[reason])}", samples


def _sample(document: Document, changed: str | None) -> str:
    """A document's name and its beginning, or the first place where it was changed."""
    text = document.text
    if changed is None:
        return f"{document.name}: {_excerpt(text, 0)}"
    pairs = zip(text, changed, strict=False)
    at = next((i for i, (old, new) in enumerate(pairs) if old != new), min(len(text), len(changed)))
    start = max(0, at - 20)
    return f"{document.name}: {_excerpt(text, start)} -> {_excerpt(changed, start)}"


def _excerpt(text: str, start: int) -> str:
    return repr(text[start : start + SHOWN]) + ("..." if start + SHOWN < len(text) else "")
