"""The documentation as a site that needs no server and no network: guide, pages, API, explorer.

    write_site(book, Path("docs/guide/_build/site"), progress)

What lies where, seen from the site's folder:

    index.html                what to read for what (docs/index.md)
    guide.html                the guide's front page, with all chapters and sections
    03-the-engine.html ...    chapters and appendices, with figures/
    docs/ autograd/kernels/   the project's other Markdown pages, with the pictures in files/
    api/                      the reference of both packages
    source/                   the source files that a page leads to
    explorer.html             the explorer, as ``tinygrad-llm explore`` writes it
    assets/                   style, scripts, and the index of the search

The same project makes the same bytes. The site is made beside its folder, checked, and then put
in place, so that a broken one never replaces a whole one.
"""

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from builder.book import Book
from builder.problems import GuideError
from builder.progress import Progress
from builder.site_api import Api
from builder.site_checks import check_site
from builder.site_explorer import write_explorer
from builder.site_modules import public_names, read_modules
from builder.site_page import Entry, Page
from builder.site_places import EXPLORER, GUIDE, Places
from builder.site_search import search_script
from builder.site_shell import FILES, TEMPLATE, Shell
from builder.site_source import folder_page, source_page
from builder.site_text import chapter_page, contents_list, document_page
from builder.update import write_text

SITE = "tinygrad-llm"


def write_site(
    book: Book, out: Path, progress: Progress, modules: Sequence[str] | None = None
) -> None:
    """Write the site into a folder, which it replaces. Raises GuideError with all mistakes.

    ``modules`` are those that the API's reference shows; None means every public one.
    """
    if out.exists() and any(out.iterdir()) and not (out / "assets" / "search-index.js").exists():
        raise GuideError(f"{out} holds something that is no site: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        folder = Path(name) / "site"
        _Site(book, folder, progress, modules).write()
        replace(out, folder, Path(name) / "before")


def replace(out: Path, folder: Path, before: Path) -> None:
    """Put a folder where another may be; what was there stays whole until then."""
    try:
        if out.exists():
            out.rename(before)
        folder.rename(out)
    finally:
        if before.exists() and not out.exists():
            before.rename(out)


class _Site:
    def __init__(
        self, book: Book, folder: Path, progress: Progress, modules: Sequence[str] | None
    ) -> None:
        self._book, self._folder, self._progress = book, folder, progress
        self._places = Places(book)
        self._wanted = public_names() if modules is None else list(modules)
        self._written: list[Page] = []

    def write(self) -> None:
        if "index.html" not in self._places.pages.values():
            raise GuideError("docs/index.md is missing: it is the site's first page")
        chapters = self._chapters()
        documents = self._documents()
        api = Api(read_modules(self._wanted, self._progress), self._places)
        with self._progress.task("reading the API", 1) as task:
            names = api.pages()
            task.advance()
        trees = {
            "guide": [_entry(page, 1) for page in chapters],
            "docs": [_entry(page, 1) for page in documents if page.address.count("/") < 2],
        }
        shell = Shell(SITE, trees)
        with self._progress.task("writing the site", 1) as task:
            for page in [*chapters, *documents]:
                self._write(page, shell.html(page))
            for page in names:
                self._write(page, shell.html(page, api.tree(page)))
            self._assets()
            write_explorer(self._folder / EXPLORER)
            records = [record for page in self._written for record in page.records]
            write_text(self._folder / "assets" / "search-index.js", search_script(records))
            self._sources(shell)
            self._copies()
            task.advance()
        with self._progress.task("checking the site", 1) as task:
            check_site(self._folder, self._written)
            task.advance()

    def _chapters(self) -> list[Page]:
        """The guide's pages, its front page first, each with what comes before and after it."""
        parts = self._book.parts
        with self._progress.task("the site's chapters", len(parts)) as task:
            with ThreadPoolExecutor(2) as workers:  # they wait for pandoc most of the time
                pages = []
                for page in workers.map(partial(chapter_page, self._places), parts):
                    pages.append(page)
                    task.advance()
        front = self._front(pages)
        for before, page in zip([front, *pages], pages, strict=False):
            page.before, before.after = _entry(before), _entry(page)
        return [front, *pages]

    def _front(self, pages: list[Page]) -> Page:
        if self._book.front is None:
            raise GuideError("docs/guide/README.md is missing: it is the guide's first page")
        front = chapter_page(self._places, self._book.front)
        front.body += contents_list(pages)
        return front

    def _documents(self) -> list[Page]:
        paths = list(self._places.pages)
        with self._progress.task("the site's other pages", len(paths)) as task:
            with ThreadPoolExecutor(2) as workers:  # they wait for pandoc most of the time
                pages = []
                for page in workers.map(partial(document_page, self._places), paths):
                    pages.append(page)
                    task.advance()
        return pages

    def _write(self, page: Page, text: str) -> None:
        write_text(self._folder / page.address, text)
        self._written.append(page)

    def _sources(self, shell: Shell) -> None:
        """Pages of source and lists of files, until nothing leads to one that is not made."""
        made: set[Path] = set()
        while waiting := sorted({*self._places.sources, *self._places.folders} - made):
            for path in waiting:
                make = folder_page if path.is_dir() else source_page
                page = make(self._places, path)
                self._write(page, shell.html(page))
                made.add(path)

    def _copies(self) -> None:
        for path, address in sorted(self._places.copies.items()):
            target = self._folder / address
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def _assets(self) -> None:
        """Style, scripts and figures, as they are."""
        for name in FILES:
            write_text(self._folder / "assets" / name, (TEMPLATE / name).read_text("utf-8"))
        for chapter in self._book.chapters:
            for figure in chapter.figures:
                name = f"figures/{figure.name}.svg"
                write_text(self._folder / name, (self._book.folder / name).read_text("utf-8"))


def _entry(page: Page, level: int = 1) -> Entry:
    number = page.records[0].number if page.part == "guide" and page.address != GUIDE else ""
    return Entry(level, number, page.title, page.address)
