"""Bytes to text: every encoding that can be recognised, and a count of what could not be read.

A byte order mark names its encoding. Without one, text is UTF-8, or UTF-8 with a few wrong bytes
(one from another file, or a character that was cut in two), or in an encoding of one byte a
character. Counting tells the three apart: in UTF-8 a character beyond ASCII is a sequence of bytes
that is rare elsewhere, so text with at least as many such sequences as misplaced bytes is UTF-8.

Which of the older encodings a text is in can only be guessed. Where few of its letters are beyond
ASCII it is in a Western language, as far as anyone can tell: Latin-1 or Windows-1252. Where many
are, as in Russian or Japanese, charset-normalizer finds the encoding in which the text looks most
like a language. ``encoding`` says it where a guess is wrong.
"""

import codecs
import re
from typing import NamedTuple

from tinygrad_llm.errors import UserError

# The longer marks first: UTF-32's starts with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Two or three bytes of a character of three or four, at the end of the data.
_CUT = re.compile(
    rb"(?:[\xe1-\xef][\x80-\xbf]|\xe0[\xa0-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]?"
    rb"|[\xf1-\xf3][\x80-\xbf]{1,2}|\xf4[\x80-\x8f][\x80-\xbf]?)\Z"
)
# What files of the time before UTF-8 were in, outside Western Europe.
LEGACY = (
    "cp1251 koi8_r cp866 cp1250 iso8859_2 cp1253 cp1254 cp1255 cp1256 cp874 "
    "cp932 euc_jp gb18030 big5 cp949"
).split()
_SAMPLE = 1 << 15  # bytes, of lines that are not ASCII, from which an encoding is guessed
_FEWEST = 16  # bytes beyond ASCII below which nothing is guessed
_NOT_ASCII = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")


class Decoded(NamedTuple):
    """A text, the encoding it was in, and how many invalid bytes became U+FFFD."""

    text: str
    encoding: str
    replaced: int = 0


def decode_bytes(data: bytes, encoding: str | None = None) -> Decoded:
    """The text of a file's bytes, without a byte order mark.

    The encoding is ``encoding``, if it is given. Otherwise it is "utf-8", or "utf-16-le" and the
    like if a mark says so, or one of LEGACY if the text looks like it. Otherwise it is "cp1252"
    (Windows), which is Latin-1 with quotes and dashes in place of the control characters 0x80 to
    0x9f, or "latin-1" if those do not fit or do not occur. The last two give *some* text for any
    bytes, so the caller must report their use. Raises UserError if NUL bytes show that the data is
    not text (UTF-16 without a mark has them too, but it is not guessed at).
    """
    if encoding is not None:
        text = data.decode(encoding, "replace").removeprefix("\ufeff")
        mark = "\ufffd".encode(encoding, "ignore")  # it may be in the text by right
        own = data.count(mark) if mark else 0
        return Decoded(text, encoding.lower(), text.count("\ufffd") - own)
    marked = marked_encoding(data)
    if marked is not None and marked != "utf-8":
        return _decode_wide(data, marked)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        at = data.index(b"\0")
        raise UserError(f"a NUL byte at offset {at} indicates binary data, expected UTF-8 text")
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    whole = data.decode("utf-8", "surrogateescape").encode("utf-8", "ignore")
    wrong = len(data) - len(whole)
    sequences = len(whole.decode()) - len(whole.decode().encode("ascii", "ignore"))
    cut = _CUT.search(data[-3:])
    if 0 < sequences >= wrong or (cut is not None and len(cut[0]) == wrong):
        return Decoded(data.decode("utf-8", "replace"), "utf-8", wrong)
    legacy = guess_legacy(data)
    if legacy is not None:
        text = data.decode(legacy, "replace")
        return Decoded(text, legacy, text.count("\ufffd"))
    if any(0x80 <= byte < 0xA0 for byte in set(data)):
        try:
            return Decoded(data.decode("cp1252"), "cp1252")
        except UnicodeDecodeError:  # five of the thirty-two are undefined in it
            pass
    return Decoded(data.decode("latin-1"), "latin-1")


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning of the data names, if there is one."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def with_byte_order(encoding: str, data: bytes) -> str:
    """The encoding's name; for UTF-16 and UTF-32 one that says the order of their bytes.

    Only the beginning of a file, ``data``, has the mark that says it. Without one the low byte is
    first.
    """
    standard = codecs.lookup(encoding).name
    if standard in ("utf-16", "utf-32"):
        return marked_encoding(data) or f"{standard}-le"
    return encoding


def whole_characters(data: bytes, encoding: str) -> int:
    """How many of the bytes are whole characters: all but the last few if one is cut in two."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    decoder.decode(data)
    return len(data) - len(decoder.getstate()[0])


def guess_legacy(data: bytes) -> str | None:
    """The name in LEGACY of the encoding of these bytes, which are not UTF-8; None if in doubt."""
    sample = bytearray()
    for line in _NOT_ASCII.finditer(data):
        sample += line[0]
        if len(sample) >= _SAMPLE:
            break
    beyond = sum(byte >= 0x80 for byte in sample)
    letters = beyond + len(re.findall(rb"[A-Za-z]", sample))
    if beyond < _FEWEST or 4 * beyond < letters:
        return None
    from charset_normalizer import from_bytes

    best = from_bytes(bytes(sample), cp_isolation=LEGACY).best()
    if best is None or best.encoding not in LEGACY:
        return None
    wrong = data.decode(best.encoding, "replace").count("\ufffd")
    return best.encoding if 100 * wrong <= len(data) else None


def _decode_wide(data: bytes, encoding: str) -> Decoded:
    data = data.removeprefix("\ufeff".encode(encoding))
    text = data.decode(encoding, "replace")
    if "\0" in text:
        raise UserError(f"a NUL character indicates binary data, expected {encoding} text")
    unit = 2 if "16" in encoding else 4
    replaced = text.count("\ufffd") - data.decode(encoding, "ignore").count("\ufffd")
    return Decoded(text, encoding, unit * replaced)
