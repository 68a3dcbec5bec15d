"""What the page may ask of the process that wrote it: the answers, as plain data.

    proof     any element of any tensor, measured now, with the curve of its error
    values    the numbers of a tensor that is only sampled in the page, or of a window of it
    terms     what one cell of a large tensor was computed from

``serve.py`` speaks HTTP; here are the answers and the sentences where a question has none. A
question comes from outside: every field of it is checked.
"""

import base64
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from autograd.debug.explorer.document import Builder
from autograd.debug.explorer.lines import Item
from autograd.debug.explorer.measure import FINE_STEPS, Prover
from autograd.debug.explorer.page import TYPES
from autograd.debug.explorer.replay import CannotReplayError
from autograd.debug.explorer.tape import Tape
from autograd.debug.explorer.terms import NoTermsError, check_cell, terms_of

MOST_VALUES = 1_000_000
"""Elements in one answer: 8 MB."""


class QuestionError(ValueError):
    """The question has no answer, and the message says why: it is told to whoever asked."""


class Answers:
    """Answers questions about some tapes. One is answered at a time."""

    def __init__(self, tapes: Mapping[str, Tape]) -> None:
        self._tapes = tapes
        self._provers: dict[str, Prover] = {}
        self._builders: dict[str, Builder] = {}
        self._lock = threading.Lock()

    def answer(self, name: str, question: Any) -> dict[str, Any]:
        """The answer to the question called ``name``. Raises QuestionError, LookupError if none."""
        method = {"proof": self._proof, "values": self._values, "terms": self._terms}[name]
        if not isinstance(question, dict):
            raise QuestionError("a question is a JSON object")
        with self._lock, np.errstate(all="ignore"):
            try:
                return method(question)
            except (CannotReplayError, NoTermsError, IndexError) as error:
                raise QuestionError(str(error)) from None

    # --- the questions ---------------------------------------------------------------------------

    def _proof(self, question):
        graph = self._graph(question)
        item = self._item(graph, question)
        prover = self._prover(graph)
        value = next((v for v, i in self._builder(graph).value_items.items() if i is item), None)
        if value is None:
            raise QuestionError("only values can be moved: this is a gradient, or a part of one")
        element = _integer(question, "element")
        (check,) = prover.check(value.index, [element])
        curve = None
        if check.exact and np.isfinite(check.exact):
            curve = asdict(prover.curve(value.index, element, FINE_STEPS))
            curve = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in curve.items()}
            curve["tensor"] = item.id
        return {"check": asdict(check) | {"tensor": item.id}, "curve": curve}

    def _values(self, question):
        item = self._item(self._graph(question), question)
        if item.array is None:
            raise QuestionError("nobody kept the array of this tensor")
        array = _part(np.asarray(item.array), question.get("window"))
        if array.size > MOST_VALUES:
            raise QuestionError(
                f"{array.size:,} elements are more than the {MOST_VALUES:,} that are sent at once: "
                "ask for a window"
            )
        if array.dtype == bool:
            array = array.astype(np.int8)
        name = array.dtype.name
        if name not in TYPES:
            array = array.astype(np.float32 if name == "float16" else np.float64)
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        return {
            "shape": list(array.shape),
            "dtype": TYPES[array.dtype.name],
            "data": base64.b64encode(content).decode(),
        }

    def _terms(self, question):
        graph = self._graph(question)
        item = self._item(graph, question)
        cell = question.get("cell")
        if not isinstance(cell, list) or not all(type(i) is int for i in cell):
            raise QuestionError("cell must be a list of whole numbers")
        check_cell(item, tuple(cell))
        return terms_of(self._builder(graph), item, tuple(cell))

    # --- their fields ----------------------------------------------------------------------------

    def _graph(self, question):
        name = question.get("graph")
        if not isinstance(name, str) or name not in self._tapes:
            raise QuestionError("there is no such graph in this page")
        return name

    def _item(self, graph, question) -> Item:
        number, items = _integer(question, "tensor"), self._builder(graph).items
        if not 0 <= number < len(items):
            raise QuestionError(f"there is no tensor {number} in this graph")
        return items[number]

    def _builder(self, graph):
        if graph not in self._builders:
            self._builders[graph] = Builder(self._tapes[graph])  # numbered as on the page
        return self._builders[graph]

    def _prover(self, graph):
        if graph not in self._provers:
            self._provers[graph] = Prover(self._tapes[graph])
        return self._provers[graph]


def _integer(question, name):
    value = question.get(name)
    if type(value) is not int:
        raise QuestionError(f"{name} must be a whole number")
    return value


def _part(array, window):
    """The window of an array: a pair [start, stop] for each axis, None for all of it."""
    if window is None:
        return array
    fits = isinstance(window, list) and len(window) == array.ndim and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(i) is int for i in pair)
        and 0 <= pair[0] <= pair[1] <= n
        for pair, n in zip(window, array.shape, strict=True)
    )  # fmt: skip
    if not fits:
        raise QuestionError(
            f"window must have a pair [start, stop] for each axis of {list(array.shape)}"
        )
    return array[tuple(slice(start, stop) for start, stop in window)]
