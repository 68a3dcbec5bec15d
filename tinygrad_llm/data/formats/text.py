"""Plain text: one document, or several if it is long, so that it never has to be in memory whole.

A file of up to PIECE bytes is one document. A longer one is cut at line ends into documents
"name (part 1)", "name (part 2)" and so on, of about PIECE bytes each; their texts in a row are the
whole text. The encoding of all of them is that of the first.
"""

from collections.abc import Iterator
from typing import BinaryIO

from tinygrad_llm.data.corpus import CleanReport, Document
from tinygrad_llm.data.decoding import decode_bytes, whole_characters, with_byte_order
from tinygrad_llm.data.formats.unreadable import Unreadable
from tinygrad_llm.errors import UserError

PIECE = 16 << 20

SINGLE_BYTE = {
    "latin-1": "not valid UTF-8, read as latin-1",
    "cp1252": "not valid UTF-8, read as Windows-1252",
}
REPLACED = "invalid bytes replaced by U+FFFD"
BYTE_ORDER_MARK = "byte order mark removed"
BINARY = "binary (contains NUL bytes)"


def read_text(name: str, data: bytes, report: CleanReport, encoding: str | None = None) -> str:
    """Decode a file's bytes and add it to the report; raises Unreadable if they are not text."""
    try:
        text, encoding, replaced = decode_bytes(data, encoding)
        if "\0" in text:
            raise UserError("a NUL")
    except UserError:
        raise not_text(data) from None
    report.find(len(data))
    size = len(text.encode("utf-8", "replace"))
    growth = size - len(data)
    if encoding.replace("_", "-") != "utf-8":
        report.change(SINGLE_BYTE.get(encoding, f"read as {encoding}"), name, growth)
        growth = 0
    if replaced:
        report.change(REPLACED, name, growth, count=replaced)
    elif growth:
        report.change(BYTE_ORDER_MARK, name, growth)
    report.keep(size)
    return text


def not_text(data: bytes) -> Unreadable:
    """The sentence for bytes with NULs: binary, or UTF-16 that does not say so."""
    zeros = [data[start : 1 << 12 : 2].count(0) for start in (0, 1)]
    half = len(data[: 1 << 12]) // 2
    if max(zeros) > 0.9 * half > 2 * min(zeros):
        order = "be" if zeros[0] > zeros[1] else "le"
        return Unreadable(BINARY, f"it looks like UTF-16, so try --encoding utf-16-{order}")
    return Unreadable(BINARY)


def read_stream(
    name: str, stream: BinaryIO, report: CleanReport, encoding: str | None, kind: str
) -> Iterator[Document]:
    """The documents of a stream of text; raises Unreadable if it is not text."""
    data = stream.read(PIECE + 1)
    if len(data) <= PIECE:
        yield Document(name, read_text(name, data, report, encoding), kind)
        return
    if encoding is None:
        try:
            encoding = decode_bytes(data[: _line_end(data, "utf-8")]).encoding
        except UserError:
            raise not_text(data) from None
    encoding = with_byte_order(encoding, data)
    number = 0
    while data:
        data += stream.read(max(0, PIECE + 1 - len(data)))
        cut = _line_end(data, encoding) if len(data) > PIECE else len(data)
        number += 1
        part = f"{name} (part {number})"
        text = read_text(part, data[:cut], report, encoding)
        yield Document(part, text, kind)
        data = data[cut:]


def _line_end(data: bytes, encoding: str) -> int:
    """Where to cut data: after the last line end, or before the last character."""
    newline = "\n".encode(encoding)
    at = data.rfind(newline, 0, PIECE)
    while at % len(newline) and at >= 0:  # half of one character and half of the next
        at = data.rfind(newline, 0, at)
    if at >= 0:
        return at + len(newline)
    return whole_characters(data[:PIECE], encoding)
