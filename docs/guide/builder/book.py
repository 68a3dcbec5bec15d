"""The guide as data: chapters, appendices, their sections, blocks, figures, links and terms.

    book = read_book(Path("docs/guide"))
    for chapter in book.parts:                  # chapters 1 to 16, then the appendices A, B and C
        chapter.number, chapter.title           # "3", "The engine"
        for section in chapter.sections:        # the title first, then ## and ### in order
            section.number, section.anchor      # "3.4" (or ""), "why-newest-first"
        for block in chapter.blocks: ...        # see markdown.Block
    place = book.resolve(chapter, link.target)  # where a link leads, for every kind of link

A chapter that is not written yet is missing: numbers come from the files' names, so the others keep
theirs. What a chapter may hold is the business of check.py; this module only reads.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from builder.markdown import Block, Heading, Link, Pieces, Term, read_pieces
from builder.problems import GuideError, Problem, read_utf8, shown

CHAPTERS = (
    "01-what-a-language-model-is",
    "02-gradients-by-hand",
    "03-the-engine",
    "04-proving-it",
    "05-text-into-tokens",
    "06-the-data-pipeline",
    "07-attention",
    "08-the-transformer",
    "09-training",
    "10-generating",
    "11-measuring",
    "12-pretrained-weights",
    "13-instruction-tuning",
    "14-preferences",
    "15-making-it-fast",
    "16-where-to-go-on",
)
"""The chapters' names, in order; the file is NAME.md."""
APPENDICES = {"answers": "A", "solutions": "B", "sources": "C"}
"""The appendices' names and letters. solutions.md is made here, from solutions/*.py."""
EXPLORER = "explorer.html"
"""The page that links with a state such as #graph=reuse&view=order lead to."""
EXERCISE = re.compile(r"Exercise (\d+)\.(\d+): ")
"""How an exercise's heading begins; such a heading has a number of its own in it."""


@dataclass(frozen=True)
class Section:
    """A heading with its number: "3" for a chapter's title, "3.4", "3.4.2", or "" for none.

    The headings of exercises, of the front page and inside the appendices have none.
    """

    level: int
    title: str
    anchor: str
    number: str
    line: int


@dataclass(frozen=True)
class Figure:
    """A figure: figures/NAME.svg with its caption (Markdown, `code` at most) and number "9.2"."""

    name: str
    caption: str
    line: int
    number: str


@dataclass
class Chapter:
    """A chapter, an appendix, or the front page."""

    path: Path
    number: str
    """"3" for a chapter, "A" for an appendix, "" for the front page."""
    text: str
    """The Markdown, as written."""
    pieces: Pieces = field(repr=False)
    """All that markdown.py found; the properties below are what most readers want."""
    sections: list[Section] = field(init=False, repr=False)
    figures: list[Figure] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.sections = _numbered(self.pieces.headings, self.number)
        images = [image for image in self.pieces.images if _figure_name(image.target) is not None]
        self.figures = [
            Figure(
                _figure_name(image.target) or "", image.alt, image.line, f"{self.number}.{count}"
            )
            for count, image in enumerate(images, 1)
        ]

    @property
    def name(self) -> str:
        """The file's name without .md: 03-the-engine, answers, README."""
        return self.path.stem

    @property
    def shown(self) -> str:
        """The path as messages name it."""
        return shown(self.path)

    @property
    def title(self) -> str:
        """The words of the first heading."""
        return self.sections[0].title if self.sections else self.name

    @property
    def is_appendix(self) -> bool:
        return self.number.isalpha()

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, each with its output; in the file's order."""
        return self.pieces.blocks

    @property
    def links(self) -> list[Link]:
        return self.pieces.links

    @property
    def terms(self) -> list[Term]:
        return self.pieces.terms

    def section(self, anchor: str) -> Section | None:
        """The section with an anchor."""
        return next((each for each in self.sections if each.anchor == anchor), None)

    def section_at(self, line: int) -> Section | None:
        """The section that a line stands in."""
        before = [section for section in self.sections if section.line <= line]
        return before[-1] if before else None

    def problem(self, line: int, message: str) -> Problem:
        """A mistake in this file."""
        return Problem(self.shown, line, message)


@dataclass(frozen=True)
class Place:
    """Where a link leads. ``kind`` says which of the others is set:

    web       nothing more: the target is an address
    section   chapter and section (the title's, where the link names no anchor)
    figure    chapter and figure: the one that shows it
    explorer  state, such as "graph=reuse&view=order"
    file      path (resolved, may be missing) and anchor ("" for none): a file outside the book
    broken    message: a sentence that says what is missing
    """

    kind: str
    chapter: Chapter | None = None
    section: Section | None = None
    figure: Figure | None = None
    state: str = ""
    path: Path | None = None
    anchor: str = ""
    message: str = ""


