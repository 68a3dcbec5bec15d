"""Where text comes from: the standard library, files, patterns, standard input, downloads, the hub.

The default, ``stdlib``, is the standard library of the Python that runs this: ten megabytes of
real code and documentation that every user already has, so a first model needs no network.

    source = open_source("texts/", options)
    report = CleanReport()
    for document in source.documents(report):    # one by one, as often as needed
        ...

A source is read as a stream, so a corpus may be larger than memory. ``load_corpus`` puts all of it
into a list. Files are only found and read here; clean.py decides what is worth keeping.
"""

import glob
import importlib
import os
import platform
import shutil
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from tinygrad_llm.data.corpus import CleanReport, Corpus, Document
from tinygrad_llm.data.download import DATASETS, Progress, fetch
from tinygrad_llm.data.files import read_paths, size_of
from tinygrad_llm.data.folders import Found, find_files
from tinygrad_llm.data.formats.kinds import is_known
from tinygrad_llm.data.formats.read import SUFFIX, read_file
from tinygrad_llm.data.formats.unreadable import Unreadable, missing_extra
from tinygrad_llm.data.hub import PREFIX, find_data
from tinygrad_llm.data.mixture import STDIN, Part, matches, mix, parse_sources
from tinygrad_llm.data_options import ReadOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

# Tests are repetitive, encodings and lib2to3 are tables, the packages folders are not the standard
# library, and _sysconfigdata contains the paths of the machine that built this Python.
STDLIB_SKIPPED_FOLDERS = frozenset(
    "test tests idle_test site-packages dist-packages lib2to3 encodings pydoc_data".split()
)
STDLIB_SKIPPED_PREFIX = "_sysconfigdata"

# A corpus in a list has to fit into memory: more is refused, if possible before reading.
MAXIMUM_BYTES = 4 << 30

# Fewer bytes than this cannot be split into a part to train on and a part to score.
MINIMUM_BYTES = 200


@dataclass(frozen=True)
class Source:
    """A corpus that can be read document by document.

    ``documents(report)`` reads it from the start; the report is complete when the last document has
    come. ``size()`` is the bytes of its files, before anything is unpacked. ``details`` is what
    identifies the text in addition to the name.
    """

    name: str
    documents: Callable[[CleanReport], Iterator[Document]]
    size: Callable[[], int]
    details: dict[str, str] = field(default_factory=dict)


