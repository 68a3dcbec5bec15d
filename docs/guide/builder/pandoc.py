"""A chapter as pandoc's tree, with its special places put right, and from there to Typst or HTML.

    tree = transformed(book, chapter, Target(book, chapter))    # pandoc's JSON, as Python
    html = written(chapter, tree, "html5", ["--mathml"])        # a broken formula raises GuideError

The two books, on paper and on the web, read the same Markdown and differ in what its special
places become: headings, blocks, figures, links, terms, mathematics. A ``Target`` has a method for
each; those here make plain pandoc nodes, and PDF and site replace the ones they want otherwise.

A node is a dict with "t", its kind, "c", its content, and "line", where it stands in the Markdown.
https://hackage.haskell.org/package/pandoc-types/docs/Text-Pandoc-Definition.html lists them.
"""

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pypandoc

from builder.book import Book, Chapter, Figure, Place, Section
from builder.excerpts import excerpts_by_file, starts_in_order
from builder.markdown import Block
from builder.problems import GuideError, Problem, read_utf8

Node = dict[str, Any]
READER = "commonmark+pipe_tables+smart+sourcepos+tex_math_dollars"
"""CommonMark, tables, mathematics; typographic quotes and dashes; and where everything stands."""


# Nodes


def node(kind: str, content: Any = None) -> Node:
    """A node; some, such as a space, have no content."""
    return {"t": kind} if content is None else {"t": kind, "c": content}


def attributes(identifier: str = "", classes: Sequence[str] = (), **named: str) -> list[Any]:
    """The attributes of a node: an id, classes, and key-value pairs."""
    return [identifier, list(classes), [[key, value] for key, value in named.items()]]


def words(text: str) -> list[Node]:
    """Inline nodes for plain text."""
    parts = re.split(r"( )", text)
    return [node("Space") if part == " " else node("Str", part) for part in parts if part]


def raw(form: str, text: str, block: bool = False) -> Node:
    """Text that goes into the output as it is, where the output is of that form."""
    return node("RawBlock" if block else "RawInline", [form, text])


def plain(value: Any) -> str:
    """The text of a node or of a list of nodes, without marks."""
    if isinstance(value, list):
        return "".join(plain(each) for each in value)
    kind, content = value["t"], value.get("c")
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind == "Str":
        return str(content)
    if kind in ("Code", "Math"):
        return str(content[1])
    if kind in ("Link", "Image", "Span", "Quoted"):
        return plain(content[1])
    if kind in ("Emph", "Strong", "Para", "Plain"):
        return plain(content)
    return ""


# What the special places become


class Target:
    """What a chapter's special places become. Each method returns the nodes that replace one."""

    def __init__(self, book: Book, chapter: Chapter) -> None:
        self.book, self.chapter = book, chapter

    def heading(self, section: Section, title: list[Node]) -> list[Node]:
        """A heading: its id is GitHub's anchor, its number an attribute."""
        given = attributes(section.anchor, number=section.number) if section.number else None
        return [node("Header", [section.level, given or attributes(section.anchor), title])]

    def code(self, block: Block, source_line: int) -> list[Node]:
        """A block of code or output; with ``from=``, the line of that file it begins with, or 0."""
        classes = [block.language] if block.language else []
        named = {"from": block.source, "startFrom": str(source_line)} if block.source else {}
        text = block.text.removesuffix("\n")
        return [node("CodeBlock", [attributes("", classes, **named), text])]

    def figure(self, figure: Figure, caption: list[Node]) -> list[Node]:
        """A figure that stands alone, numbered."""
        image = node("Image", [attributes(), caption, [f"figures/{figure.name}.svg", ""]])
        numbered = [node("Strong", words(f"Figure {figure.number}. ")), *caption]
        content = [[None, [node("Plain", numbered)]], [node("Plain", [image])]]
        return [node("Figure", [attributes(f"figure-{figure.name}"), *content])]

    def link(self, place: Place, text: list[Node], target: str) -> list[Node]:
        """A link: its text, the number of what it leads to, and the target as written."""
        inside = [*text, *self.suffix(place, text)]
        return [node("Link", [attributes(), inside, [target, ""]])]

    def term(self, text: list[Node]) -> list[Node]:
        """A term where it is defined: bold, in a span that the index leads to."""
        return [node("Span", [attributes("", ["term"]), [node("Strong", text)]])]

    def math(self, tex: str, display: bool) -> list[Node]:
        """A formula."""
        kind = node("DisplayMath" if display else "InlineMath")
        return [node("Math", [kind, tex])]

    def suffix(self, place: Place, text: list[Node]) -> list[Node]:
        """The number after a link's text, as in "the loss falls (figure 9.2)"; or nothing."""
        number = reference(place)
        if not number or re.search(
            rf"\b{re.escape(number)}(?![.\d]*\d)", plain(text), re.IGNORECASE
        ):
            return []
        return [node("Str", "\u00a0"), *words(f"({number})".replace(" ", "\u00a0"))]


