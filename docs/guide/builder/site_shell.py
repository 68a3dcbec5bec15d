"""The frame of every page: header, lists of links, the page's body, what comes before and after."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.site_page import Entry, Page, relative

TEMPLATE = Path(__file__).parent / "template"
FILES = ("site.css", "code.css", "theme.js", "page.js", "search.js")
"""What every page loads, in this order."""


class Shell:
    """Turns pages into HTML. ``trees`` has the links beside the text, for each part of the site."""

    def __init__(self, title: str, trees: dict[str, list[Entry]]) -> None:
        self._title, self._trees = title, trees
        loader = FileSystemLoader(TEMPLATE)
        made = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip
        self._template = made.get_template("page.html")

    def html(self, page: Page, tree: list[Entry] | None = None) -> str:
        """A page as a file of the site."""

        def to(address: str) -> str:
            return relative(page.address, address)

        return self._template.render(
            page=page,
            to=to,
            site=self._title,
            tree=self._trees.get(page.part, []) if tree is None else tree,
            root=relative(page.address, "x").removesuffix("x"),
        )
