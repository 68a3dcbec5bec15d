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


def escape_invalid(data: bytes) -> str:
    """The text of any bytes. A byte b that is not part of valid UTF-8 becomes U+DC00 + b.

    Nothing else becomes one of those lone surrogates, since surrogates are not valid UTF-8.
    """
    return bytes(data).decode("utf-8", "surrogateescape")


def split_escaped(text: str) -> Iterator[tuple[str, bytes]]:
    """(valid text, the invalid bytes after it), ...; one pair, with b"", if all of it is valid."""
    done = 0
    for invalid in () if text.isascii() else _INVALID.finditer(text):
        yield text[done : invalid.start()], invalid[0].encode("utf-8", "surrogateescape")
        done = invalid.end()
    yield text[done:], b""


def escaped(text: str | bytes) -> str:
    """A str as it is, bytes by ``escape_invalid``; raises UserError for a str that no UTF-8 has."""
    if isinstance(text, bytes | bytearray | memoryview):
        return escape_invalid(text)
    check_encodable(text)
    return text


def split_invalid(text: str | bytes) -> Iterator[tuple[str, bytes]]:
    """(valid text, the invalid bytes after it), ...; one pair, with b"", for a str or valid UTF-8.

    Raises UserError for a str with a lone surrogate.
    """
    return split_escaped(escaped(text))
