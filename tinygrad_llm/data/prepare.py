"""From documents to two files of token ids, made once and then found in the cache by hash.

    corpus = clean_corpus(load_corpus("stdlib"))
    train_docs, val_docs = split(corpus)
    tokenizer = cached_tokenizer(train_docs, vocab_size=4096)
    prepared = encode_corpus(train_docs, val_docs, tokenizer, about=corpus.about())

A prepared corpus is a folder: ``train.npy`` and ``val.npy`` (one long row of ids each, every
document followed by the end-of-text id) and ``meta.json``, which describes them and has their sizes
and sha256, so that a damaged folder is noticed and built again.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_llm.data.cache import (
    AGAIN,
    cache_folder,
    check_entry,
    get_or_build,
    hash_parts,
    work_folder,
)
from tinygrad_llm.data.clean import read_corpus
from tinygrad_llm.data.corpus import Document, text_bytes
from tinygrad_llm.data.download import Progress
from tinygrad_llm.data.splitting import split
from tinygrad_llm.data.token_file import open_tokens, token_dtype
from tinygrad_llm.data.token_writer import JOURNAL, TokenWriter, Written
from tinygrad_llm.data_options import DataOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.json_file import Text, Whole, read_json
from tinygrad_llm.freed_memory import FreedMemory

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

FORMAT = "2"  # raised whenever the same input would give different files
META, TRAIN, VAL = "meta.json", "train.npy", "val.npy"
_SHA256 = Text("[0-9a-f]{64}", like="a sha256")
_SIDES = {"train": Whole(0), "val": Whole(0)}
_FILE = {"bytes": Whole(1), "sha256": _SHA256}
META_SCHEMA = {
    "format": FORMAT,
    "vocab_size": Whole(1),
    "eot_id": Whole(0),
    "tokenizer": _SHA256,
    "dtype": ("uint16", "uint32"),
    "documents": _SIDES,
    "bytes": _SIDES,
    "tokens": _SIDES,
    "files": {TRAIN: _FILE, VAL: _FILE},
    "val_bytes": Whole(0),
    ...: object,  # the content of ``about``
}
_BATCH = 1 << 22  # characters per call of the tokenizer: progress moves, memory does not


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus on disk. ``cached`` says whether it was found there or made."""

    folder: Path
    meta: dict[str, Any]
    cached: bool = False

    @property
    def train(self) -> np.ndarray:
        """Training ids (N,), mapped from disk."""
        return open_tokens(self.folder / TRAIN)

    @property
    def validation(self) -> np.ndarray:
        """Validation ids (N,), mapped from disk."""
        return open_tokens(self.folder / VAL)

    @property
    def val_bytes(self) -> int:
        """UTF-8 bytes of the validation text, end-of-text ids counting none."""
        return self.meta["val_bytes"]


