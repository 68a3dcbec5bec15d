"""The reference of the API: a page for each public module, made from the docstrings."""

import html
import inspect
import re
from pathlib import Path

import pdoc.doc

from builder.site_docstring import docstring_html, first_sentence
from builder.site_modules import is_defined_here, members_of, parts_of
from builder.site_page import Entry, Page, Record, relative
from builder.site_places import Places
from builder.site_signature import signature_html, value_of

INDEX = "api/index.html"
LONGEST = 300
"""Characters of a value that are shown."""


class Api:
    """Pages for some modules. ``tree(name)`` has the links beside the text of one."""

    def __init__(self, modules: list[pdoc.doc.Module], places: Places) -> None:
        self._modules, self._places = modules, places
        self._names = {module.modulename for module in modules}

    def pages(self) -> list[Page]:
        """The index, and then the modules."""
        return [self._index(), *(self._page(module) for module in self._modules)]

    def tree(self, page: Page) -> list[Entry]:
        """The packages, and the modules of the package that a page belongs to."""
        entries = []
        for name in sorted(self._names):
            parent, _, _ = name.rpartition(".")
            near = parent in (page.title, page.title.rpartition(".")[0]) and parent
            if len(name.split(".")) <= 2 or near or name == page.title:
                level = min(2, name.count(".") + 1)
                entries.append(Entry(level, "", name, _address(name)))
        return entries

    def _index(self) -> Page:
        rows = []
        for module in self._modules:
            about = first_sentence(module.docstring)
            href = relative(INDEX, _address(module.modulename))
            rows.append(
                f'<tr><td><a href="{href}"><code>{module.modulename}</code></a></td>'
                f"<td>{about}</td></tr>"
            )
        body = (
            '<h1 id="api">The API</h1><p>Every public module of the engine and of the language '
            "model, made from the docstrings in the source.</p>"
            f'<div class="table" tabindex="0"><table><thead><tr><th>Module</th><th>What it is'
            f"</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
        return Page(
            INDEX, "The API", body, "api", records=[Record("page", "", "The API", INDEX, "")]
        )

    def _page(self, module: pdoc.doc.Module) -> Page:
        name = module.modulename
        page = Page(_address(name), name, "", "api", name)
        members = members_of(module)
        own = [each for each in members if is_defined_here(each, name, self._names)]
        others = [each for each in members if each not in own]
        parts = [f'<h1 id="{name}"><code>{name}</code></h1>']
        parts.append(self._source(page, module.source_file, 1))
        parts.append(docstring_html(module.docstring))
        page.records.append(Record("page", "", name, page.address, _text(module.docstring)))
        parts.append(self._below(page, name))
        if others:
            parts.append(self._others(page, others))
        parts += [self._member(page, each, name, 2) for each in own]
        page.body = "\n".join(part for part in parts if part)
        return page

    def _below(self, page: Page, name: str) -> str:
        """The modules of a package, with their first sentences."""
        below = [m for m in self._modules if m.modulename.rpartition(".")[0] == name]
        rows = [
            (relative(page.address, _address(each.modulename)), each.modulename, each.docstring)
            for each in below
        ]
        return _table("Modules", rows)

    def _others(self, page: Page, members: list[pdoc.doc.Doc]) -> str:
        """Names that are explained on another page."""
        rows = []
        for member in members:
            target = f"{_address(member.obj.__module__)}#{member.obj.__qualname__}"
            rows.append((relative(page.address, target), member.name, member.docstring))
        return _table("Names", rows)

    def _member(self, page: Page, member: pdoc.doc.Doc, owner: str, level: int) -> str:
        """A name: kind, signature, place in the source, docstring; a class with its parts."""
        anchor = member.qualname
        inside = ""
        if isinstance(member, pdoc.doc.Class):
            parts = [each for each in parts_of(member, self._names) if not _is_empty(each)]
            inside = "".join(self._member(page, each, member.name, 3) for each in parts)
        shown = html.escape(member.name)
        full = member.name if level == 2 else f"{owner}.{member.name}"
        link = f'<a class="self" href="#{anchor}" aria-label="Link to: {html.escape(full)}">#</a>'
        docstring = inspect.cleandoc(member.docstring)
        page.records.append(Record("name", "", full, f"{page.address}#{anchor}", _text(docstring)))
        if level == 2:
            page.contents.append(Entry(2, "", member.name, f"{page.address}#{anchor}"))
        place = ""
        if member.source_lines and not isinstance(member, pdoc.doc.Variable):
            place = self._source(page, member.source_file, member.source_lines[0])
        return (
            f'<section class="name"><h{level} id="{anchor}"><span class="kind">{_kind(member)}'
            f"</span> {shown} {link}</h{level}>{_signature(member)}{place}"
            f"{docstring_html(docstring)}{_bases(member)}{inside}</section>"
        )

    def _source(self, page: Page, path: Path | None, line: int) -> str:
        """A link to where something stands in the source."""
        if path is None or not path.is_file():
            return ""
        name = self._places.name(path)
        href = relative(page.address, self._places.file(path, f"L{line}"))
        return f'<p class="place"><a href="{href}">{name}, line {line}</a></p>'


def _text(docstring: str) -> str:
    """A docstring as search shows it: in one line, without its marks of code."""
    return " ".join(docstring.replace("`", "").split())


def _address(module: str) -> str:
    return f"api/{module}.html"


def _kind(member: pdoc.doc.Doc) -> str:
    if isinstance(member, pdoc.doc.Class):
        return "class"
    if isinstance(member, pdoc.doc.Function):
        if member.is_classmethod:
            return "class method"
        return "static method" if member.is_staticmethod else "def"
    return ""


def _signature(member: pdoc.doc.Doc) -> str:
    if isinstance(member, pdoc.doc.Function):
        return signature_html(member)
    if isinstance(member, pdoc.doc.Variable):
        value = value_of(member)
        value = f" = {value}" if value and len(value) <= LONGEST else ""
        shown = html.escape(f"{member.name}{member.annotation_str}{value}")
        return f'<pre class="signature" tabindex="0"><code>{shown}</code></pre>'
    return ""


def _bases(member: pdoc.doc.Doc) -> str:
    if not isinstance(member, pdoc.doc.Class):
        return ""
    names = [re.sub(r"\[.*", "", shown).rpartition(".")[2] for _, _, shown in member.bases]
    bases = [
        f"<code>{html.escape(name)}</code>" for name in names if name not in ("ABC", "Generic")
    ]
    return f'<p class="inherited">Inherits from {", ".join(bases)}.</p>' if bases else ""


def _is_empty(part: pdoc.doc.Doc) -> bool:
    """Whether a part has nothing to say: a constructor without arguments and without words."""
    if part.docstring or not isinstance(part, pdoc.doc.Function):
        return False
    return part.name == "__init__" and not part.signature_without_self.parameters


def _table(heading: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    inside = "".join(
        f'<tr><td><a href="{href}"><code>{html.escape(name)}</code></a></td>'
        f"<td>{first_sentence(about)}</td></tr>"
        for href, name, about in rows
    )
    return (
        f'<h2 id="{heading.lower()}-here">{heading}</h2>'
        f'<div class="table" tabindex="0"><table><tbody>{inside}</tbody></table></div>'
    )
