"""The distinct chunks of a corpus and how often each occurs: all that training looks at.

A named pattern is split by compiled code (``chunk_kernel.py``) on two threads, any other by the
``regex`` package. The texts pass through once and are not kept, so the memory is that of the
distinct chunks, and they are bounded too: see DISTINCT.
"""

import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, compress
from zlib import crc32

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.freed_memory import FreedMemory
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.chunk_encoder import cut_at_lines
from tinygrad_llm.tokenizer.chunk_table import (
    ChunkTable,
    most_frequent,
    pattern_number,
    regex_classes,
)
from tinygrad_llm.tokenizer.text import split_invalid

LARGE = 1 << 22  # characters for which it pays to load the compiled code
JOB = 1 << 20  # characters that a thread counts at once
TABLES = 2  # whatever the number of processors, so that the counts are the same on every machine
DISTINCT = 1 << 20
"""Chunks that are remembered. 250 MB of source code have 0.4 million."""
DISTINCT_BYTES = 1 << 24
"""Bytes that these have together: 4 MB in 250 MB of source code, much more in a language that is
written without spaces. Of a corpus with more chunks, or longer ones, the rarest are left out, which
no vocabulary of a usual size would have merged whole; a warning says so. One that comes again after
that is counted anew. Training takes some 30 bytes of memory for each of these."""


def count_chunks(texts: Iterable[str | bytes], pattern: str = "gpt4") -> Counter[bytes]:
    """Split every text by `pattern`; returns distinct chunk -> number of occurrences.

    Raises UserError for a pattern that leaves characters out.
    """
    if isinstance(texts, str | bytes):
        raise UserError("the texts to train on must be a list of documents, not one string")
    expression = patterns.resolve(pattern)
    pieces = (valid for text in texts for valid, _ in split_invalid(text))
    number = pattern_number(expression)
    if number is None:
        return _count_by_regex(pieces, expression, pattern)
    first: list[str] = []
    size = 0
    for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size >= LARGE:
            return _count_compiled(chain(first, pieces), number)
    return _count_by_regex(first, expression, pattern)


def _count_by_regex(pieces: Iterable[str], expression: str, pattern: str) -> Counter[bytes]:
    chunks: Counter[str] = Counter()
    characters = matched = 0
    forgotten = False
    for piece in pieces:
        characters += len(piece)
        found = Counter(patterns.find_chunks(expression, piece))
        matched += sum(len(chunk) * count for chunk, count in found.items())
        chunks.update(found)
        if len(chunks) > 2 * DISTINCT:
            forgotten = _keep_frequent(chunks)
    if matched != characters:
        raise UserError(
            f"the split pattern {pattern!r} leaves out {characters - matched} of {characters} "
            "characters, which could then not be encoded; every character must match"
        )
    encoded = Counter({chunk.encode(): count for chunk, count in chunks.items()})
    del chunks
    if _keep_frequent(encoded) or forgotten:
        _warn_of_forgotten()
    return encoded


def _count_compiled(pieces: Iterable[str], number: int) -> Counter[bytes]:
    """Each table has a thread of its own; job i always goes to the same table."""
    tables = [ChunkTable(number, regex_classes()) for _ in range(TABLES)]
    forgotten = [False] * TABLES

    def count(table: int, job: list[str]) -> None:
        for piece in job:
            tables[table].add(np.frombuffer(piece.encode(), np.uint8))
        if tables[table].used > DISTINCT or tables[table].size > DISTINCT_BYTES:
            forgotten[table] = True
            tables[table].forget_rare(DISTINCT // 2, DISTINCT_BYTES // 2)

    threads = [ThreadPoolExecutor(1) for _ in tables]
    waiting: deque[Future] = deque()
    freed = FreedMemory()
    try:
        for i, job in enumerate(_jobs(pieces)):
            if len(waiting) >= 2 * TABLES:
                waiting.popleft().result()
            waiting.append(threads[i % TABLES].submit(count, i % TABLES, job))
            freed.passed(JOB)
        for future in waiting:
            future.result()
    finally:
        for thread in threads:
            thread.shutdown(cancel_futures=True)
    chunks: Counter[bytes] = Counter()
    for table in tables:
        for chunk, occurrences in table.items():
            chunks[chunk] += occurrences
        table.clear()
    freed.give_back()
    if _keep_frequent(chunks) or any(forgotten):
        _warn_of_forgotten()
    return chunks


def _warn_of_forgotten() -> None:
    warnings.warn(
        f"the text has more than {DISTINCT:,} distinct words, or {DISTINCT_BYTES >> 20} MiB of "
        "them: the rarest were not used for training the tokenizer",
        stacklevel=5,
    )


def _jobs(pieces: Iterable[str]) -> Iterator[list[str]]:
    """Pieces of about JOB characters: long texts are cut, short ones come together."""
    job: list[str] = []
    size = 0
    for part in (part for piece in pieces for part in cut_at_lines(piece, JOB)):
        job.append(part)
        size += len(part)
        if size >= JOB:
            yield job
            job, size = [], 0
    yield job


def _keep_frequent(chunks: Counter[bytes] | Counter[str]) -> bool:
    """Remove the rarest chunks if there are too many; returns whether there are."""
    lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
    if len(chunks) <= DISTINCT and lengths.sum() <= DISTINCT_BYTES:
        return False
    counts = np.fromiter(chunks.values(), np.int64, len(chunks))
    hashes = np.fromiter(map(_crc, chunks), np.uint32, len(chunks))
    rare = np.ones(len(chunks), bool)
    rare[most_frequent(counts, lengths, hashes, DISTINCT, DISTINCT_BYTES)] = False
    for chunk in list(compress(chunks, rare.tolist())):
        del chunks[chunk]
    return True


def _crc(chunk: str | bytes) -> int:
    return crc32(chunk.encode() if isinstance(chunk, str) else chunk)
