"""Rows with a field of text: JSON lines, JSON, CSV, TSV and Parquet; each row is a document.

``field`` names the text: a column, or a path of keys with dots between them ("article.body"); a
list on the way gives the texts of all its elements. Without it the field is "text", or the only
column. Rows are read one by one, JSON files whole and Parquet files by batches of rows.
"""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from tinygrad_llm.data.corpus import CleanReport, Document
from tinygrad_llm.data.decoding import decode_bytes, whole_characters
from tinygrad_llm.data.formats.kinds import HEAD
from tinygrad_llm.data.formats.parquet import parquet_rows
from tinygrad_llm.data.formats.text import REPLACED
from tinygrad_llm.data.formats.unreadable import Unreadable
from tinygrad_llm.data.formats.whole_rows import DamagedRows, whole_rows
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import parse_json
from tinygrad_llm.terminal import one_line

WHOLE = 256 << 20  # bytes of a file that has to be in memory whole
FIELDS = 12  # names of fields in a sentence


def read_rows(
    name: str,
    stream: io.BufferedReader,
    report: CleanReport,
    kind: str,
    field: str | None,
    encoding: str | None,
) -> Iterator[Document]:
    """A document for each row that has text in its field; raises Unreadable if none has."""
    found, empty = 0, 0
    fields: dict[str, None] = {}  # in order
    damaged_rows = DamagedRows(name)
    try:
        for number, values in _rows(name, stream, report, kind, field, encoding, damaged_rows):
            if field is None:
                field = _usual_field(values)
            path = [field] if isinstance(values, dict) and field in values else field.split(".")
            if isinstance(values, str):  # a list of texts instead of rows
                path = []
            texts = list(texts_at(values, path))
            if not texts:
                empty += 1
                fields |= dict.fromkeys(fields_of(values) if len(fields) <= FIELDS else ())
                continue
            # The texts of one row belong together; those of one JSON object are a corpus.
            for i, text in enumerate(texts if number is None else ["\n\n".join(texts)], 1):
                found += 1
                document = f"{name}:{number or i}"
                yield Document(document, _whole_characters(document, text, report), kind)
    finally:
        if found:  # otherwise the whole file is dropped
            damaged_rows.count_in(report)
    if not found and damaged_rows.first:
        raise Unreadable(f"damaged: {damaged_rows.first}", "mend the row or leave it out")
    if not found:
        raise _no_field(field, list(fields)) if empty else Unreadable("empty", "leave it out")
    if empty:
        report.note(f"{empty:,} rows of {name} have no text in the field {field}.")


def texts_at(value: Any, path: list[str]) -> Iterator[str]:
    """Every text at a path of keys; lists on the way count for their elements."""
    if isinstance(value, list):
        for element in value:
            yield from texts_at(element, path)
    elif path and isinstance(value, dict):
        if path[0] in value:
            yield from texts_at(value[path[0]], path[1:])
    elif not path and isinstance(value, str):
        yield value


def fields_of(value: Any, before: str = "") -> Iterator[str]:
    """The fields of a row that have text, with dots between nested keys."""
    if isinstance(value, str):
        yield before.removesuffix(".")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from fields_of(inner, f"{before}{key}.")
    elif isinstance(value, list) and value:
        yield from fields_of(value[0], before)


def _usual_field(first: Any) -> str:
    """The field with the text where none was named, from the first row."""
    only = isinstance(first, dict) and len(first) == 1
    return str(next(iter(first))) if only else "text"


def _no_field(field: str | None, fields: list[str]) -> Unreadable:
    reason = f"a table without text in the field {field or 'text'!r}"
    if not fields:
        return Unreadable(reason, "it has no field with text")
    short = [one_line(name if len(name) <= 40 else name[:37] + "...") for name in fields[:FIELDS]]
    names = ", ".join(short) + (", ..." if len(fields) > FIELDS else "")
    return Unreadable(reason, f"name another with --field: {names}")


def _whole_characters(name: str, text: str, report: CleanReport) -> str:
    """The text with U+FFFD for halves of surrogate pairs, counted in the report."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        halves = whole.count("\ufffd") - text.count("\ufffd")
        text, size = whole, len(whole.encode())
        report.change(REPLACED, name, 0, count=halves)
    report.find(size)
    report.keep(size)
    return text


def _rows(
    name: str,
    stream: io.BufferedReader,
    report: CleanReport,
    kind: str,
    field: str | None,
    encoding: str | None,
    damaged_rows: DamagedRows,
) -> Iterator[tuple[int | None, Any]]:
    """(number, values) of every row; number is None for a JSON file that is one object."""
    if kind == "parquet":
        yield from enumerate(parquet_rows(stream, field, _no_field), 1)
        return
    if kind == "json":
        yield from _json(name, read_whole(stream, "JSON file"), encoding)
        return
    encoding = encoding or _encoding_of(name, stream, report)
    yield from whole_rows(name, stream, kind, encoding, damaged_rows)


def _json(name: str, data: bytes, encoding: str | None) -> Iterator[tuple[int | None, Any]]:
    try:
        text = decode_bytes(data, encoding).text
        content = parse_json(text.encode(), name, object, file_names=True)
    except UserError as error:
        raise Unreadable(f"damaged: {error}", "replace it with a whole copy") from None
    if isinstance(content, list):
        yield from enumerate(content, 1)
    elif isinstance(content, dict):
        yield None, content


def read_whole(stream: BinaryIO, what: str) -> bytes:
    """All bytes of a stream, at most WHOLE of them; raises Unreadable for more."""
    data = stream.read(WHOLE + 1)
    if len(data) > WHOLE:
        raise Unreadable(
            f"a {what} of more than {WHOLE:,} bytes, which has to be in memory whole",
            "divide it, or convert it to JSON lines",
        )
    return data


def _encoding_of(name: str, stream: Any, report: CleanReport) -> str:
    """The encoding of a stream with ``peek``: by its mark, or from its beginning."""
    sample = stream.peek()
    if len(sample) % HEAD == 0:  # a full buffer, so the file goes on after it
        sample = sample[: whole_characters(sample, "utf-8")]
    try:
        found = decode_bytes(sample).encoding
    except UserError:
        raise Unreadable("binary (contains NUL bytes)", "expected rows of text") from None
    if found != "utf-8":
        report.note(f"{name} was read as {found}.")
    return found