def prepare(
    source: str | os.PathLike,
    tokenizer: "Tokenizer | str",
    *,
    validation_modulus: int = 20,
    cache_dir: str | os.PathLike | None = None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Load, clean, split and encode a source; returns the prepared corpus.

    ``source`` is what ``load_corpus`` takes, ``tokenizer`` a Tokenizer, or the name or path of one.
    One in ``validation_modulus`` documents is for validation. ``progress(done, total)`` counts
    characters.
    """
    corpus = read_corpus(source, options, cache_dir=cache_dir)
    train_docs, val_docs = split(corpus, validation_modulus)
    if isinstance(tokenizer, str):
        from tinygrad_llm.tokenizer import get_tokenizer

        tokenizer = get_tokenizer(tokenizer)
    about = corpus.about()
    return encode_corpus(train_docs, val_docs, tokenizer, cache_dir, about=about, progress=progress)


def encode_corpus(
    train_docs: Collection[Document],
    val_docs: Collection[Document],
    tokenizer: "Tokenizer",
    cache_dir: str | os.PathLike | None = None,
    *,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Encode both sides into the cache, or find them there.

    The entry's name is the hash of the texts in order, the tokenizer's fingerprint and ``about``
    (plain data for meta.json: source, options, report). The documents are read several times, one
    by one, and need not fit into memory. If the process is killed, the next one goes on where it
    was, to the same files. ``progress(done, total)`` counts characters; it is called from when the
    encoding begins, and not at all if the entry is in the cache. Raises UserError for an
    empty side and for a cache that cannot be written.
    """
    about = about or {}
    head = [FORMAT, tokenizer.fingerprint(), json.dumps(about, sort_keys=True)]
    total = _Total()
    key = hash_parts(
        chain(
            [*head, str(len(train_docs))],
            total.parts(train_docs, "training"),
            total.parts(val_docs, "validation"),
        )
    )

    def build(folder: Path) -> None:
        with work_folder(entry, folder, JOURNAL) as work:
            advance = _Advance(progress, total.characters)
            advance(0)  # the work begins here
            train = _write_side(work, TRAIN, train_docs, tokenizer, advance)
            val = _write_side(work, VAL, val_docs, tokenizer, advance)
            train.publish(folder / TRAIN)
            val.publish(folder / VAL)
        meta = about | _description(tokenizer, folder, train.written, val.written)
        (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")

    entry = cache_folder(cache_dir) / "tokens" / key
    prepared, cached = get_or_build(entry, open_prepared, build)
    return Prepared(prepared.folder, prepared.meta, cached)


class _Total:
    """Adds up the characters of the documents while they are hashed."""

    characters = 0

    def parts(self, documents: Iterable[Document], side: str) -> Iterator[str]:
        """What determines the token file of a side. Raises UserError if it has no text."""
        before = self.characters
        for document in documents:
            self.characters += len(document.text)
            yield from (document.name, document.text)
        if self.characters == before:
            raise UserError(f"the {side} side of the corpus has no text; name a longer corpus")


def _write_side(
    folder: Path,
    name: str,
    documents: Iterable[Document],
    tokenizer: "Tokenizer",
    advance: "_Advance",
) -> TokenWriter:
    """Encode the documents into a token file, beginning where an earlier process was killed."""
    writer = TokenWriter(folder, name, token_dtype(tokenizer.vocab_size))
    freed = FreedMemory()
    try:
        left = iter(documents)
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
    return writer


def _description(
    tokenizer: "Tokenizer", folder: Path, train: Written, val: Written
) -> dict[str, Any]:
    """The content of meta.json, about the two token files in the folder."""
    return {
        "format": FORMAT,
        "vocab_size": tokenizer.vocab_size,
        "eot_id": tokenizer.eot_id,
        "tokenizer": tokenizer.fingerprint(),
        "dtype": token_dtype(tokenizer.vocab_size).name,
        "documents": {"train": train.documents, "val": val.documents},
        "bytes": {"train": train.bytes, "val": val.bytes},
        "tokens": {"train": train.tokens, "val": val.tokens},
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
            for name in (TRAIN, VAL)
        },
        "val_bytes": val.bytes,
    }


class _Advance:
    """Adds up the characters that are done, and reports them to ``progress``."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def __call__(self, characters: int) -> None:
        self.done += characters
        if self.progress is not None:
            self.progress(self.done, self.total)


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


def open_prepared(folder: str | os.PathLike) -> Prepared:
    """The prepared corpus in a folder; raises UserError naming a file that is missing or wrong."""
    folder = Path(folder)
    check_entry(folder, [META])
    meta = read_json(folder / META, META_SCHEMA, file_names=True, advice=AGAIN)
    if meta["val_bytes"] != meta["bytes"]["val"]:
        raise UserError(f"{folder / META} has two numbers for the bytes of validation; {AGAIN}")
    for name, file in meta["files"].items():
        path = folder / name
        try:
            # The size first: it costs nothing, and anything that is not a file stays unopened.
            whole = path.is_file() and path.stat().st_size == file["bytes"]
            whole = whole and file_sha256(path) == file["sha256"]
        except OSError:
            raise UserError(f"{path} cannot be read; {AGAIN}") from None
        if not whole:
            raise UserError(f"{path} is not the file that {META} describes; {AGAIN}")
        tokens = open_tokens(path)
        expected = meta["tokens"][name.removesuffix(".npy")]
        if len(tokens) != expected or tokens.dtype != np.dtype(meta["dtype"]):
            raise UserError(f"{path} has {len(tokens)} ids, expected {expected}; {AGAIN}")
    return Prepared(folder, meta)
