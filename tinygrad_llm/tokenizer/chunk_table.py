r"""The distinct chunks of texts, counted: what training needs, and what makes encoding fast.

The chunks are those of GPT-4's or GPT-2's pattern (``chunk_kernel.py`` splits). Classes of
characters are asked of the engine that would split the text otherwise, so that the chunks are the
same whatever Unicode version it has.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from tinygrad_llm.tokenizer import patterns

SIZE = 1 << 16  # slots of an empty table

# Only these planes of Unicode have, or may soon have, characters that are not "other".
_PLANES = [*range(0x80, 0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000)]


def pattern_number(expression: str) -> int | None:
    """The compiled splitter of this expression, or None if it has none, or nothing is compiled."""
    if expression not in (patterns.GPT4_PATTERN, patterns.GPT2_PATTERN):
        return None
    from autograd.kernels._jit import COMPILING

    return [patterns.GPT4_PATTERN, patterns.GPT2_PATTERN].index(expression) if COMPILING else None


def classes_of(matching: Callable[[str, str], str]) -> np.ndarray:
    r"""The class of every code point, uint8. ``matching(expression, text)``: what of it matches."""
    from tinygrad_llm.tokenizer.chunk_kernel import LETTER, NEWLINE, NUMBER, OTHER, SPACE

    classes = np.full(0x110000, OTHER, np.uint8)
    text = "".join(map(chr, [*range(0x80), *_PLANES]))
    for expression, kind in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        matched = matching(expression, text)
        classes[np.frombuffer(matched.encode("utf-32-le"), np.uint32)] = kind
    classes[[ord("\r"), ord("\n")]] = NEWLINE
    return classes


@lru_cache(maxsize=1)
def regex_classes() -> np.ndarray:
    """Classes as the ``regex`` package sees them: it splits when a tokenizer is trained."""
    import regex

    return classes_of(lambda expression, text: "".join(regex.findall(expression, text)))


@lru_cache(maxsize=1)
def tiktoken_classes() -> np.ndarray:
    """Classes as tiktoken's engine sees them: it splits when text is encoded."""
    import tiktoken

    single = {bytes([b]): b for b in range(256)}

    def matching(expression: str, text: str) -> str:
        # It drops what its pattern does not match.
        engine = tiktoken.Encoding(
            "classes", pat_str=expression, mergeable_ranks=single, special_tokens={}
        )
        return engine.decode(engine.encode_ordinary(text))

    return classes_of(matching)


def most_frequent(
    counts: np.ndarray, lengths: np.ndarray, hashes: np.ndarray, chunks: int, size: int
) -> np.ndarray:
    """Which chunks to keep, in order: at most so many, with at most ``size`` bytes in all.

    Of equally frequent chunks those with the highest hashes stay, a sample that does not depend on
    where they are in the text. One of more than an eighth of ``size`` is the first to go.
    """
    short = lengths <= size // 8
    order = np.lexsort((hashes, np.where(short, counts, 0)))[::-1]
    fitting = int(np.searchsorted(np.cumsum(lengths[order]), size, side="right"))
    return np.sort(order[: min(chunks, fitting)])


class ChunkTable:
    """Distinct chunks, numbered in the order of their first occurrence, with their counts."""

    def __init__(self, pattern: int, classes: np.ndarray) -> None:
        self.pattern, self.classes = pattern, classes
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.used = 0
        self.slots = np.full(SIZE, -1, np.int32)
        self.starts = np.zeros(SIZE // 2 + 1, np.int64)
        self.hashes = np.zeros(SIZE // 2, np.uint64)
        self.counts = np.zeros(SIZE // 2, np.int64)
        self.arena = np.zeros(8 * SIZE, np.uint8)

    def add(self, text: np.ndarray, numbers: bool = False) -> np.ndarray:
        """Count the chunks of a text (uint8, valid UTF-8); with ``numbers``, return theirs."""
        from tinygrad_llm.tokenizer.chunk_kernel import add_chunks

        out = np.empty(len(text) if numbers else 0, np.int32)
        at = written = 0
        while at < len(text):
            at, self.used, more = add_chunks(
                self.pattern, text, at, len(text), self.classes, self.slots, self.starts,
                self.hashes, self.counts, self.arena, self.used, out[written:],
            )  # fmt: skip
            written += more
            if at < len(text):
                self._grow(text, at)
        return out[:written]

    def _grow(self, text: np.ndarray, at: int) -> None:
        """Make room for the chunk at ``at``, whose length is not known."""
        from tinygrad_llm.tokenizer.chunk_kernel import fill_slots

        if 2 * (self.used + 1) > len(self.slots):
            size = 2 * len(self.slots)
            self.slots = np.full(size, -1, np.int32)
            self.starts = longer(self.starts, size // 2 + 1)
            self.hashes = longer(self.hashes, size // 2)
            self.counts = longer(self.counts, size // 2)
            fill_slots(self.slots, self.hashes, self.used)
        else:
            self.arena = longer(self.arena, 2 * len(self.arena))

    @property
    def size(self) -> int:
        """Bytes of all chunks together."""
        return int(self.starts[self.used])

    def forget_rare(self, chunks: int, size: int) -> None:
        """Keep the most frequent chunks, as ``most_frequent`` chooses them, and their counts."""
        from tinygrad_llm.tokenizer.chunk_kernel import fill_slots

        counts, hashes = self.counts[: self.used], self.hashes[: self.used]
        lengths = np.diff(self.starts[: self.used + 1])
        kept = most_frequent(counts, lengths, hashes, chunks, size)
        data = np.frombuffer(b"".join(map(self.chunk, kept.tolist())), np.uint8)
        self.used = len(kept)
        self.counts[: self.used] = counts[kept]
        self.hashes[: self.used] = hashes[kept]
        self.starts[1 : self.used + 1] = np.cumsum(lengths[kept])
        self.arena[: len(data)] = data
        self.slots.fill(-1)
        fill_slots(self.slots, self.hashes, self.used)

    def chunk(self, number: int) -> bytes:
        """The bytes of a chunk."""
        return self.arena[self.starts[number] : self.starts[number + 1]].tobytes()

    def items(self) -> Iterator[tuple[bytes, int]]:
        """(chunk, count), ..."""
        data = self.arena[: self.starts[self.used]].tobytes()
        starts = self.starts[: self.used + 1].tolist()
        for i, count in enumerate(self.counts[: self.used].tolist()):
            yield data[starts[i] : starts[i + 1]], count


def longer(array: np.ndarray, size: int) -> np.ndarray:
    """A copy of the array with zeros after it, ``size`` elements in all."""
    copy = np.zeros(size, array.dtype)
    copy[: len(array)] = array
    return copy
