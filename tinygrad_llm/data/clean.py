"""Cleaning: from raw bytes to texts worth a model's time, with an account of every change.

The rules are those of Raschka's *LLMs from scratch* (the Project Gutenberg chapter): UTF-8 or
what decoding.py can tell, mostly ASCII, no runs of blank lines, no licence boilerplate, nothing
empty. Each rule is one small function from text to text, so that each can be read and tested
alone; ``clean_documents`` applies them in order and keeps the books.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tinygrad_llm.data.corpus import CleanReport, Corpus, Document, some
from tinygrad_llm.data.decoding import decode_bytes
from tinygrad_llm.data.gutenberg import take_books
from tinygrad_llm.errors import UserError

SINGLE_BYTE = {
    "latin-1": "not valid UTF-8, read as latin-1",
    "cp1252": "not valid UTF-8, read as Windows-1252",
}
REPLACED = "bytes that are not valid there replaced by U+FFFD"
BYTE_ORDER_MARK = "byte order mark removed"
NEWLINES = "line ends made \\n"
GUTENBERG = "Project Gutenberg's header and footer removed"
BLANK_LINES = "runs of blank lines collapsed"
BINARY = "binary (holds NUL bytes)"
EMPTY = "empty"
EXACT_DUPLICATE = "exact duplicate of an earlier document"
NEAR_DUPLICATE = "near duplicate of an earlier document"

# Fewer bytes than this cannot be split into something to train on and something to score.
MINIMUM_BYTES = 200


@dataclass(frozen=True)
class CleanOptions:
    """Which rules run. The defaults are the protocol's."""

    min_ascii_share: float = 0.9
    """Drop a document with a smaller share of ASCII characters; 0 keeps every language."""
    strip_gutenberg: bool = True
    """Remove Project Gutenberg's header and footer."""
    collapse_blank_lines: bool = True
    """Make every run of blank lines one blank line."""
    exact_duplicates: bool = True
    """Drop a document whose cleaned text was seen before."""
    near_duplicates: bool = False
    """Also drop a document that shares most of its five-word shingles with an earlier one."""
    near_duplicate_threshold: float = 0.8
    """The Jaccard similarity of shingles from which on two documents are near duplicates."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_ascii_share <= 1.0:
            raise UserError(
                f"min_ascii_share is {self.min_ascii_share}, expected a share between 0 and 1"
            )
        if not 0.0 < self.near_duplicate_threshold <= 1.0:
            raise UserError(
                f"near_duplicate_threshold is {self.near_duplicate_threshold}, "
                "expected a similarity above 0 and at most 1"
            )


def read_text(name: str, data: bytes, report: CleanReport) -> str | None:
    """Decode one file and enter it in the report; None where it is binary and was dropped."""
    report.find(len(data))
    try:
        text, encoding, replaced = decode_bytes(data)
    except UserError:
        report.drop(BINARY, name, len(data))
        return None
    size = len(text.encode())
    growth = size - len(data)
    if encoding != "utf-8":
        report.change(SINGLE_BYTE.get(encoding, f"read as {encoding}"), name, growth)
        growth = 0
    if replaced:
        report.change(REPLACED, name, growth, count=replaced)
    elif growth:
        report.change(BYTE_ORDER_MARK, name, growth)
    report.keep(size)
    return text


def ascii_share(text: str) -> float:
    """Share of the characters that are ASCII; 1.0 for an empty text."""
    if text.isascii():  # a flag CPython keeps with the string: no scan
        return 1.0
    return len(text.encode("ascii", "ignore")) / len(text)


def normalise_newlines(text: str) -> str:
    """Windows' and the old Macintosh's line ends become \\n."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def collapse_blank_lines(text: str) -> str:
    """Runs of lines that hold nothing but white space become one empty line."""
    return re.sub(r"\n\s*\n", "\n\n", text)


