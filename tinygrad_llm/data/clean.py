"""Cleaning: from texts to those worth training on, with a report of every change.

Rules of two kinds, in this order: those that alter a text (line ends, boilerplate, blank lines,
addresses), and those that drop it (empty, of another script or language, too short, poor, seen
before, seen in an evaluation). A text is altered first, so two copies that differ only in line ends
or boilerplate count as duplicates. Each rule is one small function of a text; docs/cleaning.md has
the table of them with their sources. Documents pass through one by one, so a corpus may be longer
than memory.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from tinygrad_llm.data.cache import cache_folder
from tinygrad_llm.data.corpus import CleanReport, Corpus, Document, some
from tinygrad_llm.data.digests import Digests
from tinygrad_llm.data.download import Progress
from tinygrad_llm.data.formats.text import BINARY
from tinygrad_llm.data.gutenberg import take_books
from tinygrad_llm.data.personal import PERSONAL, mask_personal
from tinygrad_llm.data.quality import C4_LINES, fineweb_quality, gopher_quality, without_c4_lines
from tinygrad_llm.data.repetition import gopher_repetition
from tinygrad_llm.data.sources import MINIMUM_BYTES, check_length, open_source
from tinygrad_llm.data.spool import Spool
from tinygrad_llm.data_options import CleanOptions, DataOptions
from tinygrad_llm.errors import UserError

NEWLINES = "line ends changed to \\n"
GUTENBERG = "Project Gutenberg's header and footer removed"
BLANK_LINES = "runs of blank lines collapsed"
EMPTY = "empty"
NOT_ASCII = "% ASCII"  # how the reason ends
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


def length(text: str, least: int, most: int) -> str | None:
    """A reason to drop a text that is too short or, if ``most`` is not 0, too long."""
    if len(text) < least:
        return f"shorter than {least:,} characters"
    if most and len(text) > most:
        return f"longer than {most:,} characters"
    return None


def strip_gutenberg(text: str) -> str:
    """Remove Project Gutenberg's headers and footers (gutenberg.py says what those are)."""
    return take_books(text).text


Observer = Callable[[str, Document, str | None], object]
"""Called as observer(reason, document, new text) for every change; None for a document dropped."""


def clean_documents(
    documents: Iterable[Document], options: CleanOptions | None = None
) -> tuple[list[Document], CleanReport]:
    """Apply the rules in order; returns the remaining documents, in order, and the report."""
    report = CleanReport()
    return list(clean_stream(documents, report, options)), report


def clean_stream(
    documents: Iterable[Document],
    report: CleanReport,
    options: CleanOptions | None = None,
    observer: Observer | None = None,
) -> Iterator[Document]:
    """Apply the rules to documents one by one; the report is complete after the last one.

    What tells duplicates is kept on disk once it is much (hash_table.py, near_duplicates.py).
    """
    cleaner = _Cleaner(options or CleanOptions(), report, observer)
    for document in documents:
        cleaned = cleaner.clean(document)
        if cleaned is not None:
            report.keep_text(cleaned.text)
            yield cleaned
    cleaner.note_gutenberg()


