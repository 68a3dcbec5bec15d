"""From the name of a corpus to tokens on disk, with a report: shared by train and data prepare."""

import contextlib
import time
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from tinygrad_llm.commands.console import PlainConsole, Working
from tinygrad_llm.data import (
    DataOptions,
    Document,
    Prepared,
    cache_folder,
    cached_tokenizer,
    encode_corpus,
    read_corpus,
    split,
)
from tinygrad_llm.files import user_path
from tinygrad_llm.files.checksums import verify
from tinygrad_llm.training.checkpoint import resolve

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


def open_tokenizer(name: str) -> "Tokenizer":
    """A tokenizer by name, from a run (its best checkpoint), or from a path."""
    from tinygrad_llm.tokenizer import Tokenizer, get_tokenizer

    path = user_path(name)
    if path.is_dir() and not (path / "tokenizer.json").exists():
        checkpoint = resolve(path)
        verify(checkpoint, ["tokenizer.json"])
        return Tokenizer.load(checkpoint)
    return get_tokenizer(name)


def prepare_corpus(
    console: PlainConsole,
    source: str,
    *,
    tokenizer: "Tokenizer | None" = None,
    vocab_size: int = 4096,
    options: DataOptions | None = None,
) -> tuple["Tokenizer", Prepared]:
    """Load, clean, split and encode a corpus, with a report; returns (tokenizer, tokens).

    Without a ``tokenizer``, one of ``vocab_size`` ids is trained on the training side. Both it and
    the tokens come from the cache if they are there.
    """
    cache_folder()  # if it is impossible, say so before the work that would fill it
    corpus = read_corpus(source, options)
    train_docs, val_docs = split(corpus)
    console.say(str(corpus))

    if tokenizer is None:
        tokenizer = train_tokenizer(console, train_docs, vocab_size)

    start = time.perf_counter()
    with warnings_as_notes(console), Working(console, "encoding the corpus") as progress:
        prepared = encode_corpus(
            train_docs, val_docs, tokenizer, about=corpus.about(), progress=progress
        )
    tokens, size = prepared.meta["tokens"], prepared.meta["bytes"]
    per_token = sum(size.values()) / max(1, sum(tokens.values()))
    how = "from the cache" if prepared.cached else _seconds(start)
    console.say(
        f"tokens: {tokens['train']:,} for training, {tokens['val']:,} for validation, "
        f"{per_token:.2f} bytes each; {how}"
    )
    return tokenizer, prepared


def train_tokenizer(
    console: PlainConsole, train_docs: Collection[Document], vocab_size: int
) -> "Tokenizer":
    """A tokenizer trained on the documents, or the same one from the cache, with a report."""
    start = time.perf_counter()
    label = f"training a tokenizer of {vocab_size:,} ids"
    with warnings_as_notes(console), Working(console, label) as progress:
        tokenizer = cached_tokenizer(train_docs, vocab_size, progress=progress)
    how = _seconds(start) if progress.begun else "from the cache"
    console.say(f"tokenizer: {tokenizer.vocab_size:,} ids, {how}")
    return tokenizer


@contextlib.contextmanager
def warnings_as_notes(console: PlainConsole) -> Iterator[None]:
    """Report the warnings of the work within as notes, at the end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        console.say(f"note: {warning.message}")


def _seconds(start: float) -> str:
    return f"{time.perf_counter() - start:.1f} s"
