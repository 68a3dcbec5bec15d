"""A progress bar in a notebook: HTML below the cell, which is replaced as the work goes on.

It needs no widgets, only IPython's display, which every notebook has.
"""

import html
import time
from typing import Any

PACE = 0.2  # seconds between two pictures of a bar


def is_notebook(stream: object) -> bool:
    """Whether a stream writes below the cell of a notebook (Jupyter, Colab, VS Code, ...)."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


class NotebookBar:
    """A bar with a label in front of it and a status behind it; it stays when the work is over."""

    def __init__(self, label: str, done: int = 0, total: int | None = None) -> None:
        from IPython.display import HTML, display

        self._as_html = HTML
        self._label = label
        self._state: tuple[int, int | None, str] = done, total, ""
        self._shown, self._over = time.monotonic(), False
        self._handle: Any = display(HTML(self._html()), display_id=True)

    def update(self, done: int, total: int | None, status: str = "") -> None:
        """Show that ``done`` of ``total`` is done; None if the total is not known."""
        self._state = done, total, status
        if time.monotonic() - self._shown >= PACE:
            self._show()

    def stop(self) -> None:
        """The work is over: show its last state."""
        self._over = True
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self._as_html(self._html()))

    def _html(self) -> str:
        done, total, status = self._state
        parts = [html.escape(self._label)]
        if total:
            parts += [f'<progress value="{done}" max="{total}"></progress>', f"{done / total:.0%}"]
        elif not self._over:
            parts.append("<progress></progress>")  # how much there is to do is not known
        return f"<div>{' '.join(parts)} {html.escape(status)}</div>"
