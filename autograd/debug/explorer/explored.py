"""``explore``: the page of a loss, written to a file or shown in a notebook."""

import os
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from autograd._tensor import Tensor
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.tape import Tape, record


class Explored:
    """The result of ``explore``: shows itself in a notebook. ``path`` is None if none was given."""

    def __init__(self, tape: Tape, document: dict[str, Any], title: str) -> None:
        self.tape, self.document, self.title = tape, document, title
        self.path: Path | None = None

    def html(self) -> str:
        """The page."""
        return page(self.document, self.title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to ``path``, all of it or nothing."""
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder: name a file for the page in it")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder {self.path.parent} does not exist: make it first")
        partial = self.path.with_name(f".partial-{self.path.name}")
        try:
            partial.write_text(self.html(), encoding="utf-8")
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)
        return self.path

    def _repr_html_(self) -> str:
        content = escape(self.html(), quote=True)
        return f'<iframe srcdoc="{content}" style="width: 100%; height: 46em; border: 0"></iframe>'

    def __repr__(self) -> str:
        steps = len(self.document["graphs"][0]["steps"])
        where = f", at {self.path}" if self.path else ""
        return f"{self.title}: {steps} steps{where}"


def explore(
    loss: Tensor | Callable[[], Tensor],
    path: str | os.PathLike[str] | None = None,
    model: Any = None,
    names: Mapping[str, Tensor] | None = None,
    title: str = "Backward, step by step",
) -> Explored:
    """Record one forward and backward pass, and make the page that steps through it.

    ``loss`` is a function that computes the loss, or a scalar Tensor with its graph. From a
    function everything is known; of a Tensor only the values that its graph holds, which the page
    says. ``model`` (with ``named_modules`` and ``named_parameters``) and ``names`` (name: tensor)
    give the tensors their names. With ``path`` the page is written there; in a notebook the result
    shows itself. Nothing is written to ``.grad``, and a Tensor's graph is not released.

    Raises TypeError for anything else than a Tensor or a function, ValueError for a loss that is
    not one number, has no graph, or whose graph a backward pass has released, and RuntimeError
    where a tensor that a backward needs was changed in place since.
    """
    tape = record(loss, model, names)
    explored = Explored(tape, {"graphs": [graph_document(tape, "graph", title)]}, title)
    if path is not None:
        explored.save(path)
    return explored
