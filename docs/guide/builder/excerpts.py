"""Excerpts of code/*.py: verbatim, in the file's order, none twice, and together the whole file."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from builder.book import Book, Chapter
from builder.markdown import Block
from builder.problems import Problem, read_utf8, shown

Excerpt = tuple[Chapter, Block]


def excerpt_problems(book: Book, whole: bool) -> Iterator[Problem]:
    """What is wrong with the excerpts; with ``whole``, also the lines that no chapter shows."""
    code = book.folder / "code"
    excerpts = excerpts_by_file(book.chapters)
    files = sorted(path.name for path in code.glob("*.py"))
    for name, found in excerpts.items():
        if name not in files:
            for chapter, block in found:
                message = f"there is no docs/guide/code/{name}"
                yield chapter.problem(block.line, message)
    for name in files:
        yield from _of_file(code / name, excerpts.get(name, []), whole)


def excerpts_by_file(parts: list[Chapter]) -> dict[str, list[Excerpt]]:
    """The excerpts in some parts of the book, in order, by the files that they name."""
    excerpts: dict[str, list[Excerpt]] = {}
    for chapter in parts:
        for block in chapter.blocks:
            if block.source is not None:
                excerpts.setdefault(block.source, []).append((chapter, block))
    return excerpts


def starts_in_order(lines: list[str], excerpts: list[Excerpt]) -> list[int | None]:
    """The index of each excerpt's first line after the one before; None where it has none."""
    starts: list[int | None] = []
    next_line = 0
    for _, block in excerpts:
        wanted = _lines_of(block)
        later = [start for start in _places(lines, wanted) if start >= next_line]
        starts.append(later[0] if later and block.text.strip() else None)
        if starts[-1] is not None:
            next_line = starts[-1] + len(wanted)
    return starts


def _lines_of(block: Block) -> list[str]:
    return block.text.strip("\n").split("\n")


def _of_file(path: Path, excerpts: list[Excerpt], whole: bool) -> Iterator[Problem]:
    lines = read_utf8(path).splitlines()
    shown_by: dict[int, str] = {}  # a line's index: the place that shows it
    starts = starts_in_order(lines, excerpts)
    for (chapter, block), start in zip(excerpts, starts, strict=True):
        wanted = _lines_of(block)
        if start is not None:
            place = f"{chapter.shown}:{block.line}"
            shown_by |= dict.fromkeys(range(start, start + len(wanted)), place)
        elif not block.text.strip():
            yield chapter.problem(block.line, f"an empty excerpt of {path.name}")
        elif elsewhere := _places(lines, wanted):
            yield chapter.problem(block.line, _misplaced(path.name, elsewhere[0], wanted, shown_by))
        else:
            yield _differs(chapter, block, lines, wanted, path.name)
    if whole:
        yield from _unshown(path, lines, shown_by)


def _places(lines: list[str], wanted: list[str]) -> list[int]:
    """The indices at which some lines stand in a file."""
    count = len(wanted)
    return [i for i in range(len(lines) - count + 1) if lines[i : i + count] == wanted]


def _misplaced(name: str, start: int, wanted: list[str], shown_by: dict[int, str]) -> str:
    """Why lines that the file has cannot be shown here."""
    place = f"lines {start + 1} to {start + len(wanted)} of {name}"
    for index in range(start, start + len(wanted)):
        if index in shown_by:
            return f"{place} are shown twice: line {index + 1} stands in {shown_by[index]} already"
    return f"{place} come after later lines of that file: excerpts come in the file's order"


def _differs(
    chapter: Chapter, block: Block, lines: list[str], wanted: list[str], name: str
) -> Problem:
    """An excerpt that the file does not have: the first line that differs where it fits best."""

    def agreeing(start: int) -> int:
        pairs = zip(lines[start:], wanted, strict=False)
        return sum(line == other for line, other in pairs if other.strip())

    best = max(range(max(1, len(lines))), key=agreeing)
    skipped = len(block.text) - len(block.text.lstrip("\n"))  # empty lines before the first
    for offset, line in enumerate(wanted):
        found = lines[best + offset] if best + offset < len(lines) else None
        if line != found:
            at = block.line + 1 + skipped + offset
            if agreeing(best) == 0:
                close = difflib.get_close_matches(line, lines, n=1)
                found = close[0] if close else None
                where = f"the closest line there is {found!r}" if close else "no line is like it"
                return chapter.problem(at, f"{name} has no line {line!r}; {where}")
            there = "the file ends" if found is None else f"line {best + offset + 1} is {found!r}"
            return chapter.problem(at, f"the excerpt has {line!r}, but in {name} {there}")
    raise AssertionError("an excerpt that fits was not found")


def _unshown(path: Path, lines: list[str], shown_by: dict[int, str]) -> Iterator[Problem]:
    """The runs of lines that no excerpt shows, blank lines aside."""
    missing = [i for i, line in enumerate(lines) if line.strip() and i not in shown_by]
    first = last = None
    for index in [*missing, None]:
        if first is not None and last is not None:
            between = range(last + 1, len(lines) if index is None else index)
            if index is not None and all(not lines[i].strip() for i in between):
                last = index
                continue
            which = "this line" if first == last else f"lines {first + 1} to {last + 1}"
            message = f"no chapter shows {which}, {lines[first]!r}"
            yield Problem(shown(path), first + 1, message)
        first = last = index