def strip_gutenberg(text: str) -> str:
    """Without Project Gutenberg's headers and footers; gutenberg.py says what those are."""
    return take_books(text).text


def clean_documents(
    documents: Iterable[Document], options: CleanOptions | None = None
) -> tuple[list[Document], CleanReport]:
    """Apply the rules in order; what survives keeps its name and its place.

    Texts are normalised first, then judged (empty, not ASCII enough, seen before), so that two
    copies that differ only in line ends or boilerplate count as duplicates.
    """
    options = options or CleanOptions()
    report = CleanReport()
    mostly: list[str] = []
    left: list[str] = []

    def strip(text: str) -> str:
        stripped = take_books(text)
        mostly.extend([name] * stripped.mostly)
        left.extend([name] * stripped.left)
        return stripped.text

    rules: list[tuple[str, Callable[[str], str]]] = [(NEWLINES, normalise_newlines)]
    if options.strip_gutenberg:
        rules.append((GUTENBERG, strip))
    if options.collapse_blank_lines:
        rules.append((BLANK_LINES, collapse_blank_lines))
    foreign = f"ASCII share under {options.min_ascii_share:g}"

    kept: list[Document] = []
    seen: set[bytes] = set()
    for document in documents:
        name, text = document.name, document.text
        size = len(text.encode())
        report.find(size)
        if "\0" in text:
            report.drop(BINARY, name, size)
            continue
        for reason, rule in rules:
            changed = rule(text)
            if changed != text:
                new_size = len(changed.encode())
                report.change(reason, name, new_size - size)
                text, size = changed, new_size
        if not text.strip():
            report.drop(EMPTY, name, size)
            continue
        if ascii_share(text) < options.min_ascii_share:
            report.drop(foreign, name, size)
            continue
        digest = hashlib.sha256(text.encode()).digest()
        if options.exact_duplicates and digest in seen:
            report.drop(EXACT_DUPLICATE, name, size)
            continue
        seen.add(digest)
        kept.append(Document(name, text))
    if mostly:
        report.note(f"Most of {some(mostly)} was Project Gutenberg's header and footer.")
    if left:
        report.note(
            f"{some(left)} quote Project Gutenberg's markers; nothing was removed, as most of the "
            "text would have gone."
        )
    if options.near_duplicates:
        kept = _drop_near_duplicates(kept, options.near_duplicate_threshold, report)
    for document in kept:
        report.keep(len(document.text.encode()))
    return kept, report


def _drop_near_duplicates(
    documents: list[Document], threshold: float, report: CleanReport
) -> list[Document]:
    from tinygrad_llm.data.near_duplicates import find_near_duplicates

    earlier = find_near_duplicates([d.text for d in documents], threshold)
    for document, twin in zip(documents, earlier, strict=True):
        if twin is not None:
            report.drop(NEAR_DUPLICATE, document.name, len(document.text.encode()))
    return [d for d, twin in zip(documents, earlier, strict=True) if twin is None]


def clean_corpus(corpus: Corpus, options: CleanOptions | None = None) -> Corpus:
    """A corpus with cleaned documents and the report of reading and cleaning together.

    Raises UserError where too little text is left, saying what was dropped.
    """
    documents, report = clean_documents(corpus.documents, options)
    report = corpus.report.then(report)
    if report.kept_bytes < MINIMUM_BYTES:
        dropped = "; ".join(
            f"{tally.documents} dropped: {reason} ({tally.names()})"
            for reason, tally in report.dropped.items()
        )
        raise UserError(
            f"the corpus {corpus.source} has {report.kept_bytes:,} bytes of text after cleaning "
            f"{report.found_documents:,} document(s), expected at least {MINIMUM_BYTES}"
            + (f" ({dropped})" if dropped else "")
            + "; choose other text, or keep every language with --min-ascii-share 0 (in code, "
            "CleanOptions(min_ascii_share=0))"
        )
    return Corpus(corpus.source, documents, report, dict(corpus.details))