class _Cleaner:
    """Applies the rules to one document at a time; the report adds up."""

    def __init__(
        self, options: CleanOptions, report: CleanReport, observer: Observer | None = None
    ) -> None:
        self.options = options
        self.report = report
        self._observe = observer or (lambda reason, document, text: None)
        self._seen = Digests()
        self._mostly_frame: list[str] = []  # documents that were mostly Gutenberg's header, footer
        self._left_alone: list[str] = []  # documents that only quote its markers
        self._judges = list(_judges(options, report))
        self._near: Any = None
        if options.near_duplicates:
            from tinygrad_llm.data.near_duplicates import NearDuplicates

            self._near = NearDuplicates(options.near_duplicate_threshold)

    def clean(self, document: Document) -> Document | None:
        """The cleaned document, or None if it is dropped."""
        size = len(document.text.encode())
        self.report.find(size)
        if "\0" in document.text:
            self._drop(BINARY, document)
            return None
        text = self._normalise(document)
        cleaned = Document(document.name, text, document.kind)
        reason = self._reason_to_drop(text)
        if reason is None:
            return cleaned
        self._drop(reason, cleaned)
        return None

    def _drop(self, reason: str, document: Document) -> None:
        self.report.drop(reason, document.name, len(document.text.encode()))
        self._observe(reason, document, None)

    def _normalise(self, document: Document) -> str:
        name, text, options = document.name, document.text, self.options
        rules: list[tuple[str, Callable[[str], str]]] = [(NEWLINES, normalise_newlines)]
        if options.strip_gutenberg:
            rules.append((GUTENBERG, partial(self._strip_gutenberg, name)))
        if options.c4_lines:
            rules.append((C4_LINES, without_c4_lines))
        if options.collapse_blank_lines:
            rules.append((BLANK_LINES, collapse_blank_lines))
        if options.mask_personal:
            rules.append((PERSONAL, mask_personal))
        for reason, rule in rules:
            changed = rule(text)
            if changed != text:
                self.report.change(reason, name, len(changed.encode()) - len(text.encode()))
                self._observe(reason, Document(name, text), changed)
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
            return f"less than {100 * self.options.min_ascii_share:g} {NOT_ASCII}"
        reason = next((reason for judge in self._judges if (reason := judge(text))), None)
        if reason is not None:
            return reason
        if self.options.exact_duplicates and not self._seen.add(text):
            return EXACT_DUPLICATE
        if self._near is not None and self._near.twin(text) is not None:
            return NEAR_DUPLICATE
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


def _judges(options: CleanOptions, report: CleanReport) -> Iterator[Callable[[str], str | None]]:
    """The rules that look at one text alone: each returns a reason to drop it, or None."""
    if options.min_characters or options.max_characters:
        yield partial(length, least=options.min_characters, most=options.max_characters)
    if options.languages is not None:
        from tinygrad_llm.data.languages import Languages

        yield Languages(options.languages, report.languages).judge
    if options.gopher_quality:
        yield gopher_quality
    if options.gopher_repetition:
        yield gopher_repetition
    if options.fineweb_quality:
        yield fineweb_quality
    if options.decontaminate is not None:
        from tinygrad_llm.data.contamination import Contamination

        yield Contamination(options.decontaminate).judge


def clean_corpus(corpus: Corpus, options: CleanOptions | None = None) -> Corpus:
    """The corpus with cleaned documents, and one report of reading and cleaning.

    Raises UserError if too little text is left, saying what was dropped.
    """
    documents, report = clean_documents(corpus.documents, options)
    report = corpus.report.then(report)
    _check_what_is_left(corpus.source, report)
    return Corpus(corpus.source, documents, report, dict(corpus.details))


def read_corpus(
    source: str | os.PathLike = "stdlib",
    options: DataOptions | None = None,
    *,
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Read and clean a source of any length; the cleaned text is kept on disk if there is much.

    The same as ``clean_corpus(load_corpus(source, options), options)``, one document at a time.
    Raises UserError for what ``open_source`` and ``clean_corpus`` refuse, and for a full disk.
    """
    options = options or DataOptions()
    opened = open_source(source, options, cache_dir=cache_dir, progress=progress)
    found, report = CleanReport(), CleanReport()
    documents = Spool(cache_folder(cache_dir) / "work")
    for document in clean_stream(opened.documents(found), report, options):
        documents.add(document)
    check_length(opened.name, found)
    report = found.then(report)
    _check_what_is_left(opened.name, report)
    return Corpus(opened.name, documents, report, dict(opened.details))


def _check_what_is_left(source: str, report: CleanReport) -> None:
    if report.kept_bytes >= MINIMUM_BYTES:
        return
    of_another_script = any(reason.endswith(NOT_ASCII) for reason in report.dropped)
    dropped = "; ".join(
        f"{tally.documents} dropped: {reason} ({tally.names()})"
        for reason, tally in report.dropped.items()
    )
    raise UserError(
        f"the corpus {source} has {report.kept_bytes:,} bytes of text after cleaning "
        f"{report.found_documents:,} document(s), expected at least {MINIMUM_BYTES}"
        + (f" ({dropped})" if dropped else "")
        + "; choose other text, or other options of cleaning"
        + (" (--min-ascii-share 0 keeps every language)" if of_another_script else "")
    )
