"""Tables of named columns from a file: CSV, TSV, JSON lines, JSON, Parquet (with pyarrow).

Text may be compressed: rows.jsonl.gz.

Every row comes with where it is in its file, so that whatever is wrong with it later can be said
in one sentence with file and line.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import check_json, parse_json, read_bounded, short
from tinygrad_llm.files.regular import open_regular

MAX_BYTES = 1 << 32
MAX_DECOMPRESSED = 1 << 28
FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Row:
    """A row's values by column, and its place: "line 7 of FILE"."""

    values: dict[str, Any]
    place: str

    def text(self, column: str) -> str:
        """The value of a column as text. Raises UserError if there is none, or no such column."""
        if column not in self.values:
            names = ", ".join(map(str, self.values))
            raise UserError(f"{self.place} has no column {column!r}: its columns are {names}")
        value = self.values[column]
        if not isinstance(value, str | int | float | bool):
            raise UserError(f"{self.place}: {column} is {short(value)}, expected text")
        return str(value)


def read_table(path: str | Path) -> list[Row]:
    """The rows of a file; its name's ending says which format it has (FORMATS).

    The first line of CSV and TSV names the columns; TSV has no quotes. Raises UserError for another
    ending, a file without rows, what is not UTF-8, and rows that are damaged.
    """
    path = user_path(path)
    compressed = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if compressed else path).suffix.lower()
    if kind not in FORMATS:
        raise UserError(
            f"{path}: cannot tell the format from the name, expected one of {', '.join(FORMATS)}"
        )
    if kind == ".parquet":
        rows = list(_parquet(path))
    else:
        data = _decompressed(path) if compressed else read_bounded(path, MAX_BYTES)
        text = io.StringIO(decoded(data, str(path)), newline="")
        many = _json(text.read(), str(path)) if kind == ".json" else rows_of(kind, text, str(path))
        rows = list(many)
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _decompressed(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            data = gzip.GzipFile(fileobj=file).read(MAX_DECOMPRESSED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a gzip file, or is damaged ({error})") from None
    if len(data) > MAX_DECOMPRESSED:
        raise UserError(f"{path} has more than {MAX_DECOMPRESSED:,} bytes when it is decompressed")
    return data


def decoded(data: bytes, name: str) -> str:
    """UTF-8 as text. Raises UserError, which names the line, for what is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise UserError(f"{name} is UTF-16 text, expected UTF-8: save it as UTF-8") from None
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"line {line} of {name} is not UTF-8 text") from None


def _refuse(error: UserError) -> NoReturn:
    raise error


def rows_of(
    kind: str,
    lines: Iterable[str],
    name: str,
    any_text: bool = False,
    damaged: Callable[[UserError], object] = _refuse,
) -> Iterator[Row]:
    """The rows of a stream of lines, one by one; ``kind`` is ".csv", ".tsv" or ".jsonl".

    Line ends must be untranslated (newline=""). ``name`` is the file's in places and messages.
    ``any_text`` accepts JSON's strings with half a surrogate pair, which cannot be written again.
    ``damaged(error)`` is called for a row that is damaged, and if it returns, the next one follows.
    The names of the columns are read at once. Raises UserError as ``read_table`` does.
    """
    if kind == ".jsonl":
        return _json_lines(lines, name, any_text, damaged)
    reader = (
        csv.reader(lines, strict=True)
        if kind == ".csv"
        else csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    )
    return _separated(reader, _column_names(reader, name), name, damaged)


def _column_names(reader: Any, path: str) -> list[str]:
    """The first row of a ``csv.reader`` that is not empty; no names if there is none."""
    try:
        names: list[str] = next((values for values in reader if values), [])
    except csv.Error as error:
        raise _damaged(reader, path, error) from None
    if len(set(names)) < len(names):
        raise UserError(f"line {reader.line_num} of {path} names a column twice")
    return names


def _damaged(reader: Any, path: str, error: csv.Error) -> UserError:
    return UserError(f"line {reader.line_num} of {path} is damaged ({error})")


def _separated(
    reader: Any, names: list[str], path: str, damaged: Callable[[UserError], object]
) -> Iterator[Row]:
    """The rows of a ``csv.reader``, without the empty ones."""
    while True:
        place = f"line {reader.line_num + 1} of {path}"  # a quoted value may go over several lines
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            damaged(_damaged(reader, path, error))
            continue
        if len(values) == len(names):
            yield Row(dict(zip(names, values, strict=True)), place)
        elif values:
            problem = f"has {len(values)} columns, but the first line names {len(names)}"
            damaged(UserError(f"{place} {problem}"))


def _json_lines(
    lines: Iterable[str], path: str, any_text: bool, damaged: Callable[[UserError], object]
) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"line {number} of {path}"
            try:
                values = parse_json(line.encode(), place, {...: object}, file_names=any_text)
            except UserError as error:
                damaged(error)
            else:
                yield Row(values, place)


def _json(text: str, path: str) -> Iterator[Row]:
    rows = parse_json(text.encode(), path, [object])
    for values, line in zip(rows, _lines_of_elements(text), strict=True):
        place = f"line {line} of {path}"
        check_json(values, place, {...: object})
        yield Row(values, place)


# What separates the elements of a list, and what may contain it: strings and other brackets.
_SEPARATORS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},]')


def _lines_of_elements(text: str) -> Iterator[int]:
    """The line on which each element of a list begins, in text that is known to be a JSON list."""
    depth, line, counted = 0, 1, 0
    for found in _SEPARATORS.finditer(text):
        mark = found[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        if depth == 1 and mark in ",[":
            rest = _NOT_SPACE.search(text, found.end())
            if rest is not None and rest[0] != "]":  # an empty list has no elements
                line += text.count("\n", counted, rest.start())
                counted = rest.start()
                yield line


_NOT_SPACE = re.compile(r"\S")


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"reading {path} needs pyarrow: pip install pyarrow, or convert it to JSON lines"
        ) from None
    try:
        rows = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path} ({' '.join(str(error).split())[:200]})") from None
    for number, values in enumerate(rows, 1):
        yield Row(values, f"row {number} of {path}")
