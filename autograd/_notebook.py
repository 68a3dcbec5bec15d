"""HTML for notebooks: what ``_repr_html_`` of a Tensor, a report or a table returns."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

EDGE = 5
"""Rows and columns that are shown at each end of an array."""


def table_html(caption: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table. A header that starts with ">" aligns its column to the right."""
    align = ["right" if header.startswith(">") else "left" for header in headers]

    def line(kind: str, cells: Sequence[Any]) -> str:
        inside = (
            f'<{kind} style="text-align: {side}">{escape(str(cell))}</{kind}>'
            for cell, side in zip(cells, align, strict=True)
        )
        return f"<tr>{''.join(inside)}</tr>"

    head = line("th", [header.removeprefix(">") for header in headers])
    body = "".join(line("td", row) for row in rows)
    return (
        f'<table><caption style="text-align: left; caption-side: top">{escape(caption)}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table>"
    )


def array_html(caption: str, values: np.ndarray) -> str:
    """An array of up to two axes as a table of its elements, of more as a text."""
    if values.ndim == 0 or values.ndim > 2 or not values.size:
        return f"<div>{escape(caption)}</div><pre>{escape(np.array2string(values))}</pre>"
    grid = np.atleast_2d(values)
    rows, columns = (_shown(n) for n in grid.shape)
    body = [
        ["..." if i is None or j is None else _number(grid[i, j]) for j in columns] for i in rows
    ]
    labels = ["..." if i is None else i for i in rows]
    headers = ["", *(f">{'...' if j is None else j}" for j in columns)]
    return table_html(caption, headers, [[a, *b] for a, b in zip(labels, body, strict=True)])


def _shown(n: int) -> list[int | None]:
    """The indices of an axis that are shown, with None for those that are left out."""
    if n <= 2 * EDGE + 1:
        return list(range(n))
    return [*range(EDGE), None, *range(n - EDGE, n)]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
