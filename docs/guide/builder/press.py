"""Typst at work: a folder with the book's sources, and its pages as a PDF or as pictures."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import typst

from builder.book import Book
from builder.paper import quoted
from builder.problems import GuideError, Problem
from tinygrad_llm.version import __version__

TEMPLATE = Path(__file__).parent / "template"
TITLE = "Build a Large Language Model (from Scratch)"
SUBTITLE = "on NumPy, and on gradients you have written yourself"
AUTHORS = "The tinygrad-llm maintainers"


class Press:
    """The book set in pages. ``sources`` has each part's Typst; ``folder`` is an empty one."""

    def __init__(self, book: Book, sources: dict[str, str], folder: Path) -> None:
        self.book, self._sources = book, sources
        for path in [*TEMPLATE.glob("*.typ"), TEMPLATE / "guide.tmTheme"]:
            shutil.copy(path, folder / path.name)
        if (book.folder / "figures").is_dir():
            shutil.copytree(book.folder / "figures", folder / "figures")
        for name, source in sources.items():
            (folder / f"{name}.typ").write_text(source, "utf-8")
        (folder / "main.typ").write_text(_main_source(book), "utf-8")
        fonts = typst.Fonts(include_system_fonts=False)
        self._compiler = typst.Compiler(folder / "main.typ", root=folder, font_paths=fonts)

    def pdf(self) -> bytes:
        """The tagged PDF. What Typst complains of raises GuideError."""
        content = self._compiled(format="pdf", pdf_standards=["ua-1"])
        assert isinstance(content, bytes)
        return content

    def pictures(self, ppi: float) -> list[bytes]:
        """The pages as PNG files, with so many pixels an inch."""
        pages = self._compiled(format="png", ppi=ppi)
        return [pages] if isinstance(pages, bytes) else pages

    def headings(self) -> list[tuple[str, str, int]]:
        """The headings in order: the part's name, the anchor, and the page (counted from 1)."""
        found = json.loads(self._compiler.query("<places>", field="value", one=True))
        return [(*label.split(":", 1), page) for label, page in found]

    def _compiled(self, **options: Any) -> bytes | list[bytes]:
        try:
            made, warnings = self._compiler.compile_with_warnings(**options)
        except typst.TypstError as error:
            raise GuideError([self._problem(error)]) from None
        if warnings:
            raise GuideError([self._problem(warning) for warning in warnings])
        return made  # type: ignore[no-any-return]

    def _problem(self, error: typst.TypstError | typst.TypstWarning) -> Problem:
        """A complaint of Typst as a mistake in the chapter and the line that it comes from."""
        message = ". ".join([f"Typst says: {error.message}", *error.hints])
        for path, row in re.findall(r"(?:┌─|-->) (\S+)\.typ:(\d+):\d+", error.diagnostic):
            name = path.rpartition("/")[2]
            part = self.book.part(name)
            if part is not None and name in self._sources:
                before = "\n".join(self._sources[name].split("\n")[: int(row)])
                lines = re.findall(r"^\s*// line (\d+)$", before, re.MULTILINE)
                return part.problem(int(lines[-1]) if lines else 0, message)
        return Problem("docs/guide", 0, f"{message}\n{error.diagnostic}")


def _main_source(book: Book) -> str:
    """The Typst file that puts the book together."""
    lines = [
        '#import "guide.typ": *',
        "#show: book.with(",
        f"  title: {quoted(TITLE)},",
        f"  subtitle: {quoted(SUBTITLE)},",
        f"  authors: {quoted(AUTHORS)},",
        f"  version: {quoted(__version__)},",
        ")",
        *(f'#include "{part.name}.typ"' for part in book.parts),
    ]
    if any(part.terms for part in book.parts):
        lines.append("#index()")
    return "\n".join([*lines, "#places()\n"])
