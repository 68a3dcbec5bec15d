"""Text for a terminal: nothing in it can control the terminal, and commands can be pasted.

The output of a model, the name of a file, the answer of a server: all of it comes from elsewhere,
and any of it may contain control codes, which clear the screen, rename the window or rewrite an
earlier line.
"""

import os
import re
import shlex

from tinygrad_llm.errors import UserError

# Control codes except tab and newline (C0, DEL, C1), and the marks that reverse a line's order.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with control codes, except tab and newline, as escapes: ESC becomes ``\\x1b``.

    A Windows line end counts as a line end. Half a surrogate pair, which stands for a byte of a
    file name that is not text, is left to the stream, which escapes what it cannot encode.
    """
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """``text`` as ``printable`` returns it, on one line: for a sentence that quotes a name."""
    return printable(text).replace("\n", "\\n")


def _escape(match: re.Match) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shell_command(*words: object) -> str:
    """The words as a command that can be pasted into a POSIX shell, whatever they contain."""
    return " ".join(map(_shell_word, map(str, words)))


def _shell_word(word: str) -> str:
    if printable(word) == word and "\n" not in word and not _has_surrogates(word):
        return shlex.quote(word)
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in word.encode("utf-8", "surrogateescape")
    )
    return f"$'{escaped}'"  # the shell's own notation for bytes


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def typed_text(text: str, what: str) -> str:
    """An argument of the command line as text.

    If the locale is not UTF-8, Python represents its bytes by surrogates. Raises UserError, which
    names ``what``, for bytes that are not UTF-8.
    """
    if not _has_surrogates(text):
        return text
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise UserError(f"{what} is not UTF-8 text: {ascii(text)[1:-1]}") from None
