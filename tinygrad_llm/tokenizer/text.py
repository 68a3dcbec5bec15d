"""Text that UTF-8 can represent, and bytes that are not quite UTF-8."""

import re
from collections.abc import Iterator

from tinygrad_llm.errors import UserError


def check_encodable(text: str) -> None:
    """Raises UserError for a lone surrogate, where tiktoken would silently encode U+FFFD."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"character {error.start} of the text is the lone surrogate "
            f"U+{ord(text[error.start]):04X}, which UTF-8 cannot represent; remove it or pass bytes"
        ) from None


_INVALID = re.compile("[\udc80-\udcff]+")


def split_invalid(text: str | bytes) -> Iterator[tuple[str, bytes]]:
    """(valid text, the invalid bytes after it), ...; one pair, with b"", for a str or valid UTF-8.

    Raises UserError for a str with a lone surrogate.
    """
    if isinstance(text, str):
        check_encodable(text)
        yield text, b""
        return
    try:
        yield bytes(text).decode(), b""
    except UnicodeDecodeError:
        # surrogateescape turns an invalid byte b into the code point U+DC00 + b. Nothing else
        # becomes one of those, since surrogates themselves are not valid UTF-8.
        escaped = bytes(text).decode("utf-8", "surrogateescape")
        done = 0
        for invalid in _INVALID.finditer(escaped):
            yield escaped[done : invalid.start()], invalid[0].encode("utf-8", "surrogateescape")
            done = invalid.end()
        yield escaped[done:], b""
