"""Token ids on disk: one row of integers in a .npy file, mapped into memory when it is read.

Ids are uint16 if the vocabulary allows it: half the memory of uint32.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from tinygrad_llm.data.token_row import ShardedTokens, TokenRow
from tinygrad_llm.errors import UserError

Row = TypeVar("Row", bound=TokenRow)

CHUNK = 1 << 22  # ids processed together: a mapped file of any size passes through little memory


def token_dtype(vocab_size: int) -> np.dtype:
    """uint16 if every id fits in 16 bits, otherwise uint32."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def open_tokens(path: str | os.PathLike) -> np.ndarray:
    """Ids (N,) of a .npy file, mapped and read-only. Raises UserError for any other file."""
    path = Path(path)
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise UserError(
            f"{path} is not a whole .npy file of token ids (it is not a regular file); prepare the "
            "corpus again"
        )
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"there is no token file {path}; prepare the corpus first") from None
    except Exception as error:  # a damaged header also ends in TokenError, OverflowError, ...
        reason = str(error).partition("\n")[0][:200] or type(error).__name__  # it quotes the file
        raise UserError(
            f"{path} is not a whole .npy file of token ids ({reason}); prepare the corpus again"
        ) from error
    if not isinstance(tokens, np.ndarray):  # np.load also opens a .npz, as another type
        tokens.close()
        raise UserError(f"{path} is a .npz archive, expected a .npy file with one row of token ids")
    return checked_row(tokens, str(path))


def open_shards(paths: Sequence[str | os.PathLike]) -> TokenRow:
    """Ids of one or several .npy files as one row (N,), mapped and read-only.

    Raises UserError for a file that is missing or no row of ids.
    """
    shards = [open_tokens(path) for path in paths]
    return shards[0] if len(shards) == 1 else ShardedTokens(shards)


def check_tokens(tokens: TokenRow, vocab_size: int, name: str = "the token array") -> None:
    """Raise UserError unless tokens is a row of integers in [0, vocab_size)."""
    checked_row(tokens, name)
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[start : start + CHUNK]
        wrong = (chunk >= vocab_size) | (chunk < 0)
        if wrong.any():
            at = start + int(wrong.argmax())
            raise UserError(
                f"{name} has id {int(tokens[at])} at position {at}, expected ids from 0 to "
                f"{vocab_size - 1}: it was made with another tokenizer; prepare it again"
            )


def checked_row(tokens: Row, name: str) -> Row:
    """``tokens``, if it is one row of integers; otherwise raises UserError, which names it."""
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise UserError(
            f"{name} has shape {tokens.shape} and dtype {tokens.dtype}, expected one row of "
            "integer token ids"
        )
    return tokens
