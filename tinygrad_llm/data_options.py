"""How text is read and cleaned: options that train, data prepare and tokenizer train share.

Each field is an option of these commands, the string below it its help. This file is imported even
for ``--help``, so it imports nothing heavy; ``tinygrad_llm/data/`` does what it says.
"""

import re
from dataclasses import dataclass
from typing import Literal

from tinygrad_llm.errors import UserError

InputFormat = Literal[
    "auto", "text", "jsonl", "json", "csv", "tsv", "parquet", "html", "pdf", "epub"
]
_LANGUAGES = r"all|[a-z]{2,3}( *, *[a-z]{2,3})*"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files are read."""

    field: str | None = None
    """Field with the text of a row in JSON, CSV, TSV and Parquet files, nested by dots (a.b); None
    means text, or the only field."""
    encoding: str | None = None
    """Encoding of the files (utf-8, cp1251, shift_jis, ...); None means that it is recognised."""
    input_format: InputFormat = "auto"
    """Format of the files; auto goes by their first bytes and their names."""

    def __post_init__(self) -> None:
        if self.field == "":
            raise UserError("field is empty, expected the name of a field such as text or a.b")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise UserError(
                    f"encoding is {self.encoding!r}, which Python does not know; expected a name "
                    "such as utf-8, cp1251, shift_jis or gb18030"
                ) from None


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which rules of cleaning run."""

    min_ascii_share: float = 0.0
    """Drop documents with a smaller share of ASCII characters; 0 keeps text in every script."""
    strip_gutenberg: bool = True
    """Whether Project Gutenberg's header and footer are removed."""
    collapse_blank_lines: bool = True
    """Whether every run of blank lines becomes one."""
    exact_duplicates: bool = True
    """Whether documents whose cleaned text has been seen before are dropped."""
    near_duplicates: bool = False
    """Also drop documents that share most of their five-word shingles with an earlier one."""
    near_duplicate_threshold: float = 0.8
    """Jaccard similarity of the shingles above which two documents count as near duplicates."""
    min_characters: int = 0
    """Drop shorter documents."""
    max_characters: int = 0
    """Drop longer documents; 0 means no limit."""
    languages: str | None = None
    """Keep documents in these languages (codes such as en,de) and report the shares of all; all
    drops none. Needs py3langid."""
    gopher_quality: bool = False
    """Drop what does not look like prose by Gopher's rules: words, symbols, bullets, stop words."""
    gopher_repetition: bool = False
    """Drop documents with too many repeated lines, paragraphs or n-grams, by Gopher's rules."""
    fineweb_quality: bool = False
    """Drop lists and menus by FineWeb's rules: punctuation, short lines, repeated lines."""
    c4_lines: bool = False
    """Remove lines of boilerplate by C4's rules: JavaScript, cookies, terms of use."""
    mask_personal: bool = False
    """Replace mail and IP addresses by example addresses."""
    decontaminate: str | None = None
    """File or folder of evaluation data; documents that share 13 words in a row with it are
    dropped."""

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
        if self.languages is not None and not re.fullmatch(_LANGUAGES, self.languages):
            raise UserError(
                f"languages is {self.languages!r}, expected codes of ISO 639 in lower case with "
                "commas between them, such as en or en,de, or the word all"
            )
        for name in ("min_characters", "max_characters"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 0")
        if 0 < self.max_characters < self.min_characters:
            raise UserError(
                f"min_characters is {self.min_characters} and max_characters only "
                f"{self.max_characters}: every document would be dropped"
            )


@dataclass(frozen=True, kw_only=True)
class DataOptions(CleanOptions, ReadOptions):  # the fields of the last base come first
    """Everything that decides which text a source gives."""

    def __post_init__(self) -> None:
        ReadOptions.__post_init__(self)
        CleanOptions.__post_init__(self)
