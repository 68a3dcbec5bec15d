"""The cards: for every kind of operation on a tape, what there is to know about it.

A card holds what its docstring says (formula, shapes, derivative), its source line by line, and the
derivation from the README beside its kernel. What a single call kept is in ``saved.py``; the page
puts the live shapes beside the lines.

The derivation is the only text of the page that is inserted as HTML, and it comes from our own
files. Everything else, such as a docstring or the source of a stranger's operation, is text.
"""

import inspect
import json
from typing import Any

import numpy as np

from autograd.debug.explorer.docstrings import equations, parts
from autograd.debug.explorer.lines import short
from autograd.debug.explorer.mathematics import derivation
from autograd.debug.explorer.source import folder_of, functions
from autograd.debug.explorer.tape import Tape


def part(tape: Tape, builder: Any) -> dict[str, Any]:
    """{name of the operation: card} for every operation that was called."""
    operations = {call.name: type(call.op) for call in tape.calls}
    return {name: card(operation) for name, operation in operations.items()}


def card(operation: type) -> dict[str, Any]:
    """The card of an Op class, as data for the page.

    ``doc`` has the parts of its docstring under small letters; ``gradients`` and ``definitions``
    are pairs of name and expression, both empty where the derivative is in words; ``inputs`` the
    names of its inputs. ``source``, JSON, has two lists of functions (``source.functions``) under
    "forward" and "backward"; ``derivation`` is HTML or None. Both are arrays of bytes: the page
    stores an array once, however many of its graphs show the operation.
    """
    doc = {name.lower(): text for name, text in parts(operation).items()}
    gradients, definitions = equations(doc.get("derivative", ""))
    folder = folder_of(operation)
    doc.pop("derivation", None)
    source = {side: functions(operation, side) for side in ("forward", "backward")}
    return {
        "doc": doc,
        "gradients": [list(pair) for pair in gradients.items()],
        "definitions": [list(pair) for pair in definitions.items()],
        "inputs": list(inspect.signature(operation.forward).parameters)[2:],  # type: ignore
        "defined": _defined(operation),
        "folder": folder,
        "derivation": as_bytes(derivation(folder)) if folder else None,
        "source": as_bytes(json.dumps(source, separators=(",", ":"), ensure_ascii=False)),
    }


def as_bytes(text: str) -> np.ndarray:
    """A text as an array, in UTF-8."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.int8)


def _defined(operation):
    """The file and line of the class, "autograd/ops/loss.py:35", or ""."""
    try:
        file, (_, line) = inspect.getsourcefile(operation), inspect.getsourcelines(operation)
    except (OSError, TypeError):
        return ""
    return f"{short(file or '')}:{line}"
