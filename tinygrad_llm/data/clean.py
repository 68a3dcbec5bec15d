"""Cleaning: from texts to those worth training on, with a report of every change.

The rules are those of Raschka's *LLMs from scratch* (the Project Gutenberg chapter): no runs of
blank lines, no licence boilerplate, nothing empty; his rule that keeps English alone, mostly ASCII,
is off unless asked for. Each rule is one small function from text to text, so that each can be read
and tested alone; ``clean_documents`` applies them in order and keeps the report.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import partial

from tinygrad_llm.data.corpus import CleanReport, Corpus, Document, some
from tinygrad_llm.data.formats.text import BINARY
from tinygrad_llm.data.gutenberg import take_books
from tinygrad_llm.data.sources import MINIMUM_BYTES
from tinygrad_llm.data_options import CleanOptions
from tinygrad_llm.errors import UserError

NEWLINES = "line ends changed to \\n"
GUTENBERG = "Project Gutenberg's header and footer removed"
BLANK_LINES = "runs of blank lines collapsed"
EMPTY = "empty"
EXACT_DUPLICATE = "exact duplicate of an earlier document"
NEAR_DUPLICATE = "near duplicate of an earlier document"


def ascii_share(text: str) -> float:
    """Share of the characters that are ASCII; 1.0 for an empty text."""
    if text.isascii():  # a flag that CPython stores with the string: no scan
        return 1.0
    return len(text.encode("ascii", "ignore")) / len(text)


def normalise_newlines(text: str) -> str:
    """Replace the line ends of Windows and the old Macintosh by \\n."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def collapse_blank_lines(text: str) -> str:
    """Replace every run of blank lines (empty or white space) by one empty line."""
    return re.sub(r"\n\s*\n", "\n\n", text)


def strip_gutenberg(text: str) -> str:
    """Remove Project Gutenberg's headers and footers (gutenberg.py says what those are)."""
    return take_books(text).text


def clean_documents(
    documents: Iterable[Document], options: CleanOptions | None = None
) -> tuple[list[Document], CleanReport]:
    """Apply the rules in order; returns the remaining documents, in order, and the report.

    Texts are normalised first, then judged (empty, not ASCII enough, seen before), so two copies
    that differ only in line ends or boilerplate count as duplicates.
    """
    options = options or CleanOptions()
    cleaner = _Cleaner(options)
    cleaned = [text for document in documents if (text := cleaner.clean(document)) is not None]
    report = cleaner.report
    cleaner.note_gutenberg()
    if options.near_duplicates:
        cleaned = _drop_near_duplicates(cleaned, options.near_duplicate_threshold, report)
    for document in cleaned:
        report.keep_text(document.text)
    return cleaned, report


class _Cleaner:
    """Applies the rules to one document at a time; the report adds up."""

    def __init__(self, options: CleanOptions) -> None:
        self.options = options
        self.report = CleanReport()
        self._seen: set[bytes] = set()  # digests of the texts so far
        self._mostly_frame: list[str] = []  # documents that were mostly Gutenberg's header, footer
        self._left_alone: list[str] = []  # documents that only quote its markers

    def clean(self, document: Document) -> Document | None:
        """The cleaned document, or None if it is dropped."""
        name, text = document.name, document.text
        self.report.find(len(text.encode()))
        if "\0" in text:
            self.report.drop(BINARY, name, len(text.encode()))
            return None
        text = self._normalise(name, text)
        reason = self._reason_to_drop(text)
        if reason is not None:
            self.report.drop(reason, name, len(text.encode()))
            return None
        return Document(name, text, document.kind)

    def _normalise(self, name: str, text: str) -> str:
        rules: list[tuple[str, Callable[[str], str]]] = [(NEWLINES, normalise_newlines)]
        if self.options.strip_gutenberg:
            rules.append((GUTENBERG, partial(self._strip_gutenberg, name)))
        if self.options.collapse_blank_lines:
            rules.append((BLANK_LINES, collapse_blank_lines))
        for reason, rule in rules:
            changed = rule(text)
            if changed != text:
                self.report.change(reason, name, len(changed.encode()) - len(text.encode()))
                text = changed
        return text

    def _strip_gutenberg(self, name: str, text: str) -> str:
        stripped = take_books(text)
        if stripped.mostly:
            self._mostly_frame.append(name)
        if stripped.left:
            self._left_alone.append(name)
        return stripped.text

    def _reason_to_drop(self, text: str) -> str | None:
        if not text.strip():
            return EMPTY
        if ascii_share(text) < self.options.min_ascii_share:
            return f"less than {100 * self.options.min_ascii_share:g} % ASCII"
        digest = hashlib.sha256(text.encode()).digest()
        if self.options.exact_duplicates and digest in self._seen:
            return EXACT_DUPLICATE
        self._seen.add(digest)
        return None

    def note_gutenberg(self) -> None:
        """Note in the report which documents were mostly header and footer, or left alone."""
        if self._mostly_frame:
            names = some(self._mostly_frame)
            self.report.note(f"Most of {names} was Project Gutenberg's header and footer.")
        if self._left_alone:
            self.report.note(
                f"{some(self._left_alone)} quote Project Gutenberg's markers; nothing was removed "
                "there, since most of the text would have been lost."
            )


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
    """The corpus with cleaned documents, and one report of reading and cleaning.

    Raises UserError if too little text is left, saying what was dropped.
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
