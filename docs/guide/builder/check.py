"""All checks of the guide: the snippets, then what can be checked without running anything."""

from pathlib import Path

from builder.book import Book, Chapter, read_book
from builder.problems import GuideError
from builder.progress import Progress
from builder.run import LIMIT, run_chapters


def check(
    folder: Path,
    names: tuple[str, ...],
    update: bool,
    progress: Progress,
    limit: float = LIMIT,
) -> Book:
    """Check some chapters, or all, and return the book. Raises GuideError with every mistake.

    ``names`` are numbers or names of chapters; none means all. ``update`` writes outputs and
    figures into the guide where they differ.
    """
    book = read_book(folder)
    chapters = _chosen(book, names)
    problems = run_chapters(book, chapters, update, progress, limit)
    if update:
        book = read_book(folder)
    if problems:
        raise GuideError(problems)
    return book


def _chosen(book: Book, names: tuple[str, ...]) -> list[Chapter]:
    """The chapters with some names, in the book's order."""
    chosen = []
    for name in names:
        part = book.part(name.removesuffix(".md").rpartition("/")[2])
        if part is None or part not in book.chapters:
            there = ", ".join(chapter.name for chapter in book.chapters)
            raise GuideError(f"there is no chapter {name!r}: choose one of {there}")
        chosen.append(part)
    return [chapter for chapter in book.chapters if chapter in chosen] if names else book.chapters
