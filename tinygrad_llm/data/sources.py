"""Where text comes from: the standard library, a file, a folder, or a download by name.

The default, ``stdlib``, is the standard library of the Python that runs this: ten megabytes of
real code and documentation that every user already has, so a first model needs no network. Files
are only found and decoded here; clean.py decides what is worth keeping.
"""

import os
import platform
import stat
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tinygrad_llm.data.clean import MINIMUM_BYTES, read_text
from tinygrad_llm.data.corpus import CleanReport, Corpus, Document
from tinygrad_llm.data.download import DATASETS, Progress, fetch
from tinygrad_llm.data.folders import Found, find_files
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

# Tests are repetitive, encodings and lib2to3 are tables, the packages folders are not the standard
# library, and _sysconfigdata contains the paths of the machine that built this Python.
STDLIB_SKIPPED_FOLDERS = frozenset(
    "test tests idle_test site-packages dist-packages lib2to3 encodings pydoc_data".split()
)
STDLIB_SKIPPED_PREFIX = "_sysconfigdata"

# Prose and source code. Data and markup (.json, .csv, .html, .xml) are skipped on purpose: most of
# their bytes are not language. A single file may have any name.
TEXT_SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .org .tex "
    ".py .pyi .c .h .cc .cpp .hpp .cu .rs .go .java .js .ts .sh .lua .rb .jl .r .sql".split()
)

# All text is in memory while it is cleaned, so a path with too much is refused before reading.
MAXIMUM_BYTES = 4 << 30

SUFFIX = "unknown extension"

# Things that look like files by name, but reading them would never end, or never start.
KINDS = {
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFDIR: "a folder, not a file",
}


def load_corpus(
    source: str | os.PathLike = "stdlib",
    *,
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Read the documents of a source, sorted by name, with a report of what was skipped.

    ``source`` is "stdlib", the name of a download (tinyshakespeare, the-verdict), or the path of
    a file or folder (./stdlib for a folder of that name). ``progress(done, total)`` counts the
    bytes of a download; without it a bar is drawn. Raises UserError for a source that is missing,
    empty, binary, too short or too large, and for a download that fails.
    """
    name = os.fspath(source)
    if name == "stdlib":
        return _stdlib()
    if name in DATASETS:
        corpus = _file(fetch(name, cache_dir, progress))
        return Corpus(name, corpus.documents, corpus.report, {"url": DATASETS[name].url})
    path = user_path(name)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"there is no file or folder {name!r}; expected one, or one of: "
            + ", ".join(["stdlib", *DATASETS])
        ) from None
    except (OSError, ValueError) as error:  # a loop of links, no permission, a NUL in the name
        raise UserError(f"cannot open {name!r} ({_reason(error)}); choose another") from None
    if stat.S_ISDIR(mode):
        return _folder(path)
    if stat.S_ISREG(mode):
        return _file(path)
    raise UserError(f"{name!r} is neither a file nor a folder; save the text to a file first")


def _stdlib() -> Corpus:
    """Every module's source in the standard library, and every topic of Python's own help()."""
    root = Path(sysconfig.get_path("stdlib"))
    report = CleanReport()
    # Links are not followed: what a distribution links to differs from machine to machine.
    files = find_files(root, report, STDLIB_SKIPPED_FOLDERS.__contains__, links=False)
    sources = [
        file
        for file in files
        if file.path.suffix == ".py" and not file.path.name.startswith(STDLIB_SKIPPED_PREFIX)
    ]
    documents = _read_files(sources, report, "the standard library")
    if not documents:
        raise UserError(
            f"this Python has no source files of its standard library in {root} (it may be zipped "
            "or frozen); use another Python, or name a file or folder of text instead"
        )
    for topic, text in _help_topics(report).items():
        size = len(text.encode())
        report.find(size)
        report.keep(size)
        documents.append(Document(f"pydoc_data.topics/{topic}", text))
    documents.sort(key=lambda document: document.name)
    return _checked(Corpus("stdlib", documents, report, {"python": platform.python_version()}))


def _help_topics(report: CleanReport) -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions package it separately
        report.note("This Python has no help topics (pydoc_data.topics), only the sources.")
        return {}
    return topics


def _file(path: Path) -> Corpus:
    report = CleanReport()
    documents = _read_files([Found(path.name, path)], report, str(path))
    if report.dropped:
        reason = next(iter(report.dropped))
        raise UserError(f"the file {path} is {reason}; expected readable text")
    return _checked(Corpus(str(path), documents, report))


def _folder(path: Path) -> Corpus:
    report = CleanReport()
    texts: list[Found] = []
    for file in find_files(path, report):
        if file.path.suffix.lower() in TEXT_SUFFIXES and file.path.name[0] != ".":
            texts.append(file)
        else:
            size = _size(file.path)
            report.find(size)
            report.drop(SUFFIX, file.name, size)
    documents = _read_files(texts, report, str(path))
    if not documents:
        skipped = [
            f"{t.documents} skipped: {reason} ({t.names()})" for reason, t in report.dropped.items()
        ]
        reasons = "; ".join(skipped + [note.rstrip(".") for note in report.notes]) or "it is empty"
        raise UserError(
            f"no text files in the folder {path} ({reasons}); expected .txt, .md, .rst, .py or "
            "another extension for text, or name one file directly"
        )
    return _checked(Corpus(str(path), documents, report))


def _read_files(files: Sequence[Found], report: CleanReport, where: str) -> list[Document]:
    """Decode every file; files that cannot be read go into the report and raise nothing."""
    total = sum(_size(path) for _, path in files)
    if total > MAXIMUM_BYTES:
        raise UserError(
            f"{where} has {total:,} bytes of text, expected at most {MAXIMUM_BYTES:,}, because all "
            "of it must fit into memory; name a smaller part"
        )
    documents = []
    for name, path in files:
        try:
            data = _read(path)
        except OSError as error:
            report.find(0)
            report.drop(f"unreadable ({_reason(error)})", name, 0)
            continue
        if isinstance(data, str):
            report.find(0)
            report.drop(data, name, 0)
            continue
        text = read_text(name, data, report)
        if text is not None:
            documents.append(Document(name, text))
    return documents


def _read(path: Path) -> bytes | str:
    """The bytes of a regular file, as many as its size says; or what it is instead, in words.

    It is examined first because opening a pipe would wait for its writer for ever; and a file of
    size 0 may be one of the system's that never end.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        return KINDS.get(stat.S_IFMT(info.st_mode), "not a regular file")
    if info.st_size == 0:
        return b""
    with open(path, "rb") as file:
        return file.read(info.st_size)


def _checked(corpus: Corpus) -> Corpus:
    size = corpus.report.kept_bytes
    if size < MINIMUM_BYTES:
        what = "is empty" if size == 0 else f"has only {size:,} bytes of text"
        raise UserError(
            f"the corpus {corpus.source} {what}, expected at least {MINIMUM_BYTES} bytes; "
            "name a longer text"
        )
    return corpus


def _size(path: Path) -> int:
    try:
        info = path.stat()
    except OSError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