def reference(place: Place) -> str:
    """What a link leads to, in words: "section 3.4", "figure 9.2"; or "" where it has no number.

    An entry among the sources is known by its authors and year, which the link's text has.
    """
    if place.kind == "figure":
        assert place.figure is not None
        return f"figure {place.figure.number}"
    if place.kind != "section" or place.chapter is None or place.section is None:
        return ""
    exercise = re.match(r"Exercise (\d+\.\d+): ", place.section.title)
    if exercise:
        return f"exercise {exercise[1]}"
    if place.chapter.is_appendix:
        is_source = place.chapter.name == "sources" and place.section.level > 1
        return "" if is_source else f"appendix {place.chapter.number}"
    number = place.section.number
    return f"{'section' if '.' in number else 'chapter'} {number}" if number else ""


# From Markdown to the tree


def transformed(book: Book, chapter: Chapter, target: Target) -> Node:
    """A chapter's tree with its special places replaced by what the target makes of them."""
    tree = read_tree(chapter)
    work = _Transformer(book, chapter, target)
    tree["blocks"] = work.nodes(tree["blocks"])
    return tree


def read_tree(chapter: Chapter) -> Node:
    """Pandoc's tree of a chapter; every node has its "line", and no wrapper is left."""
    tree = json.loads(_pandoc(chapter.text, "-f", READER, "-t", "json")[0])
    tree["blocks"] = _located(tree["blocks"], 1)
    _check_formulas(chapter, tree)
    return tree  # type: ignore[no-any-return]


def _check_formulas(chapter: Chapter, tree: Node) -> None:
    """Raise GuideError for a formula of the text that pandoc has read as something else."""
    found = Counter("".join(each["c"][1].split()) for each in every(tree["blocks"], "Math"))
    for tex, line in chapter.pieces.mathematics:
        bare = "".join(tex.split())
        if not found[bare]:
            message = f"pandoc reads this formula as text: {' '.join(tex.split())[:60]}"
            raise GuideError([chapter.problem(line, message)])
        found[bare] -= 1


def _located(values: list[Any], line: int) -> list[Any]:
    """Nodes with lines, out of those with positions among their attributes and in wrappers."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, list):
            found.append(_located(value, line))
        elif isinstance(value, dict) and "c" in value:
            line = _take_position(value) or line
            if value["t"] in ("Div", "Span") and ["wrapper", "1"] in value["c"][0][2]:
                found += _located(value["c"][1], line)
                continue
            value["line"] = line
            if isinstance(value["c"], list):
                value["c"] = _located(value["c"], line)
            found.append(value)
        else:
            found.append(value)
    return found


def _take_position(value: Node) -> int:
    """The line that a node begins in, taken out of its attributes; 0 where it has none.

    A block in a list carries its item's position first, and then its own.
    """
    line = 0
    for part in value["c"] if isinstance(value["c"], list) else []:
        if isinstance(part, list) and len(part) == 3 and isinstance(part[0], str):
            for key, position in part[2] if isinstance(part[2], list) else []:
                match = re.match(r"(?:.*@)?(\d+):", position) if key == "data-pos" else None
                line = int(match[1]) if match else line
            part[2] = [pair for pair in part[2] if pair[0] != "data-pos"]
    return line


class _Transformer:
    """Walks through a tree, and lets the target replace what it has a method for."""

    def __init__(self, book: Book, chapter: Chapter, target: Target) -> None:
        self._book, self._chapter, self._target = book, chapter, target
        self._sections = {section.line: section for section in chapter.sections}
        self._figures = {figure.line: figure for figure in chapter.figures}
        self._blocks = {}
        for block in chapter.blocks:
            self._blocks[block.line] = block
            if block.output is not None:
                self._blocks[block.output.line] = block.output
        self._excerpts = _excerpt_lines(book)

    def nodes(self, values: list[Any]) -> list[Any]:
        """A list's nodes, each replaced; lists in it, which are cells or items, stay lists."""
        found: list[Any] = []
        for value in values:
            if isinstance(value, list):
                found.append(self.nodes(value))
            elif isinstance(value, dict):
                found += self._replaced(value)
            else:
                found.append(value)
        return found

    def _replaced(self, value: Node) -> list[Node]:
        kind, content, line = value["t"], value.get("c"), value.get("line", 0)
        target = self._target
        if kind == "CodeBlock":
            first = self._excerpts.get((self._chapter.name, line), 0)
            made = target.code(self._blocks[line], first)
        elif kind == "Math":
            made = target.math(content[1], content[0]["t"] == "DisplayMath")
        elif kind == "Para" and _is_figure(content) and line in self._figures:
            made = target.figure(self._figures[line], self.nodes(content[0]["c"][1]))
        elif kind == "Header" and line in self._sections:
            made = target.heading(self._sections[line], self.nodes(content[2]))
        elif kind == "Link":
            where = content[2][0]
            place = self._book.resolve(self._chapter, where)
            if place.kind == "broken":
                raise GuideError(
                    [self._chapter.problem(line, f"the link {where}: {place.message}")]
                )
            made = target.link(place, self.nodes(content[1]), where)
        elif kind == "Strong":
            made = target.term(self.nodes(content))
        else:
            if isinstance(content, list):
                value["c"] = self.nodes(content)
            return [value]
        for each in made:
            each.setdefault("line", line)
        return made


