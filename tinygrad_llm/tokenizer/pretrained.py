"""Tokenizers by name: GPT-2's and the other encodings that tiktoken publishes, or one from a file.

tiktoken downloads an encoding's files on first use and keeps them in the folder that the
environment variable TIKTOKEN_CACHE_DIR names (by default in the system's temporary folder).
"""

import os

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.base import Tokenizer

# tiktoken's patterns with possessive quantifiers, in the form that can also be saved.
_PORTABLE = {
    "gpt2": patterns.GPT2_PATTERN,
    "r50k_base": patterns.GPT2_PATTERN,
    "p50k_base": patterns.GPT2_PATTERN,
    "p50k_edit": patterns.GPT2_PATTERN,
    "cl100k_base": patterns.GPT4_PATTERN,
}


def get_tokenizer(name_or_path: str | os.PathLike) -> Tokenizer:
    """A tokenizer: "gpt2", "cl100k_base", ... (any tiktoken encoding), or a tokenizer.json's path.

    "gpt2" has 50257 ids, the last of which is the end of text. Raises UserError for a name that
    is neither, for a download that fails, and for a file that is not a tokenizer.
    """
    import tiktoken

    if str(name_or_path) in tiktoken.list_encoding_names():
        return _from_tiktoken(str(name_or_path))
    path = user_path(name_or_path)
    if path.exists():
        return Tokenizer.load(path)
    raise UserError(
        f"there is no tokenizer {str(name_or_path)!r}: expected the path of a tokenizer.json or "
        f"one of {', '.join(sorted(tiktoken.list_encoding_names()))}"
    )


def _from_tiktoken(name: str) -> Tokenizer:
    import tiktoken

    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # requests' errors, OSError, ValueError for a wrong checksum
        reason = type(error).__name__
        if isinstance(error, ValueError) and "Hash mismatch" in str(error):
            reason = "its checksum is wrong"
        raise UserError(
            f"the tokenizer {name!r} is not cached and cannot be downloaded ({reason}): connect to "
            "the network once, or set TIKTOKEN_CACHE_DIR to a folder that holds its files"
        ) from error
    pattern = _PORTABLE.get(name, encoding._pat_str)
    return Tokenizer.from_ranks(encoding._mergeable_ranks, pattern, encoding._special_tokens)
