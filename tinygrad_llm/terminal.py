"""Text on its way to a person: nothing in it can steer the terminal, and a command can be pasted.

What a model writes, how a file is called, what a server answers: none of it is ours, and any of it
may hold control codes, which clear the screen, rename the window or rewrite an earlier line.
"""

import os
import re
import shlex

from tinygrad_llm.errors import UserError

# Control codes but tab and newline (C0, DEL, C1), and the marks that reverse the order of a line.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with every control code but tab and newline as an escape: ESC is shown as ``\\x1b``.

    A line end of Windows is a line end. Half a surrogate pair, which stands for a byte of a file
    name that is no text, is left to the stream, which escapes what it cannot encode.
    """
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """``text`` as ``printable`` gives it, on one line: for a sentence that quotes a name."""
    return printable(text).replace("\n", "\\n")


def _escape(match: re.Match) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shell_command(*words: object) -> str:
    """The words as a command that can be copied into a POSIX shell, whatever is in them."""
    return " ".join(map(_shell_word, map(str, words)))


def _shell_word(word: str) -> str:
    if printable(word) == word and "\n" not in word and not _has_surrogates(word):
        return shlex.quote(word)
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in word.encode("utf-8", "surrogateescape")
    )
    return f"$'{escaped}'"  # the shell's own way to write bytes


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def typed_text(text: str, what: str) -> str:
    """An argument of the command line as text: where the locale is not UTF-8, Python has it as
    bytes in disguise.

    Raises UserError, which names ``what``, for bytes that are no UTF-8.
    """
    if not _has_surrogates(text):
        return text
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise UserError(f"{what} is not UTF-8 text: {ascii(text)[1:-1]}") from None
