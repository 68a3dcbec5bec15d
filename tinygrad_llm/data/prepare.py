"""From documents to files of token ids, made once and then found in the cache by hash.

    corpus = clean_corpus(load_corpus("stdlib"))
    train_docs, val_docs = split(corpus)
    tokenizer = cached_tokenizer(train_docs, vocab_size=4096)
    prepared = encode_corpus(train_docs, val_docs, tokenizer, about=corpus.about())

A prepared corpus is a folder: ``train.npy`` and ``val.npy`` (one long row of ids each, every
document followed by the end-of-text id; several files if it is very long, see shards.py) and
``meta.json``, which describes them and has their sizes and sha256, so that a damaged folder is
noticed and built again.
"""

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
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
from tinygrad_llm.data.corpus import Document
from tinygrad_llm.data.download import Progress
from tinygrad_llm.data.shards import Executor, Side
from tinygrad_llm.data.splitting import split
from tinygrad_llm.data.token_file import open_shards, open_tokens, token_dtype
from tinygrad_llm.data.token_row import TokenRow
from tinygrad_llm.data.token_writer import JOURNAL, Written, publish
from tinygrad_llm.data_options import DataOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.json_file import Text, Whole, read_json

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

FORMAT = "2"  # raised whenever the same input would give different files
META = "meta.json"
_FILE_NAME = re.compile(r"(train|val)(-[0-9]{5})?\.npy")
_SHA256 = Text("[0-9a-f]{64}", like="a sha256")
_SIDES = {"train": Whole(0), "val": Whole(0)}
META_SCHEMA = {
    "format": FORMAT,
    "vocab_size": Whole(1),
    "eot_id": Whole(0),
    "tokenizer": _SHA256,
    "dtype": ("uint16", "uint32"),
    "documents": _SIDES,
    "bytes": _SIDES,
    "tokens": _SIDES,
    "files": {...: {"bytes": Whole(1), "sha256": _SHA256}},
    "val_bytes": Whole(0),
    ...: object,  # the content of ``about``
}


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus on disk. ``cached`` says whether it was found there or made."""

    folder: Path
    meta: dict[str, Any]
    cached: bool = False

    @property
    def train(self) -> TokenRow:
        """Training ids (N,), mapped from disk."""
        return self._open("train")

    @property
    def validation(self) -> TokenRow:
        """Validation ids (N,), mapped from disk."""
        return self._open("val")

    @property
    def val_bytes(self) -> int:
        """UTF-8 bytes of the validation text, end-of-text ids counting none."""
        return self.meta["val_bytes"]

    def _open(self, side: str) -> TokenRow:
        return open_shards([self.folder / name for name in _files_of(self.meta, side)])


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
    executor: Executor = map,
) -> Prepared:
    """Encode both sides into the cache, or find them there.

    The entry's name is the hash of the texts in order, the tokenizer's fingerprint and ``about``
    (plain data for meta.json: source, options, report). The documents are read several times, one
    by one, and need not fit into memory. If the process is killed, the next one goes on where it
    was, to the same files. ``progress(done, total)`` counts characters; it is called from when the
    encoding begins, and not at all if the entry is in the cache. ``executor`` encodes the shards
    (shards.py). Raises UserError for an empty side and for a cache that cannot be written.
    """
    about = about or {}
    head = [FORMAT, tokenizer.fingerprint(), json.dumps(about, sort_keys=True)]
    train, val = Side("training", train_docs), Side("validation", val_docs)
    key = hash_parts(chain([*head, str(len(train_docs))], train.parts(), val.parts()))

    def build(folder: Path) -> None:
        shards = train.shards("train"), val.shards("val")
        advance = _Advance(progress, train.characters + val.characters)
        with work_folder(entry, folder, JOURNAL) as work:
            advance(0)  # the work begins here
            written = [
                side.write(its_shards, work, tokenizer, advance, executor)
                for side, its_shards in zip((train, val), shards, strict=True)
            ]
            names = [shard.name for shard in chain(*shards)]
            for name in names:
                publish(work, name, folder)
        meta = about | _description(tokenizer, folder, names, *written)
        (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")

    entry = cache_folder(cache_dir) / "tokens" / key
    prepared, cached = get_or_build(entry, open_prepared, build)
    return Prepared(prepared.folder, prepared.meta, cached)


def _description(
    tokenizer: "Tokenizer", folder: Path, names: Sequence[str], train: Written, val: Written
) -> dict[str, Any]:
    """The content of meta.json, about the token files in the folder."""
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
            for name in names
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


def open_prepared(folder: str | os.PathLike) -> Prepared:
    """The prepared corpus in a folder; raises UserError naming a file that is missing or wrong."""
    folder = Path(folder)
    check_entry(folder, [META])
    meta = read_json(folder / META, META_SCHEMA, file_names=True, advice=AGAIN)
    if meta["val_bytes"] != meta["bytes"]["val"]:
        raise UserError(f"{folder / META} has two numbers for the bytes of validation; {AGAIN}")
    for name in meta["files"]:
        if not _FILE_NAME.fullmatch(name):
            raise UserError(f"{folder / META} names a file {name!r}, expected train.npy; {AGAIN}")
    for side in _SIDES:
        names = _files_of(meta, side)
        if not names:
            raise UserError(f"{folder / META} names no file for {side}; {AGAIN}")
        tokens = [_checked(folder / name, meta["files"][name], meta["dtype"]) for name in names]
        found, expected = sum(map(len, tokens)), meta["tokens"][side]
        if found != expected:
            where = folder / names[0] if len(names) == 1 else f"{folder} for {side}"
            raise UserError(f"{where} has {found} ids, expected {expected}; {AGAIN}")
    return Prepared(folder, meta)


def _files_of(meta: dict[str, Any], side: str) -> list[str]:
    """The names of a side's token files, in order."""
    return sorted(name for name in meta["files"] if name.startswith(side))


def _checked(path: Path, file: dict[str, Any], dtype: str) -> np.ndarray:
    """The ids of a token file; raises UserError if it is not the one that meta.json describes."""
    try:
        # The size first: it costs nothing, and anything that is not a file stays unopened.
        whole = path.is_file() and path.stat().st_size == file["bytes"]
        whole = whole and file_sha256(path) == file["sha256"]
    except OSError:
        raise UserError(f"{path} cannot be read; {AGAIN}") from None
    if not whole:
        raise UserError(f"{path} is not the file that {META} describes; {AGAIN}")
    tokens = open_tokens(path)
    if tokens.dtype != np.dtype(dtype):
        raise UserError(f"{path} has ids of type {tokens.dtype}, expected {dtype}; {AGAIN}")
    return tokens
