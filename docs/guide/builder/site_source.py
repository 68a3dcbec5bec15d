"""Source files as pages, with an anchor and a number for every line; folders as lists of files."""

import ast
import html
from pathlib import Path

from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

from builder.problems import GuideError, Problem
from builder.site_code import highlighted
from builder.site_docstring import first_sentence
from builder.site_page import Page, relative
from builder.site_places import Places

HIDDEN = {"__pycache__", "_build"}


def source_page(places: Places, path: Path) -> Page:
    """A file's text. Line 12 has the anchor #L12."""
    name, address = places.name(path), places.sources[path]
    try:
        text = path.read_text(encoding="utf-8").rstrip("\n")
    except UnicodeDecodeError:
        message = "a page links to this file, which is no text: link to its folder instead"
        raise GuideError([Problem(name, 0, message)]) from None
    code = highlighted(text, _language(path))
    lines = "\n".join(
        f'<span class="row" id="L{number}"><a class="line" href="#L{number}">{number}</a>'
        f"{line}</span>"
        for number, line in enumerate(_balanced(code), 1)
    )
    body = (
        f"<h1>{html.escape(name)}</h1>"
        f'<div class="code source"><pre tabindex="0"><code>{lines}</code></pre></div>'
    )
    return Page(address, name, body, "source", name)


def folder_page(places: Places, folder: Path) -> Page:
    """A folder's files, each with its first line of explanation."""
    name, address = places.name(folder), places.folders[folder]
    rows = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in HIDDEN or (path.is_dir() and not _texts(path)):
            continue
        if path.is_file() and not _is_text(path):
            continue
        href = relative(address, places.file(path))
        shown = html.escape(path.name + "/" * path.is_dir())
        about = f" {first_sentence(_about(path))}" if path.suffix == ".py" else ""
        rows.append(f'<li><a href="{href}"><code>{shown}</code></a>{about}</li>')
    body = f'<h1>{html.escape(name)}/</h1><ul class="files">{"".join(rows)}</ul>'
    return Page(address, f"{name}/", body, "source", name)


def _about(path: Path) -> str:
    """What a module's docstring says first, or nothing."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _texts(folder: Path) -> bool:
    return any(_is_text(path) for path in folder.iterdir() if path.is_file())


def _is_text(path: Path) -> bool:
    endings = {".py", ".md", ".cfg", ".toml", ".txt", ".js", ".css", ".html", ".ipynb", ".typ"}
    return path.suffix in endings


def _language(path: Path) -> str:
    if path.suffix == ".md":
        return "text"  # its code blocks are in other languages
    try:
        return str(get_lexer_for_filename(path.name).aliases[0])
    except ClassNotFound:
        return "text"


def _balanced(code: str) -> list[str]:
    """Highlighted lines, each of which closes the spans that it opens."""
    lines, opened = [], ""
    for line in code.split("\n"):
        shown = opened + line
        start = line.rfind("<span")
        if start > line.rfind("</span>"):
            opened = line[start : line.index(">", start) + 1]
        elif "</span>" in line:
            opened = ""
        lines.append(shown + ("</span>" if opened else ""))
    return lines
