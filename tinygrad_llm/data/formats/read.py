"""A file of any format to its documents: recognised, unpacked, read, one document at a time."""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath

from tinygrad_llm.data.corpus import CleanReport, Document
from tinygrad_llm.data.formats.archives import read_tar, read_zip
from tinygrad_llm.data.formats.compressed import open_compressed
from tinygrad_llm.data.formats.kinds import COMPRESSED, HEAD, ROWS, is_known, recognise
from tinygrad_llm.data.formats.pages import epub_text, html_text, pdf_text
from tinygrad_llm.data.formats.rows import read_rows, read_whole
from tinygrad_llm.data.formats.text import read_stream
from tinygrad_llm.data.formats.unreadable import Unreadable
from tinygrad_llm.data_options import ReadOptions

SUFFIX = "unknown extension"
ARCHIVES = ("zip", "tar")


def read_file(
    name: str,
    stream: io.BufferedReader,
    size: int,
    report: CleanReport,
    options: ReadOptions,
    around: tuple[str, ...] = (),
) -> Iterator[Document]:
    """The documents of a file of ``size`` bytes, which the report counts as they come.

    Memory holds one document, or one file of a format that can only be read whole (HTML, PDF, EPUB,
    JSON). ``around`` are the formats that the file is packed in. Raises Unreadable for a file that
    gives no text; of an archive's members those that give none are dropped.
    """
    kind = file_kind(name, stream, options)
    if kind in COMPRESSED.values():
        if around and around[-1] in COMPRESSED.values():
            raise Unreadable(f"a {kind} file in a {around[-1]} file", "unpack it first")
        inner = open_compressed(kind, stream, size)
        yield from read_file(_unpacked(name), inner, size, report, options, (*around, kind))
    elif kind in ARCHIVES:
        if set(around) & set(ARCHIVES) or (kind == "zip" and around):
            raise Unreadable(f"a {kind} file in a {around[-1]} file", "unpack it first")
        yield from _members(name, kind, stream, size, report, options, (*around, kind))
    elif kind in ("text", "code"):
        yield from read_stream(name, stream, report, options.encoding, kind)
    elif kind == "parquet" or kind in ROWS.values():
        rows = _seekable(stream) if kind == "parquet" else stream
        yield from read_rows(name, rows, report, kind, options.field, options.encoding)
    else:
        text = _page(kind, stream, size, options)
        report.find(len(text.encode()))
        report.keep(len(text.encode()))
        yield Document(name, text, kind)


def file_kind(name: str, stream: io.BufferedReader, options: ReadOptions) -> str:
    """The format of a stream; the one that the options name is that of what is packed in it."""
    kind = recognise(name, stream.peek(HEAD)[:HEAD], options.input_format)
    packed = kind in ARCHIVES or kind in COMPRESSED.values()
    return kind if packed or options.input_format == "auto" else options.input_format


def drop(report: CleanReport, error: Unreadable, name: str, size: int) -> None:
    """Count a file that gives no text, or no more text."""
    report.find(size)
    report.drop(str(error), name, size)


def _members(
    name: str,
    kind: str,
    stream: io.BufferedReader,
    size: int,
    report: CleanReport,
    options: ReadOptions,
    around: tuple[str, ...],
) -> Iterator[Document]:
    """The documents of an archive; members that give none are dropped, as in a folder."""
    reasons: list[str] = []
    some_text = False
    for member in read_zip(stream, size) if kind == "zip" else read_tar(stream):
        inside = f"{name}/{member.name}"
        if not is_known(member.name) and options.input_format == "auto":
            reasons.append(SUFFIX)
            report.find(member.size)
            report.drop(SUFFIX, inside, member.size)
            continue
        documents = 0
        try:
            for document in read_file(inside, member.stream, member.size, report, options, around):
                documents += 1
                yield document
        except Unreadable as error:
            reasons.append(str(error))
            drop(report, error, inside, 0 if documents else member.size)
        some_text = some_text or documents > 0
    if not some_text:
        why = f"its {len(reasons)} files: {reasons[0]}" if reasons else "it is empty"
        raise Unreadable(f"a {kind} file without a text ({why})", "name another")


def _unpacked(name: str) -> str:
    """A compressed file's name without its extension; .tgz is short for .tar.gz."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in COMPRESSED:
        return name
    return str(path.with_suffix(".tar" if path.suffix.lower() == ".tgz" else ""))


def _seekable(stream: io.BufferedReader) -> io.BufferedReader:
    """The stream, or its bytes in memory if it can only be read from start to end."""
    if stream.seekable():
        return stream
    return io.BufferedReader(io.BytesIO(read_whole(stream, "Parquet file")))  # type: ignore[arg-type]


def _page(kind: str, stream: io.BufferedReader, size: int, options: ReadOptions) -> str:
    if kind == "html":
        return html_text(stream, options.encoding)
    if kind == "pdf":
        return pdf_text(stream)
    if not stream.seekable():
        stream = io.BufferedReader(io.BytesIO(read_whole(stream, "EPUB")))  # type: ignore[arg-type]
    return epub_text(stream, size)