@dataclass
class Book:
    """The guide. ``folder`` is docs/guide."""

    folder: Path
    front: Chapter | None
    """README.md, which is no chapter."""
    chapters: list[Chapter]
    appendices: list[Chapter]

    @property
    def parts(self) -> list[Chapter]:
        """The chapters and then the appendices."""
        return [*self.chapters, *self.appendices]

    def part(self, name: str) -> Chapter | None:
        """A chapter or an appendix by its name (03-the-engine), or by its number (3, 03, A)."""
        wanted = name.lstrip("0")
        return next(
            (each for each in self.parts if each.name == name or each.number == wanted), None
        )

    def figure(self, name: str) -> tuple[Chapter, Figure] | None:
        """The figure with a name, and the chapter that shows it."""
        for chapter in self.chapters:
            for figure in chapter.figures:
                if figure.name == name:
                    return chapter, figure
        return None

    def resolve(self, chapter: Chapter, target: str) -> Place:
        """Where a link of a chapter leads."""
        if re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            return Place("web")
        path, _, anchor = target.partition("#")
        path, anchor = unquote(path), unquote(anchor)
        if path == EXPLORER:
            return Place("explorer", state=target.partition("#")[2])
        name = _figure_name(path)
        if name is not None:
            return self._figure(name)
        file = (chapter.path.parent / path).resolve() if path else chapter.path.resolve()
        if file.parent == (self.folder / "solutions").resolve() and file.suffix == ".py":
            return self._solution(file)
        for part in [*self.parts, *([self.front] if self.front else [])]:
            if part.path.resolve() == file:
                return _section(part, anchor)
        if file.parent == self.folder.resolve() and file.stem in (*CHAPTERS, *APPENDICES):
            return Place("broken", message=f"{file.name} is not written")
        return Place("file", path=file, anchor=anchor)

    def _figure(self, name: str) -> Place:
        found = self.figure(name)
        if found is None:
            return Place("broken", message=f"no chapter shows the figure {name}.svg")
        return Place("figure", chapter=found[0], figure=found[1])

    def _solution(self, file: Path) -> Place:
        """The section of the appendix that shows a file of solutions."""
        appendix = self.part("solutions")
        if appendix is None or not file.is_file():
            return Place("broken", message=f"there is no solutions/{file.name}")
        files = sorted(self.folder.glob("solutions/test_*.py"))
        section = appendix.sections[1 + [each.name for each in files].index(file.name)]
        return Place("section", chapter=appendix, section=section)


def _section(part: Chapter, anchor: str) -> Place:
    section = part.section(anchor) if anchor else (part.sections or [None])[0]
    if section is None:
        return Place("broken", message=f"{part.path.name} has no heading with the anchor #{anchor}")
    return Place("section", chapter=part, section=section)


def read_book(folder: Path) -> Book:
    """The book in a folder. Raises GuideError where there is no chapter, or a file is not UTF-8."""
    names = [name for name in CHAPTERS if (folder / f"{name}.md").is_file()]
    if not names:
        raise GuideError(f"{shown(folder)} holds no chapter, such as {CHAPTERS[0]}.md")
    chapters = [_read(folder / f"{name}.md", str(int(name[:2]))) for name in names]
    appendices = []
    for name, letter in APPENDICES.items():
        path = folder / f"{name}.md"
        if name == "solutions":
            text = _solutions(folder, chapters)
            if text:
                appendices.append(_chapter(path, letter, text))
        elif path.is_file():
            appendices.append(_read(path, letter))
    front = folder / "README.md"
    return Book(folder, _read(front, "") if front.is_file() else None, chapters, appendices)


def _read(path: Path, number: str) -> Chapter:
    return _chapter(path, number, read_utf8(path))


def _chapter(path: Path, number: str, text: str) -> Chapter:
    return Chapter(path, number, text, read_pieces(text))


def _figure_name(target: str) -> str | None:
    """NAME of figures/NAME.svg."""
    match = re.fullmatch(r"figures/([\w.-]+)\.svg", target)
    return match[1] if match else None


def _numbered(headings: list[Heading], number: str) -> list[Section]:
    """The headings with their numbers; see Section for which have none."""
    sections, second, third = [], 0, 0
    for index, heading in enumerate(headings):
        if index == 0:
            own = number
        elif not number.isdigit() or EXERCISE.match(heading.title) or heading.level not in (2, 3):
            own = ""
        elif heading.level == 2:
            second, third = second + 1, 0
            own = f"{number}.{second}"
        else:
            third += 1
            own = f"{number}.{second}.{third}"
        sections.append(Section(heading.level, heading.title, heading.anchor, own, heading.line))
    return sections


def _solutions(folder: Path, chapters: list[Chapter]) -> str:
    """The Markdown of appendix B: each file of solutions/ under its chapter's title, or ''."""
    titles = {f"{int(chapter.number):02}": chapter.title for chapter in chapters}
    parts = []
    for path in sorted(folder.glob("solutions/test_*.py")):
        number = path.stem.removeprefix("test_")[:2]
        if not number.isdigit():
            message = "a file of solutions is named test_NN_name.py, NN its chapter's number"
            raise GuideError([Problem(shown(path), 0, message)])
        title = titles.get(number, path.stem[8:].replace("_", " "))
        heading = f"## Chapter {int(number)}: {title[:1].lower()}{title[1:]}"
        code = read_utf8(path).rstrip("\n")
        fence = "```"
        while fence in code:
            fence += "`"
        info = f"python from=../solutions/{path.name}"
        parts.append(f"{heading}\n\n{fence}{info}\n{code}\n{fence}\n")
    if not parts:
        return ""
    about = (
        "Each solution is a test that runs as it stands: the functions first, then assertions that "
        "show that they work. On paper only the files are named: they lie in the folder "
        "`solutions` of the guide and of its Markdown archive."
    )
    return "\n".join([f"# Solutions\n\n{about}\n", *parts])
