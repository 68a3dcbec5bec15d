"""From documents to two files of token ids, made once and found again by hash.

    corpus = clean_corpus(load_corpus("stdlib"))
    train_docs, val_docs = split(corpus)
    tokenizer = cached_tokenizer(train_docs, vocab_size=4096)
    prepared = encode_corpus(train_docs, val_docs, tokenizer, about=corpus.about())

A prepared corpus is a folder: ``train.npy`` and ``val.npy`` (one long row of ids each, every
document followed by the end-of-text id) and ``meta.json``, which says what they are and carries
their sizes and sha256, so that a damaged folder is noticed and built again. Ids are uint16 where
the vocabulary allows it: half the memory, and the file is mapped, not read.
"""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_llm.data.cache import AGAIN, cache_folder, check_entry, get_or_build, hash_parts
from tinygrad_llm.data.clean import CleanOptions, clean_corpus
from tinygrad_llm.data.corpus import Document
from tinygrad_llm.data.download import Progress
from tinygrad_llm.data.loader import open_tokens
from tinygrad_llm.data.sources import load_corpus
from tinygrad_llm.data.splitting import split
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.json_file import Text, Whole, read_json

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

FORMAT = "2"  # raised whenever the same input would give other files
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
    ...: object,  # what ``about`` holds
}
_BATCH = 1 << 22  # characters handed to the tokenizer at a time: progress moves, memory does not


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus on disk. ``cached`` says that it was found rather than made."""

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
    options: CleanOptions | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Load, clean, split and encode a source; ``tokenizer`` is one, or a name or path of one."""
    corpus = clean_corpus(load_corpus(source, cache_dir=cache_dir), options)
    train_docs, val_docs = split(corpus, validation_modulus)
    if isinstance(tokenizer, str):
        from tinygrad_llm.tokenizer import get_tokenizer

        tokenizer = get_tokenizer(tokenizer)
    about = corpus.about()
    return encode_corpus(train_docs, val_docs, tokenizer, cache_dir, about=about, progress=progress)


