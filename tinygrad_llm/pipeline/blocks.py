"""What a report consists of, and how it is written as Markdown and as one HTML page.

In text, **two stars** mean bold and `backquotes` mean code, in both.
"""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells below names; the first column is left-aligned."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Code:
    """Text as it is: a command, or what a model wrote. label: whose it is."""

    text: str
    label: str = ""


@dataclass(frozen=True)
class Tokens:
    """The pieces of a tokenized text."""

    pieces: Sequence[str]


@dataclass(frozen=True)
class Asked:
    """A question, what the data answers (or nothing), and the answers of models by their names."""

    question: str
    expected: str
    answers: Sequence[tuple[str, str]]


Block = Heading | Paragraph | Table | Picture | Code | Tokens | Asked


# --- Markdown -----------------------------------------------------------------------------------


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """The report in Markdown, for a file in ``folder``: pictures are linked."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Table(names, rows):
            lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (names, *rows)]
            lines.insert(1, "|:--" + "|--:" * (len(names) - 1) + "|")
            return "\n".join(lines)
        case Picture(path, caption):
            return f"![{caption}]({path.relative_to(folder).as_posix()})\n\n*{caption}*"
        case Code(text, label):
            return (f"{label}:\n\n" if label else "") + _fenced(text)
        case Tokens(pieces):
            return _fenced("|".join(pieces))
        case Asked(question, expected, answers):
            said = [
                ("asked", question),
                *([("in the data", expected)] if expected else []),
                *answers,
            ]
            return _fenced("\n".join(f"{name + ':':<{_width(said)}} {_indented(text, _width(said))}"
                                     for name, text in said))  # fmt: skip


def _width(said: Sequence[tuple[str, str]]) -> int:
    return 1 + max(len(name) for name, _ in said)


def _indented(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * (width + 1))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _fenced(text: str) -> str:
    """A code block, with more backquotes than the text has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


# --- HTML ---------------------------------------------------------------------------------------


def to_html(blocks: Sequence[Block], title: str) -> str:
    """The report as one page that needs no other file: pictures are part of it."""
    body = "\n".join(map(_html, blocks))
    page = PAGE.read_text(encoding="utf-8")
    return page.replace("{title}", html.escape(title)).replace("{body}", body)


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Table(names, rows):
            head = "".join(f"<th>{_inline(name)}</th>" for name in names)
            lines = ("".join(f"<td>{_inline(cell)}</td>" for cell in row) for row in rows)
            body = "\n".join(f"<tr>{line}</tr>" for line in lines)
            return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            return (
                f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{_inline(caption)}</figcaption></figure>"
            )
        case Code(text, label):
            name = f'<div class="label">{_inline(label)}</div>' if label else ""
            return f"{name}<pre>{html.escape(text)}</pre>"
        case Tokens(pieces):
            spans = "".join(f"<span>{html.escape(piece)}</span>" for piece in pieces)
            return f'<pre class="tokens">{spans}</pre>'
        case Asked(question, expected, answers):
            said = [("asked", question, "question")]
            said += [("in the data", expected, "expected")] if expected else []
            said += [(name, text, "answer") for name, text in answers]
            parts = "".join(
                f'<div class="{kind}"><b>{html.escape(name)}</b>'
                f"<pre>{html.escape(text)}</pre></div>"
                for name, text, kind in said
            )
            return f'<div class="asked">{parts}</div>'


def _inline(text: str) -> str:
    escaped = html.escape(text)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", escaped)