def _is_figure(content: list[Node]) -> bool:
    return len(content) == 1 and content[0]["t"] == "Image"


def _excerpt_lines(book: Book) -> dict[tuple[str, int], int]:
    """Where the excerpts begin in their files, by a chapter's name and the block's line."""
    found: dict[tuple[str, int], int] = {}
    for name, excerpts in excerpts_by_file(book.parts).items():
        path = book.folder / "code" / name
        lines = read_utf8(path).splitlines() if path.is_file() else []
        for (chapter, block), start in zip(excerpts, starts_in_order(lines, excerpts), strict=True):
            if start is not None:
                found[chapter.name, block.line] = start + 1
    return found


# From the tree to Typst or HTML


def written(chapter: Chapter, tree: Node, form: str, options: Sequence[str] = ()) -> str:
    """A tree in another form. What pandoc warns of, such as a formula, raises GuideError."""
    text, warnings = _pandoc(json.dumps(tree), "-f", "json", "-t", form, "--wrap=none", *options)
    problems = [_problem(chapter, tree, warning) for warning in warnings]
    if problems:
        raise GuideError(problems)
    return text


def _problem(chapter: Chapter, tree: Node, warning: Node) -> Problem:
    """A warning of pandoc as a mistake in the chapter."""
    if warning["type"] != "CouldNotConvertTeXMath":
        return chapter.problem(0, f"pandoc says: {warning['pretty']}")
    tex = warning["contents"]
    why = " ".join(warning["message"].removeprefix(tex).replace("^", " ").split())
    message = f"the formula ${' '.join(tex.split())}$ cannot be read: {why}"
    return chapter.problem(line_of_formula(tree, tex), message)


def line_of_formula(tree: Node, tex: str) -> int:
    """The line of the first formula that reads so; 0 where there is none."""
    found = [each["line"] for each in every(tree["blocks"], "Math") if each["c"][1] == tex]
    return found[0] if found else 0


def every(value: Any, kind: str) -> list[Node]:
    """All nodes of a kind inside a value, in order."""
    if isinstance(value, list):
        return [found for each in value for found in every(each, kind)]
    if not isinstance(value, dict):
        return []
    return [value] * (value.get("t") == kind) + every(value.get("c"), kind)


def _pandoc(text: str, *options: str) -> tuple[str, list[Node]]:
    """Pandoc's output, and its warnings."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.json"
        command = [pypandoc.get_pandoc_path(), f"--log={log}", "--quiet", *options]
        done = subprocess.run(command, input=text.encode(), capture_output=True)
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise GuideError(f"pandoc stopped with the exit code {done.returncode}: {message}")
        entries = json.loads(log.read_text("utf-8")) if log.is_file() else []
    return done.stdout.decode(), [each for each in entries if each["verbosity"] == "WARNING"]
