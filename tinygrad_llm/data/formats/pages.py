"""Pages and books: the text of HTML, PDF and EPUB files, without markup, menus and layout."""

import io
import logging
import re
from html.parser import HTMLParser
from typing import BinaryIO
from urllib.parse import unquote

from tinygrad_llm.data.decoding import decode_bytes
from tinygrad_llm.data.formats.archives import read_zip
from tinygrad_llm.data.formats.rows import read_whole
from tinygrad_llm.data.formats.unreadable import Unreadable, damaged, missing_extra
from tinygrad_llm.errors import UserError

_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]{2,40})""", re.I)


def html_text(stream: BinaryIO, encoding: str | None) -> str:
    """The main text of a page, without menus, scripts and footers (trafilatura's rules)."""
    try:
        import trafilatura
    except ImportError:
        raise missing_extra("HTML", "trafilatura", "html") from None
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it tells of each oddity
    page = _decoded(read_whole(stream, "HTML file"), encoding)
    text = trafilatura.extract(page, include_comments=False)
    if not text:
        raise Unreadable("HTML without a main text", "leave it out, or save its text as .txt")
    return text + "\n"


def _decoded(data: bytes, encoding: str | None) -> str:
    """A page's text; without ``encoding`` its own word for it counts if the bytes agree."""
    stated = _CHARSET.search(data[:4096])
    if encoding is None and stated is not None:
        try:
            return data.decode(stated[1].decode())
        except (UnicodeDecodeError, LookupError):
            pass
    try:
        return decode_bytes(data, encoding).text
    except UserError:
        raise Unreadable("binary (contains NUL bytes)", "expected HTML") from None


def pdf_text(stream: BinaryIO) -> str:
    """The text of a PDF's pages, in order, with an empty line between pages."""
    try:
        import pypdf
    except ImportError:
        raise missing_extra("a PDF", "pypdf", "pdf") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(read_whole(stream, "PDF")))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("a PDF that needs a password", "save a copy without one")
        pages = [page.extract_text().strip() for page in reader.pages]
    except UserError:
        raise
    except pypdf.errors.DependencyError:
        raise missing_extra("an encrypted PDF", "cryptography", "pdf") from None
    except Exception as error:  # pypdf meets damage in the middle of its work
        raise damaged("PDF", error) from None
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise Unreadable(
            "a PDF without text (its pages are pictures)", "recognise its text (OCR) first"
        )
    return text + "\n"


def epub_text(stream: BinaryIO, size: int) -> str:
    """The text of a book's chapters, in the order in which the book lists them."""
    parts: dict[str, bytes] = {}
    for member in read_zip(stream, size):
        if re.search(r"\.(opf|x?html?|xml)$", member.name, re.I):
            parts[member.name] = read_whole(member.stream, "chapter of an EPUB")
    book = next((name for name in parts if name.lower().endswith(".opf")), None)
    if book is None:
        raise Unreadable("an EPUB without a list of its contents", "replace it with a whole copy")
    folder = book.rpartition("/")[0]
    chapters = [
        f"{folder}/{href}".lstrip("/") for href in _spine(parts[book].decode("utf-8", "replace"))
    ]
    texts = [_Words.of(_decoded(parts[name], None)) for name in chapters if name in parts]
    text = "\n\n".join(text for text in texts if text)
    if not text:
        raise Unreadable(
            "an EPUB without text, or with protected text", "save it without protection"
        )
    return text + "\n"


def _spine(opf: str) -> list[str]:
    """The chapters' files in reading order: the spine's ids, looked up in the manifest."""
    manifest = {}
    for item in re.findall(r"<(?:\w+:)?item\s[^>]*>", opf):
        attributes = dict(re.findall(r"""([\w-]+)\s*=\s*["']([^"']*)["']""", item))
        manifest[attributes.get("id", "")] = attributes.get("href", "")
    ids = re.findall(r"""<(?:\w+:)?itemref\s[^>]*?idref\s*=\s*["']([^"']*)["']""", opf)
    return [unquote(manifest[one]) for one in ids if one in manifest]


class _Words(HTMLParser):
    """The words of a chapter; blocks end in an empty line."""

    BLOCKS = frozenset("p div h1 h2 h3 h4 h5 h6 li tr blockquote section br pre".split())
    SKIPPED = frozenset("script style title".split())

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._skipping = 0

    @classmethod
    def of(cls, page: str) -> str:
        """The words of a page."""
        parser = cls()
        parser.feed(page)
        parser.close()
        blocks = (" ".join(block.split()) for block in "".join(parser.pieces).split("\0"))
        return "\n\n".join(block for block in blocks if block)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipping += tag in self.SKIPPED
        if tag in self.BLOCKS:
            self.pieces.append("\0")

    def handle_endtag(self, tag: str) -> None:
        self._skipping -= tag in self.SKIPPED and self._skipping > 0
        if tag in self.BLOCKS:
            self.pieces.append("\0")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.pieces.append(data)
