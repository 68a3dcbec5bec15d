"""A tokenizer trained on a corpus, made once and then found in the cache by hash."""

import os
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_llm.data.cache import cache_folder, check_entry, get_or_build, hash_parts
from tinygrad_llm.data.corpus import Document
from tinygrad_llm.data.download import Progress

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

FORMAT = "2"  # raised whenever the same input would give a different tokenizer


def cached_tokenizer(
    train_docs: Collection[Document],
    vocab_size: int,
    pattern: str = "gpt4",
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> "Tokenizer":
    """A tokenizer trained on these documents, or the same one from the cache.

    The entry's name is the hash of the training texts, vocab_size and pattern. Pass the training
    side only (``split``): merges learned from validation text would flatter its score.
    ``progress(done, total)`` counts merges; it is first called, with (0, None), before the training
    begins, and not at all if the tokenizer is in the cache.
    """
    from tinygrad_llm.tokenizer import Tokenizer, train_bpe

    head = ["tokenizer", FORMAT, str(vocab_size), pattern]
    key = hash_parts(chain(head, (document.text for document in train_docs)))

    def build(folder: Path) -> None:
        if progress is not None:
            progress(0, None)
        texts = (document.text for document in train_docs)
        tokenizer = train_bpe(texts, vocab_size, pattern=pattern, progress=progress)
        tokenizer.save(folder)

    def read(folder: Path) -> "Tokenizer":
        check_entry(folder, ["tokenizer.json"])
        return Tokenizer.load(folder)

    return get_or_build(cache_folder(cache_dir) / "tokenizers" / key, read, build)[0]