def encode_corpus(
    train_docs: Sequence[Document],
    val_docs: Sequence[Document],
    tokenizer: "Tokenizer",
    cache_dir: str | os.PathLike | None = None,
    *,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Encode both sides into the cache, or find them there.

    The entry's name is the hash of the texts in order, the tokenizer's fingerprint and ``about``
    (plain data for meta.json: source, options, report). ``progress(done, total)`` counts
    characters. Raises UserError for an empty side and for a cache that cannot be written.
    """
    for documents, side in ((train_docs, "training"), (val_docs, "validation")):
        if not any(document.text for document in documents):
            raise UserError(f"the {side} side of the corpus holds no text; name a longer corpus")
    about = about or {}
    key = hash_parts(
        [FORMAT, tokenizer.fingerprint(), json.dumps(about, sort_keys=True), str(len(train_docs))]
        + [part for d in (*train_docs, *val_docs) for part in (d.name, d.text)]
    )

    def build(folder: Path) -> None:
        total = sum(len(d.text) for d in (*train_docs, *val_docs))
        done = 0

        def advance(characters: int) -> None:
            nonlocal done
            done += characters
            if progress is not None:
                progress(done, total)

        dtype = token_dtype(tokenizer.vocab_size)
        sides = {TRAIN: train_docs, VAL: val_docs}
        meta: dict[str, Any] = {
            **about,
            "format": FORMAT,
            "vocab_size": tokenizer.vocab_size,
            "eot_id": tokenizer.eot_id,
            "tokenizer": tokenizer.fingerprint(),
            "dtype": dtype.name,
            "documents": {},
            "bytes": {},
            "tokens": {},
            "files": {},
        }
        for file, documents in sides.items():
            pieces = _encode(documents, tokenizer, dtype, advance)
            write_tokens(folder / file, pieces, dtype)
            side = file.removesuffix(".npy")
            meta["documents"][side] = len(documents)
            meta["bytes"][side] = sum(len(d.text.encode()) for d in documents)
            meta["tokens"][side] = sum(len(piece) for piece in pieces)
            meta["files"][file] = {
                "bytes": (folder / file).stat().st_size,
                "sha256": file_sha256(folder / file),
            }
        meta["val_bytes"] = meta["bytes"]["val"]
        (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")

    entry = cache_folder(cache_dir) / "tokens" / key
    prepared, cached = get_or_build(entry, open_prepared, build)
    return Prepared(prepared.folder, prepared.meta, cached)


def token_dtype(vocab_size: int) -> np.dtype:
    """uint16 where every id fits in 16 bits, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def write_tokens(path: Path, pieces: Sequence[np.ndarray], dtype: np.dtype) -> None:
    """Write the pieces (n_i,) one after another as one .npy; it appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    length = sum(len(piece) for piece in pieces)
    try:
        tokens = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=(length,))
        _take_space(partial)
        at = 0
        for piece in pieces:
            tokens[at : at + len(piece)] = piece
            at += len(piece)
        tokens.flush()
        del tokens  # Windows renames no file that is mapped
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _take_space(path: Path) -> None:
    """Give a file with holes its space on disk, so that a full disk is an OSError here.

    Otherwise the first write into the mapping would meet it, and kill the process (SIGBUS).
    """
    if not hasattr(os, "posix_fallocate"):  # Windows has no holes here; macOS has no such call
        return
    with open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # "not on this file system"
                raise


def _encode(
    documents: Sequence[Document], tokenizer: "Tokenizer", dtype: np.dtype, advance: Any
) -> list[np.ndarray]:
    """Ids of each document, end of text appended. A literal "<|endoftext|>" in a text is text."""
    end = np.array([tokenizer.eot_id], dtype=dtype)
    pieces: list[np.ndarray] = []
    for batch in _batches(documents):
        for document, ids in zip(
            batch, tokenizer.encode_batch([d.text for d in batch]), strict=True
        ):
            ids = np.asarray(ids)
            if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
                raise UserError(
                    f"the tokenizer gave id {int(ids.max())} for {document.name}, expected ids "
                    f"below its vocab_size of {tokenizer.vocab_size}"
                )
            pieces += [ids.astype(dtype), end]
        advance(sum(len(d.text) for d in batch))
    return pieces


def _batches(documents: Sequence[Document]) -> list[list[Document]]:
    batches: list[list[Document]] = [[]]
    size = 0
    for document in documents:
        if batches[-1] and size + len(document.text) > _BATCH:
            batches.append([])
            size = 0
        batches[-1].append(document)
        size += len(document.text)
    return batches


def open_prepared(folder: str | os.PathLike) -> Prepared:
    """A prepared folder, verified; raises UserError naming the file that is missing or wrong."""
    folder = Path(folder)
    check_entry(folder, [META])
    meta = read_json(folder / META, META_SCHEMA, file_names=True, advice=AGAIN)
    if meta["val_bytes"] != meta["bytes"]["val"]:
        raise UserError(f"{folder / META} has two numbers for the bytes of validation; {AGAIN}")
    for name, file in meta["files"].items():
        path = folder / name
        try:
            # The size first: it costs nothing, and what is not a file is not opened.
            whole = path.is_file() and path.stat().st_size == file["bytes"]
            whole = whole and file_sha256(path) == file["sha256"]
        except OSError:
            raise UserError(f"{path} cannot be read; {AGAIN}") from None
        if not whole:
            raise UserError(f"{path} is not the file that {META} describes; {AGAIN}")
        tokens, expected = open_tokens(path), meta["tokens"][name.removesuffix(".npy")]
        if len(tokens) != expected or tokens.dtype != np.dtype(meta["dtype"]):
            raise UserError(f"{path} holds {len(tokens)} ids, expected {expected}; {AGAIN}")
    return Prepared(folder, meta)


def cached_tokenizer(
    train_docs: Sequence[Document],
    vocab_size: int,
    pattern: str = "gpt4",
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> "Tokenizer":
    """A tokenizer trained on these documents, or the same one found in the cache.

    The entry's name is the hash of the training texts, vocab_size and pattern. Hand in the
    training side only (``split``): merges learned from validation text would flatter its score.
    """
    from tinygrad_llm.tokenizer import Tokenizer, train_bpe

    texts = [document.text for document in train_docs]
    key = hash_parts(["tokenizer", FORMAT, str(vocab_size), pattern, *texts])

    def build(folder: Path) -> None:
        tokenizer = train_bpe(texts, vocab_size, pattern=pattern, progress=progress)
        tokenizer.save(folder)

    def read(folder: Path) -> "Tokenizer":
        check_entry(folder, ["tokenizer.json"])
        return Tokenizer.load(folder)

    return get_or_build(cache_folder(cache_dir) / "tokenizers" / key, read, build)[0]
