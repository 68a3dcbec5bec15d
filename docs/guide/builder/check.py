"""All checks of the guide: the snippets, then what can be checked without running anything."""

from pathlib import Path

from builder.book import Book, Chapter, read_book
from builder.excerpts import excerpt_problems
from builder.exercises import exercise_problems
from builder.form import form_problems
from builder.links import figure_problems, link_problems, source_problems, unwritten
from builder.problems import GuideError, Problem
from builder.progress import Progress
from builder.run import LIMIT, run_chapters


def check(
    folder: Path,
    names: tuple[str, ...],
    update: bool,
    progress: Progress,
    limit: float = LIMIT,
    older: bool = False,
) -> Book:
    """Check some chapters, or all, and return the book. Raises GuideError with every mistake.

    ``names`` are numbers or names of chapters; none means all. ``update`` writes outputs and
    figures into the guide where they differ. ``older`` computes as an older processor does.
    """
    book = read_book(folder)
    chapters = _chosen(book, names)
    problems = run_chapters(book, chapters, not names, update, progress, limit, older)
    if update:
        book = read_book(folder)
    problems += static_problems(book, chapters if names else None)
    if names:
        waiting = sum(
            unwritten(book.resolve(chapter, link.target))
            for chapter in book.chapters
            if chapter.number in {chosen.number for chosen in chapters}
            for link in chapter.links
        )
        if waiting:
            progress.say(f"{waiting} links lead to parts of the guide that are not written yet")
    if problems:
        raise GuideError(problems)
    return book


def static_problems(book: Book, chapters: list[Chapter] | None) -> list[Problem]:
    """What can be found without running anything: in some chapters, or (None) in the whole book."""
    whole = chapters is None
    found = [
        *form_problems(book, whole),
        *link_problems(book, whole),
        *figure_problems(book, whole),
        *source_problems(book),
        *excerpt_problems(book, whole),
        *exercise_problems(book),
    ]
    wanted = {chapter.shown for chapter in chapters or []}
    return sorted({problem for problem in found if whole or problem.path in wanted})


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