def load_corpus(
    source: str | os.PathLike = "stdlib",
    options: ReadOptions | None = None,
    *,
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """All documents of a source, with a report of what was skipped.

    The arguments are those of ``open_source``. Raises UserError for a source that is missing,
    empty, binary, too short or too large, and for a download that fails.
    """
    opened = open_source(source, options, cache_dir=cache_dir, progress=progress)
    _check_size(opened, opened.size())
    report = CleanReport()
    documents = []
    for document in opened.documents(report):
        documents.append(document)
        _check_size(opened, report.kept_bytes)
    check_length(opened.name, report)
    return Corpus(opened.name, documents, report, opened.details)


def check_length(name: str, report: CleanReport) -> None:
    """Raise UserError if a source has too little text to be split."""
    if report.kept_bytes < MINIMUM_BYTES:
        what = f"has only {report.kept_bytes:,} bytes of text" if report.kept_bytes else "is empty"
        raise UserError(
            f"the corpus {name} {what}, expected at least {MINIMUM_BYTES} bytes; name a longer text"
        )


def _check_size(source: Source, size: int) -> None:
    if size > MAXIMUM_BYTES:
        raise UserError(
            f"{source.name} has {size:,} bytes of text, expected at most {MAXIMUM_BYTES:,}, "
            "because all of it must fit into memory; name a smaller part"
        )


def open_source(
    source: str | os.PathLike,
    options: ReadOptions | None = None,
    *,
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Source:
    """A source by name; nothing but a download and standard input is read yet.

    ``source`` is "stdlib", the name of a download (tinyshakespeare, the-verdict), the path of a
    file or folder (./stdlib for a folder of that name), a pattern of paths ("texts/**/*.jsonl"), a
    data set of the Hugging Face hub ("hub:OWNER/NAME/CONFIG:SPLIT", hub.py), or "-" for standard
    input; or several of these with commas between them, all with weights or none
    ("a:0.7,b:0.3", mixture.py). ``progress(done, total)`` counts the bytes of a download; without
    it a bar is drawn. Raises UserError for a source that does not exist.
    """
    options = options or ReadOptions()
    parts = parse_sources(os.fspath(source))
    opened = [_open_part(part.source, options, cache_dir, progress) for part in parts]
    return opened[0] if len(opened) == 1 else _several(os.fspath(source), parts, opened)


def _open_part(
    name: str,
    options: ReadOptions,
    cache_dir: str | os.PathLike | None,
    progress: Progress | None,
) -> Source:
    if name == "stdlib":
        return _stdlib()
    if name == STDIN:
        return _standard_input(options)
    if name in DATASETS:
        text = _file(fetch(name, cache_dir, progress), ReadOptions())
        return replace(text, name=name, details={"url": DATASETS[name].url})
    if name.startswith(PREFIX):
        return _hub(name, options, cache_dir, progress)
    path = user_path(name)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if glob.has_magic(name):
            return _pattern(name, options)
        raise UserError(
            f"there is no file or folder {name!r}; expected one, or one of: "
            + ", ".join(["stdlib", *DATASETS, "hub:OWNER/NAME"])
        ) from None
    except (OSError, ValueError) as error:  # a loop of links, no permission, a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot open {name!r} ({reason}); choose another") from None
    if stat.S_ISDIR(mode):
        return _folder(path, options)
    if stat.S_ISREG(mode):
        return _file(path, options)
    raise UserError(
        f"{name!r} is neither a file nor a folder; save the text to a file first, or name - "
        "for standard input"
    )


def _several(name: str, parts: list[Part], opened: list[Source]) -> Source:
    """Several sources, one after the other or mixed; each one's name begins its documents'."""
    labels: list[str] = []
    for part in parts:
        label = user_path(part.source).absolute().name
        count = sum(label == other.rpartition("#")[0] or label == other for other in labels)
        labels.append(f"{label}#{count + 1}" if count else label)

    def named(label: str, source: Source, report: CleanReport) -> Iterator[Document]:
        for document in source.documents(report):
            yield replace(document, name=f"{label}/{document.name}")

    def documents(report: CleanReport) -> Iterator[Document]:
        streams = [named(label, one, report) for label, one in zip(labels, opened, strict=True)]
        weights = [part.weight for part in parts if part.weight is not None]
        if weights:
            yield from mix(streams, weights, report)
        else:
            for stream in streams:
                yield from stream

    details = {key: value for one in opened for key, value in one.details.items()}
    return Source(name, documents, lambda: sum(one.size() for one in opened), details)


def _stdlib() -> Source:
    """Every module's source in the standard library, and every topic of Python's own help()."""
    root = Path(sysconfig.get_path("stdlib"))

    def found(report: CleanReport) -> list[Found]:
        # Links are not followed: what a distribution links to differs from machine to machine.
        files = find_files(root, report, STDLIB_SKIPPED_FOLDERS.__contains__, links=False)
        return [
            file
            for file in files
            if file.path.suffix == ".py" and not file.path.name.startswith(STDLIB_SKIPPED_PREFIX)
        ]

    def documents(report: CleanReport) -> Iterator[Document]:
        modules = list(read_paths(found(report), report, ReadOptions()))
        if not modules:
            raise UserError(
                f"this Python has no source files of its standard library in {root} (it may be "
                "zipped or frozen); use another Python, or name a file or folder of text instead"
            )
        topics = [
            Document(f"pydoc_data.topics/{topic}", text)
            for topic, text in _help_topics(report).items()
        ]
        for topic in topics:
            report.find(len(topic.text.encode()))
            report.keep(len(topic.text.encode()))
        yield from sorted([*modules, *topics], key=lambda document: document.name)

    details = {"python": platform.python_version()}
    return Source("stdlib", documents, lambda: _total(found(CleanReport())), details)


def _help_topics(report: CleanReport) -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions package it separately
        report.note("This Python has no help topics (pydoc_data.topics), only the sources.")
        return {}
    return topics


def _file(path: Path, options: ReadOptions) -> Source:
    """One file, of any name."""

    def documents(report: CleanReport) -> Iterator[Document]:
        yield from read_paths([Found(path.name, path)], report, options, alone=True)

    return Source(str(path), documents, lambda: size_of(path))


def _folder(path: Path, options: ReadOptions) -> Source:
    """The files of a folder whose extensions are known."""

    def found(report: CleanReport) -> list[Found]:
        files = []
        for file in find_files(path, report):
            if is_known(file.path.name):
                files.append(file)
            else:
                report.find(size_of(file.path))
                report.drop(SUFFIX, file.name, size_of(file.path))
        return files

    def documents(report: CleanReport) -> Iterator[Document]:
        yield from _some_text(read_paths(found(report), report, options), report, f"folder {path}")

    return Source(str(path), documents, lambda: _total(found(CleanReport())))


def _pattern(pattern: str, options: ReadOptions) -> Source:
    """The files that match a pattern, of any name."""
    files = [Path(path) for path in matches(pattern) if not os.path.isdir(path)]
    if not files:
        raise UserError(
            f"no file matches {pattern!r}; expected a pattern such as 'texts/*.txt', or "
            "'texts/**/*.txt' for all folders below"
        )
    root = Path(os.path.commonpath([path.parent for path in files]))
    found = [Found(path.relative_to(root).as_posix(), path) for path in files]

    def documents(report: CleanReport) -> Iterator[Document]:
        yield from _some_text(read_paths(found, report, options), report, f"files {pattern}")

    return Source(pattern, documents, lambda: _total(found))


def _some_text(
    documents: Iterator[Document], report: CleanReport, where: str
) -> Iterator[Document]:
    """The documents; raises UserError, saying what was skipped, if there are none."""
    first = next(documents, None)
    if first is None:
        skipped = [
            f"{t.documents} skipped: {reason} ({t.names()})" for reason, t in report.dropped.items()
        ]
        reasons = "; ".join(skipped + [note.rstrip(".") for note in report.notes]) or "it is empty"
        raise UserError(
            f"no text files in the {where} ({reasons}); expected .txt, .md, .rst, .py or another "
            "extension for text, or name one file directly"
        )
    yield first
    yield from documents


def _hub(
    name: str,
    options: ReadOptions,
    cache_dir: str | os.PathLike | None,
    progress: Progress | None,
) -> Source:
    """A split of a data set on the Hugging Face hub, shard by shard."""
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise UserError(str(missing_extra(f"{name} is Parquet", "pyarrow", "parquet"))) from None
    data = find_data(name, cache_dir)
    options = replace(options, input_format="parquet")

    def documents(report: CleanReport) -> Iterator[Document]:
        if data.partial:
            report.note(f"The hub has converted only the beginning of {name} to Parquet.")
        found = (Found(shard, path) for shard, path in data.files(cache_dir, progress))
        yield from read_paths(found, report, options, alone=True)

    size = sum(shard.size for shard in data.shards)
    return Source(name, documents, lambda: size, {data.repository: data.commit})


def _standard_input(options: ReadOptions) -> Source:
    """Standard input, copied to a file that disappears, as it can be read only once."""
    copy: BinaryIO = tempfile.TemporaryFile()  # type: ignore[assignment]  # noqa: SIM115
    try:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        size = copy.tell()
    except OSError as error:
        raise UserError(
            f"cannot keep standard input in {tempfile.gettempdir()} ({error.strerror}); free some "
            "space, or set TMPDIR to another folder"
        ) from None

    def documents(report: CleanReport) -> Iterator[Document]:
        copy.seek(0)
        try:
            yield from read_file("standard input", copy, size, report, options)  # type: ignore[arg-type]
        except Unreadable as error:
            raise UserError(f"standard input is {error}") from None

    return Source("standard input", documents, lambda: size)


def _total(files: list[Found]) -> int:
    return sum(size_of(file.path) for file in files)
