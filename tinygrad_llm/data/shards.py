"""Shards: runs of whole documents, each of which becomes a file of token ids of its own.

A shard ends with the document that fills it, so where shards begin does not depend on what others
contain: each can be encoded without the others, in any order, here or elsewhere, and a killed
process begins none of the finished ones again. A side that fits into one shard is ``train.npy``;
otherwise there are ``train-00001.npy`` and so on.

``Executor`` is the one place where shards are handed out. The usual one is Python's ``map``: one
after the other in this process, where the tokenizer's threads use every processor.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_llm.data.corpus import Document, text_bytes
from tinygrad_llm.data.spool import Documents, View
from tinygrad_llm.data.token_file import token_dtype
from tinygrad_llm.data.token_writer import TokenWriter, Written
from tinygrad_llm.errors import UserError
from tinygrad_llm.freed_memory import FreedMemory

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

SHARD = 1 << 28  # characters in a shard: some 100 million ids, 200 MB
_BATCH = 1 << 22  # characters per call of the tokenizer: progress moves, memory does not


@dataclass(frozen=True)
class Shard:
    """A run of documents and the name of its file. ``start`` is the mark of the first one."""

    name: str
    start: int
    documents: int


Executor = Callable[[Callable[[Shard], Written], Sequence[Shard]], Iterable[Written]]
"""Applies a function to every shard; returns the results in the order of the shards, like ``map``.

The function has to see the documents and the folder, wherever it runs.
"""


class Side:
    """The documents for training or for validation, and their shards."""

    def __init__(self, name: str, documents: Collection[Document]) -> None:
        self.name = name
        self.characters = 0
        self._documents = documents if isinstance(documents, Documents) else View(documents)
        self._starts: list[int] = []
        self._lengths: list[int] = []

    def parts(self) -> Iterator[str]:
        """What determines the files: names and texts. After the last one the shards are known.

        Raises UserError if there is no text.
        """
        in_shard = SHARD
        for mark, document in self._documents.marked():
            if in_shard >= SHARD:
                self._starts.append(mark)
                self._lengths.append(0)
                in_shard = 0
            self._lengths[-1] += 1
            in_shard += len(document.text)
            self.characters += len(document.text)
            yield from (document.name, document.text)
        if self.characters == 0:
            raise UserError(f"the {self.name} side of the corpus has no text; name a longer corpus")

    def shards(self, file_name: str) -> list[Shard]:
        """The shards, in order, in files called file_name.npy or file_name-00001.npy and so on."""
        names = [f"{file_name}-{n:05}.npy" for n in range(1, len(self._starts) + 1)]
        if len(names) == 1:
            names = [f"{file_name}.npy"]
        return [Shard(*values) for values in zip(names, self._starts, self._lengths, strict=True)]

    def write(
        self,
        shards: Sequence[Shard],
        folder: Path,
        tokenizer: "Tokenizer",
        advance: Callable[[int], object],
        executor: Executor = map,
    ) -> Written:
        """Encode the shards into unfinished files in a folder; returns what they hold together.

        ``advance`` is called with the number of characters that are done.
        """
        write = partial(
            write_shard,
            documents=self._documents, folder=folder, tokenizer=tokenizer, advance=advance,
        )  # fmt: skip
        every = list(executor(write, shards))
        return Written(
            sum(written.documents for written in every),
            sum(written.bytes for written in every),
            sum(written.tokens for written in every),
        )


def write_shard(
    shard: Shard,
    documents: Documents,
    folder: Path,
    tokenizer: "Tokenizer",
    advance: Callable[[int], object],
) -> Written:
    """Encode a shard into an unfinished file, going on where an earlier process was killed."""
    writer = TokenWriter(folder, shard.name, token_dtype(tokenizer.vocab_size))
    freed = FreedMemory()
    try:
        left = (document for _, document in islice(documents.marked(shard.start), shard.documents))
        for document in islice(left, writer.written.documents):
            advance(len(document.text))
        for batch in _batches(left):
            writer.write(_encode(batch, tokenizer), text_bytes(batch))
            size = sum(len(document.text) for document in batch)
            advance(size)
            freed.passed(size)
        writer.finish()
        freed.give_back()
    finally:
        writer.close()
    return writer.written


def _encode(batch: Sequence[Document], tokenizer: "Tokenizer") -> list[np.ndarray]:
    """Ids of each document, end of text appended. A literal "<|endoftext|>" in a text is text."""
    dtype = token_dtype(tokenizer.vocab_size)
    end = np.array([tokenizer.eot_id], dtype)
    rows = []
    encoded = tokenizer.encode_batch([document.text for document in batch])
    for document, ids in zip(batch, map(np.asarray, encoded), strict=True):
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
            raise UserError(
                f"the tokenizer gave id {int(ids.max())} for {document.name}, expected ids "
                f"below its vocab_size of {tokenizer.vocab_size}"
            )
        rows.append(np.concatenate([ids.astype(dtype), end]))
    return rows


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        if batch and size + len(document.text) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document.text)
    if batch:
        yield batch
