"""Document, Corpus and the report that travels with them.

A corpus is a list of named texts and a report of how it was made: what was found and kept, what
was dropped or changed, and why. The report is data (it is stored with the tokens); printed, it is a
few lines to read before trusting the numbers that follow.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tinygrad_llm.data.scripts import count_scripts, percent, shares

EXAMPLES = 3  # names shown per reason: enough to recognise a mistake, few enough to read


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its name, which decides on which side of the split it is.

    ``kind`` is the format it was read from: "text", "code", "jsonl", "html" and so on.
    """

    name: str
    text: str
    kind: str = "text"


@dataclass
class Tally:
    """For one reason: how many documents, how many bytes, and the first few names.

    ``count`` is the number of places in them, for a reason that has places.
    """

    documents: int = 0
    bytes: int = 0
    examples: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str, size: int, count: int = 0) -> None:
        """Count one more document."""
        self.documents += 1
        self.bytes += size
        self.count += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(name)

    def merged(self, other: "Tally") -> "Tally":
        """The two together."""
        return Tally(
            self.documents + other.documents,
            self.bytes + other.bytes,
            (self.examples + other.examples)[:EXAMPLES],
            self.count + other.count,
        )

    def names(self) -> str:
        """The first few names, for a person."""
        more = ", ..." if self.documents > len(self.examples) else ""
        return ", ".join(self.examples) + more


@dataclass
class CleanReport:
    """What happened to every document.

    ``dropped[reason]`` counts the documents left out and their bytes; ``changed[reason]`` counts
    the documents altered and by how many bytes they grew (negative: shrank). So, always,

        found_bytes + sum(changed bytes) = kept_bytes + sum(dropped bytes)

    ``scripts`` counts the letters of the kept text by script (scripts.py). ``languages`` counts the
    bytes of the text that came to the rule about languages, if it ran (languages.py). ``notes`` are
    sentences about the corpus as a whole.
    """

    found_documents: int = 0
    found_bytes: int = 0
    kept_documents: int = 0
    kept_bytes: int = 0
    dropped: dict[str, Tally] = field(default_factory=dict)
    changed: dict[str, Tally] = field(default_factory=dict)
    scripts: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def find(self, size: int) -> None:
        """Count a document that was found."""
        self.found_documents += 1
        self.found_bytes += size

    def keep(self, size: int) -> None:
        """Count a document that is kept."""
        self.kept_documents += 1
        self.kept_bytes += size

    def keep_text(self, text: str) -> None:
        """Count a document that is kept for good, with the scripts of its letters."""
        self.keep(len(text.encode()))
        for script, count in count_scripts(text).items():
            self.scripts[script] = self.scripts.get(script, 0) + count

    def drop(self, reason: str, name: str, size: int) -> None:
        """Count a document that is left out."""
        self.dropped.setdefault(reason, Tally()).add(name, size)

    def change(self, reason: str, name: str, growth: int, count: int = 0) -> None:
        """Count a document that was altered, in ``count`` places if they can be counted."""
        self.changed.setdefault(reason, Tally()).add(name, growth, count)

    def note(self, sentence: str) -> None:
        """Add a sentence about the corpus as a whole."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def then(self, later: "CleanReport") -> "CleanReport":
        """The report of two steps in a row: found by this one, kept by the later one."""
        assert self.kept_documents == later.found_documents, "the steps do not follow each other"
        both = CleanReport(
            self.found_documents, self.found_bytes, later.kept_documents, later.kept_bytes,
            scripts=dict(later.scripts), languages=dict(later.languages),
        )  # fmt: skip
        for mine, first, second in (
            (both.dropped, self.dropped, later.dropped),
            (both.changed, self.changed, later.changed),
        ):
            for reason in [*first, *(r for r in second if r not in first)]:
                mine[reason] = first.get(reason, Tally()).merged(second.get(reason, Tally()))
        both.notes = list(dict.fromkeys(self.notes + later.notes))
        return both

    def warning(self) -> str | None:
        """A sentence where less than half of the bytes are kept: what most were dropped for."""
        if not self.dropped or 2 * self.kept_bytes >= self.found_bytes:
            return None
        reason, tally = max(self.dropped.items(), key=lambda item: item[1].bytes)
        return (
            f"WARNING: only {percent(self.kept_bytes, self.found_bytes)} of the bytes found are "
            f"kept; {percent(tally.bytes, self.found_bytes)} were dropped for one reason: {reason} "
            f"({tally.names()})"
        )

    def as_dict(self) -> dict:
        """Plain dictionaries and lists, for JSON."""

        def plain(tallies: dict[str, Tally]) -> dict:
            return {
                reason: {"documents": t.documents, "bytes": t.bytes, "examples": list(t.examples)}
                | ({"count": t.count} if t.count else {})
                for reason, t in tallies.items()
            }

        return {
            "found": {"documents": self.found_documents, "bytes": self.found_bytes},
            "kept": {"documents": self.kept_documents, "bytes": self.kept_bytes},
            "dropped": plain(self.dropped),
            "changed": plain(self.changed),
            "scripts": dict(self.scripts),
            "notes": list(self.notes),
        } | ({"languages": dict(self.languages)} if self.languages else {})

    def __str__(self) -> str:
        lines = [
            f"found {counted(self.found_documents)}, {self.found_bytes:,} bytes; "
            f"kept {counted(self.kept_documents)}, {self.kept_bytes:,} bytes"
        ]
        for reason, t in self.dropped.items():
            lines.append(
                f"dropped {counted(t.documents)}, {t.bytes:,} bytes: {reason} ({t.names()})"
            )
        for reason, t in self.changed.items():
            places = f"{t.count:,} " if t.count else ""
            what = f"{places}{reason} ({t.names()})"
            lines.append(f"changed {counted(t.documents)}, {t.bytes:+,} bytes: {what}")
        if self.scripts:
            lines.append(f"letters by script: {shares(self.scripts)}")
        if self.languages:
            lines.append(f"bytes by language, before others are dropped: {shares(self.languages)}")
        warning = self.warning()
        return "\n".join(lines + self.notes + ([warning] if warning else []))


@dataclass
class Corpus:
    """Documents, where they are from, and the report.

    ``source`` is the name or path the user asked for; ``details`` is what else identifies the text
    (the Python version of the standard library, the address of a download).
    """

    source: str
    documents: Collection[Document]
    report: CleanReport
    details: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all documents together."""
        return text_bytes(self.documents)

    def about(self) -> dict:
        """Source, details and report as plain data, for meta.json."""
        return {"source": self.source, "details": self.details, "report": self.report.as_dict()}

    def __str__(self) -> str:
        details = ", ".join(f"{key} {value}" for key, value in self.details.items())
        return f"corpus {self.source}" + (f" ({details})" if details else "") + f"\n{self.report}"


def text_bytes(documents: Iterable[Document]) -> int:
    """UTF-8 bytes of the documents' texts."""
    return sum(len(document.text.encode()) for document in documents)


def some(names: list[str]) -> str:
    """The first few of a list of names, for a person."""
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")


def counted(n: int) -> str:
    """A number of documents for a person: 1 document, 2,000 documents."""
    return f"{n:,} document" + ("" if n == 1 else "s")
