"""Encoding much text at once: each distinct chunk is encoded once, the rest is looking up.

A chunk's ids depend on nothing but its bytes, and a corpus repeats its chunks. So the compiled
splitter (``chunk_kernel.py``) turns a text into numbers of chunks; tiktoken's engine encodes the
chunks that are new; and a second kernel copies the ids of each. The ids are those of the engine
alone, several times faster.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

import numpy as np

from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.chunk_table import ChunkTable, longer, tiktoken_classes
from tinygrad_llm.tokenizer.text import check_encodable

JOB = 1 << 19  # characters that a thread encodes before it takes the next ones
LARGE = 1 << 20  # characters for which it pays to load the compiled code
DISTINCT = 1 << 19  # chunks in a thread's table before it starts again: some 50 MB
DISTINCT_BYTES = 1 << 24  # and the bytes that these have together


def cut_at_lines(text: str, size: int) -> Iterator[str]:
    r"""A text in pieces of about ``size`` characters, whose chunks are those of the whole.

    It is cut after a newline between two characters that are not white space: GPT-4's and GPT-2's
    pattern, and the others in ``patterns.py``, end a chunk there. Without such places the text
    stays whole.
    """
    start = 0
    while len(text) - start > size:
        at = start + size
        while True:
            at = text.find("\n", at)
            if at < 0 or at + 1 == len(text):
                yield text[start:]
                return
            if not text[at - 1].isspace() and not text[at + 1].isspace():
                break
            at += 1
        yield text[start : at + 1]
        start = at + 1
    yield text[start:]


def is_much(texts: Sequence[str | bytes]) -> bool:
    """Whether these are texts, of such a size that encoding them here pays.

    Raises UserError for a lone surrogate. Text with so much white space that the engine has to
    have it cut does not count: it is cut at other places there.
    """
    size = 0
    for text in texts:
        if isinstance(text, bytes):
            return False
        size += len(text)
    if size < LARGE:
        return False
    for text in texts:
        check_encodable(str(text))
    return all(next(patterns.cut_long_space(str(text))) == text for text in texts)


class ChunkEncoder:
    """Encodes texts on one thread; remembers the chunks that it has met.

    encode: the ids of one chunk.
    """

    def __init__(self, pattern: int, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._table = ChunkTable(pattern, tiktoken_classes())
        self._forget()

    def _forget(self) -> None:
        self._table.clear()
        self._known = 0  # chunks whose ids are known
        self._first = np.zeros(1, np.int64)  # chunk c has the ids first[c] to first[c + 1]
        self._ids = np.zeros(0, np.uint32)

    def ids(self, text: str) -> np.ndarray:
        """The ids of a text, uint32."""
        from tinygrad_llm.tokenizer.chunk_kernel import gather

        if self._table.used > DISTINCT or self._table.size > DISTINCT_BYTES:
            self._forget()
        data = np.frombuffer(text.encode(), np.uint8)
        chunks = self._table.add(data, numbers=True)
        self._learn()
        out = np.empty(len(data), np.uint32)  # no id is less than a byte
        return out[: gather(chunks, self._first, self._ids, out)].copy()

    def _learn(self) -> None:
        """Encode the chunks that are new in the table."""
        known, used = self._known, self._table.used
        if used == known:
            return
        new = [self._encode(self._table.chunk(number).decode()) for number in range(known, used)]
        start = int(self._first[known])
        ends = start + np.cumsum([len(ids) for ids in new], dtype=np.int64)
        stop = int(ends[-1])
        # Twice the room each time, so that many short texts do not copy all of it many times.
        if used >= len(self._first):
            self._first = longer(self._first, 2 * used + 1)
        if stop > len(self._ids):
            self._ids = longer(self._ids, 2 * stop)
        self._first[known + 1 : used + 1] = ends
        self._ids[start:stop] = [i for ids in new for i in ids]
        self._known = used


class ChunkEncoders:
    """One encoder for each thread that asks for one; they keep their tables between batches."""

    def __init__(self, make: Callable[[], ChunkEncoder]) -> None:
        self._make = make
        self._idle: list[ChunkEncoder] = []

    def encode_batch(self, texts: Sequence[str], pool: Executor) -> list[np.ndarray]:
        """The ids of each text, uint32."""
        pieces = [(i, piece) for i, text in enumerate(texts) for piece in cut_at_lines(text, JOB)]
        groups: list[list[str]] = [[]]
        size = 0
        for _, piece in pieces:
            if size >= JOB:
                groups.append([])
                size = 0
            groups[-1].append(piece)
            size += len(piece)
        arrays = [ids for group in pool.map(self._encode, groups) for ids in group]
        by_text: list[list[np.ndarray]] = [[] for _ in texts]
        for (i, _), ids in zip(pieces, arrays, strict=True):
            by_text[i].append(ids)
        return [ids[0] if len(ids) == 1 else np.concatenate(ids) for ids in by_text]

    def _encode(self, group: list[str]) -> list[np.ndarray]:
        encoder = self._idle.pop() if self._idle else self._make()
        try:
            return [encoder.ids(text) for text in group]
        finally:
            self._idle.append(encoder)
