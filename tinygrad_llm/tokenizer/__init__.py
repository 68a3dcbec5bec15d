"""Text to token ids and back: byte-pair encoding (BPE).

The merges are learned by our own code (``train.py``; ``reference.py`` is the version to read
first) and executed by tiktoken's engine (``byte_level.py``). A tokenizer is stored as the
``tokenizer.json`` that the Hugging Face libraries read (``json_format.py``). The tokenizers of
pretrained models come from such a file or from a GGUF file's lists (``from_lists.py``); those that
are SentencePiece's have an engine of their own (``sentencepiece.py``).

The names below load on first use: importing this package imports neither tiktoken nor regex.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer.base import Tokenizer
    from tinygrad_llm.tokenizer.from_lists import tokenizer_from_lists
    from tinygrad_llm.tokenizer.pretrained import get_tokenizer
    from tinygrad_llm.tokenizer.stream import StreamDecoder
    from tinygrad_llm.tokenizer.train import train_bpe

__all__ = ["StreamDecoder", "Tokenizer", "get_tokenizer", "tokenizer_from_lists", "train_bpe"]

_HOME = {
    "StreamDecoder": "stream",
    "Tokenizer": "base",
    "get_tokenizer": "pretrained",
    "tokenizer_from_lists": "from_lists",
    "train_bpe": "train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
