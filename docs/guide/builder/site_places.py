"""Where everything of the project lies in the site: pages, source files, pictures, folders.

A Markdown page becomes a page, a picture is copied, any other text becomes a page of source with
an anchor for every line, and a folder becomes a list of its files. Sources are made only when
something links to them, so ``Places`` remembers what was asked for.
"""

import posixpath
from pathlib import Path

from builder.book import Book

COPIED = {".png", ".svg", ".jpg", ".gif", ".ipynb"}
"""Endings of files that are in the site as they are."""
GUIDE = "guide.html"
"""The guide's first page."""
EXPLORER = "explorer.html"


class Places:
    """The addresses of the project's files in the site, all seen from the site's folder."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.root = book.folder.resolve().parents[1]
        self.pages = {path: _address(path, self.root) for path in documents(self.root)}
        self.sources: dict[Path, str] = {}
        """Files that need a page of source, with the page's address."""
        self.folders: dict[Path, str] = {}
        """Folders that need a list of their files."""
        self.copies: dict[Path, str] = {}
        """Files that need a copy."""

    def chapter(self, name: str) -> str:
        """The address of a chapter, an appendix or the front page."""
        return GUIDE if name == "README" else f"{name}.html"

    def file(self, path: Path, anchor: str = "") -> str:
        """The address of a file or a folder of the project, which is then put there."""
        path = path.resolve()
        name = self.name(path)
        if path.is_dir():
            if path / "README.md" in self.pages:
                return self.file(path / "README.md")
            if path == self.book.folder.resolve():
                return GUIDE
            if path not in self.folders:
                self.folders[path] = posixpath.join("source", name, "index.html")
            return self.folders[path]
        if path in self.pages:
            return self.pages[path] + (f"#{anchor}" if anchor else "")
        if path.suffix in COPIED:
            self.copies[path] = f"files/{name}"
            return self.copies[path]
        self.sources[path] = f"source/{name}.html"
        return self.sources[path] + (f"#{anchor}" if anchor else "")

    def name(self, path: Path) -> str:
        """A file's path seen from the project's folder; a package may be installed elsewhere."""
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        for top in ("autograd", "tinygrad_llm"):
            if top in path.parts:
                return "/".join(("installed", *path.parts[path.parts.index(top) :]))
        return path.name


def documents(root: Path) -> list[Path]:
    """The project's Markdown pages besides the guide: the index, docs/, and the others."""
    index = root / "docs" / "index.md"
    others = [path for path in sorted(root.glob("docs/*.md")) if path != index]
    found = [index, *others, *sorted(root.glob("*.md")), *sorted(root.glob("autograd/**/*.md"))]
    return [path for path in found if path.is_file()]


def _address(path: Path, root: Path) -> str:
    """docs/index.md is the site's first page; the others keep their folders."""
    name = path.relative_to(root).as_posix()
    if name == "docs/index.md":
        return "index.html"
    return name.removesuffix(".md") + ".html" if "/" in name else f"docs/{path.stem}.html"
