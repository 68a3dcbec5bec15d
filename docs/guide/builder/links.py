"""Links, sources and figures: whether what the guide refers to is there, and is referred to."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from builder.book import Book, Chapter, Place
from builder.explorer_links import explorer_problem
from builder.markdown import Image, Link, parser, read_pieces
from builder.problems import Problem, read_utf8, shown


def link_problems(book: Book, whole: bool) -> Iterator[Problem]:
    """Links that lead nowhere; without ``whole``, those to chapters not yet written may."""
    for part in _texts(book):
        for link in part.links:
            place = book.resolve(part, link.target)
            message = _link_problem(book, part, link, place)
            if message and (whole or not unwritten(place)):
                yield part.problem(link.line, f"the link {link.target}: {message}")


def unwritten(place: Place) -> bool:
    """Whether a link leads to a part of the book that is not there yet."""
    return place.kind == "broken" and place.message.endswith("is not written")


def _texts(book: Book) -> list[Chapter]:
    """What people wrote: the parts without the solutions, and the front page."""
    parts = [part for part in book.parts if part.name != "solutions"]
    return [*parts, *([book.front] if book.front else [])]


def _link_problem(book: Book, part: Chapter, link: Link, place: Place) -> str | None:
    if not link.text.strip():
        return "it has no text"
    if link.target in ("", "#"):
        return "it leads nowhere: name a file, or an anchor such as #why-newest-first"
    if place.kind == "broken":
        return place.message
    if place.kind == "web":
        known = link.target.startswith(("https://", "http://", "mailto:"))
        return None if known else "its address begins with neither https:// nor http://"
    if place.kind == "explorer":
        return explorer_problem(place.state)
    if place.kind == "file":
        assert place.path is not None
        return _file_problem(book.folder, place.path, place.anchor)
    return None


def _file_problem(folder: Path, path: Path, anchor: str) -> str | None:
    """What is wrong with a link to a file outside the book."""
    root = folder.resolve().parent.parent
    if not path.is_relative_to(root):
        return "it leads out of the project; links are relative to the file they stand in"
    if not path.exists():
        return f"there is no {path.relative_to(root).as_posix()}"
    if not anchor:
        return None
    if path.suffix == ".md":
        if anchor in _anchors(path, path.stat().st_mtime_ns):
            return None
        return f"{path.relative_to(root).as_posix()} has no heading with the anchor #{anchor}"
    lines = re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor)
    if lines is None or not path.is_file():
        return f"#{anchor} is no place in {path.relative_to(root).as_posix()}; use #L12"
    last = len(read_utf8(path).splitlines())
    numbers = [int(number) for number in lines.groups() if number]
    if max(numbers) > last:
        return f"{path.relative_to(root).as_posix()} has {last} lines"
    if min(numbers) < 1 or numbers != sorted(numbers):
        return f"#{anchor} names no lines: they count from 1, and the first comes first"
    return None


@cache
def _anchors(path: Path, _time: int) -> frozenset[str]:
    headings = read_pieces(read_utf8(path)).headings
    return frozenset(heading.anchor for heading in headings)


def source_problems(book: Book) -> Iterator[Problem]:
    """Sources without a paragraph or an address, and those that nothing cites."""
    sources = book.part("sources")
    if sources is None:
        return
    cited = {
        place.section.anchor
        for part in _texts(book)
        if part is not sources
        for link in part.links
        if (place := book.resolve(part, link.target)).chapter is sources and place.section
    }
    entries = [section for section in sources.sections if section.level == 3]
    ends = [section.line for section in sources.sections][1:] + [len(sources.text) + 1]
    starts = [section.line for section in sources.sections]
    rows = sources.text.split("\n")
    for entry in entries:
        end = ends[starts.index(entry.line)]
        if entry.title != entry.anchor:
            message = f"a source is named as its anchor: {entry.anchor}, not {entry.title}"
            yield sources.problem(entry.line, message)
        paragraphs = "\n".join(rows[entry.line : end - 1]).strip()
        if not paragraphs or "\n\n" in paragraphs:
            yield sources.problem(entry.line, f"{entry.title} has to have exactly one paragraph")
        if not any(entry.line < link.line < end for link in sources.links):
            yield sources.problem(entry.line, f"{entry.title} has no link to where it can be read")
        if entry.anchor not in cited:
            yield sources.problem(entry.line, f"nothing cites {entry.title}: cite it or remove it")


def figure_problems(book: Book, whole: bool) -> Iterator[Problem]:
    """Images that are no figures, figures nobody refers to, and files that no chapter shows."""
    first: dict[str, str] = {}
    for part in _texts(book):
        for image in part.pieces.images:
            message = _image_problem(image)
            if message:
                yield part.problem(image.line, message)
        for figure in part.figures:
            if part not in book.chapters:
                yield part.problem(figure.line, "a figure stands in a chapter")
                continue
            if figure.name in first:
                message = f"figures/{figure.name}.svg is shown in {first[figure.name]} already"
                yield part.problem(figure.line, message)
            first.setdefault(figure.name, f"{part.shown}:{figure.line}")
            if not any(link.target == f"figures/{figure.name}.svg" for link in part.links):
                message = (
                    f"the text of this chapter does not refer to figures/{figure.name}.svg: write "
                    f"[what it shows](figures/{figure.name}.svg)"
                )
                yield part.problem(figure.line, message)
            if not (book.folder / "figures" / f"{figure.name}.svg").is_file():
                message = f"there is no figures/{figure.name}.svg: make it with --update"
                yield part.problem(figure.line, message)
    if whole and (book.folder / "figures").is_dir():
        for path in sorted((book.folder / "figures").iterdir()):
            if path.suffix != ".svg" or path.stem not in first:
                yield Problem(shown(path), 0, "no chapter shows this figure: remove it")


def _image_problem(image: Image) -> str | None:
    if not re.fullmatch(r"figures/[\w.-]+\.svg", image.target):
        return f"the image {image.target} is no figure; a figure is figures/NAME.svg"
    if not image.alone:
        return f"{image.target} has to stand alone in its paragraph"
    if not image.alt:
        return f"{image.target} has no caption: say what it shows and what to see in it"
    children = parser().parseInline(image.alt)[0].children or []
    if any(child.type not in ("text", "code_inline", "softbreak") for child in children):
        return f"the caption of {image.target} holds more than text and `code`"
    if len(re.findall(r"[.!?](?=\s|$)", image.alt)) > 3:
        return f"the caption of {image.target} has more than three sentences"
    return None
