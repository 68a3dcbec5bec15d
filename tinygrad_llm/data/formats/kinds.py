"""Which format a file has: by its first bytes where they tell, otherwise by its name.

A name can be wrong, so the signatures of binary formats come first: a PDF named notes.txt is read
as a PDF, and a picture named story.md is refused.
"""

import re
from pathlib import PurePosixPath

from tinygrad_llm.data.formats.unreadable import Unreadable

HEAD = 4096  # bytes from which a format is recognised

PROSE = frozenset(".txt .text .md .markdown .rst .org .tex".split())
CODE = frozenset(
    ".py .pyi .c .h .cc .cpp .hpp .cu .rs .go .java .js .ts .sh .lua .rb .jl .r .sql".split()
)
ROWS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
PAGES = {".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".epub": "epub"}
COMPRESSED = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
SUFFIXES = {
    **dict.fromkeys(PROSE, "text"),
    **dict.fromkeys(CODE, "code"),
    **ROWS,
    **PAGES,
    **COMPRESSED,
    ".parquet": "parquet",
    ".zip": "zip",
    ".tar": "tar",
}
"""The format of each extension that is read in a folder; a single file may have any name."""

_ZIP = b"PK\x03\x04"
_SIGNATURES = {
    b"%PDF-": "pdf",
    _ZIP: "zip",
    b"PK\x05\x06": "zip",  # an empty one
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PAR1": "parquet",
}
_EPUB = b"mimetypeapplication/epub+zip"  # the first member of an EPUB, at offset 30
_OFFICE = re.compile(rb"\[Content_Types\]\.xml|mimetypeapplication/vnd\.oasis")
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--(?>.*?-->)\s*+|<\?xml[^>]*+>\s*+)*+<(?:!doctype html|html)",
    re.IGNORECASE | re.DOTALL,
)
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\s", re.I)

# What is not text, though parts of it may look like text: a name for the sentence.
_REFUSED = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"{\\rtf": "RTF",
    b"\xd0\xcf\x11\xe0": "a document of an old Microsoft Office",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"SQLite format 3\0": "an SQLite database",
    b"\x7fELF": "a binary program",
    b"GGUF": "a GGUF model",
    b"\x93NUMPY": "a NumPy array",
}


def suffix_of(name: str) -> str:
    """The extension of a file's name, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_known(name: str) -> bool:
    """Whether a folder's file of this name is read at all."""
    return suffix_of(name) in SUFFIXES and not PurePosixPath(name).name.startswith(".")


def recognise(name: str, head: bytes, stated: str = "auto") -> str:
    """The format of a file from its name and its first bytes (HEAD of them, if it has as many).

    ``stated`` is what a user says; then only the bytes are asked, in case it is packed. Raises
    Unreadable for a format that is known and not read.
    """
    for signature, what in _REFUSED.items() if stated == "auto" else ():
        if head.startswith(signature):
            raise Unreadable(f"{what}, not text", "save its text as a text file, or leave it out")
    if head.startswith(_ZIP):
        if head[30:].startswith(_EPUB) or suffix_of(name) == ".epub":
            return "epub"
        if _OFFICE.match(head[30:]) and stated == "auto":
            raise Unreadable("an Office document, not text", "save it as text, HTML or PDF")
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if _BZIP2.match(head):
        return "bzip2"
    if head[257:262] == b"ustar":
        return "tar"
    if stated != "auto":
        return stated
    suffix = suffix_of(name)
    by_name = SUFFIXES.get(suffix, "text")
    if by_name in ("text", "json") and _HTML.match(head):
        return "html"
    if suffix not in CODE and by_name != "html" and _XML.match(head):
        raise Unreadable("XML, not text", "save its text as a text file or as JSON lines")
    if by_name in COMPRESSED.values() or by_name in ("zip", "tar", "parquet", "pdf", "epub"):
        if not head:
            raise Unreadable("empty", "leave it out")
        raise Unreadable(
            f"no {by_name} file, though its name ends in {suffix}",
            "rename it, or replace it with a whole copy",
        )
    return by_name
