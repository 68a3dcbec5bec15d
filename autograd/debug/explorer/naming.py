"""Names for what a tape recorded: modules, parameters, and the user's variables.

A parameter is called what ``named_parameters`` calls it. A computed tensor is called after the
module that computed it, which is found as ``self`` in the frames that are active at that moment,
and after the variable that it is assigned to: Python knows the columns of the call that is running,
and if the statement around them is ``name = <that call>``, the result has a name.
"""

import ast
import linecache
from collections.abc import Mapping
from functools import cache
from itertools import islice
from sys import _getframe
from types import CodeType
from typing import Any

from autograd._tensor import Tensor
from autograd.call_site import OWN_FILES
from autograd.device import is_array
from autograd.leaf import Leaf

DEPTH = 60  # frames that are looked at


class Names:
    """What names are known before, and those that are found in the frames of a running call."""

    def __init__(self, model: Any = None, names: Mapping[str, Tensor] | None = None) -> None:
        self._modules: dict[int, str] = {}
        self._nodes: dict[int, str] = {}  # order of a node -> name
        self._arrays: dict[int, tuple[str, Any]] = {}  # id of an array -> (name, the array)
        if model is not None and not hasattr(model, "named_modules"):
            raise TypeError(
                f"the model to explore is of type {type(model).__name__}, expected a Module: "
                "something with named_modules() and named_parameters()"
            )
        if names is not None and not isinstance(names, Mapping):
            raise TypeError(
                f"names is of type {type(names).__name__}, expected a dict from name to tensor"
            )
        if model is not None:
            self._modules = {id(module): name for name, module in model.named_modules()}
            for name, parameter in model.named_parameters():
                self._name(name, parameter)
        for name, tensor in (names or {}).items():
            self._name(name, tensor)

    def _name(self, name, tensor):
        if isinstance(tensor, Tensor):
            if tensor._node is None:
                self._arrays.setdefault(id(tensor._data), (name, tensor._data))
            else:
                self._nodes.setdefault(tensor._node.order, name)

    def of(self, node):
        """The name of a node that was not computed, "" if there is none."""
        return "" if node is None else self._nodes.get(node.order, "")

    def of_array(self, array):
        """The name of a constant's array, "" if there is none."""
        return self._arrays[id(array)][0] if id(array) in self._arrays else ""

    def look_around(self, op):
        """(module, variable, place) of the call that has just computed; notes the user's names.

        ``place`` is how far the function of ours is that the user's line called: a function may
        call several operations, and the last of them computes what the line assigns.
        """
        module, variable, searching, entered, place = None, "", True, False, -1
        frame: Any = _getframe(2)
        for _ in range(DEPTH):
            if frame is None:
                break
            code = frame.f_code
            if code.co_filename in OWN_FILES:
                searching = searching and not entered  # what it returned to is not the user's line
                place = place if entered else frame.f_lasti
                frame = frame.f_back
                continue
            if searching:
                self._note_leaves(frame)
                kind, variable = statement_of(code, frame.f_lasti)
                searching = kind == "return"
            entered = True
            if module is None and self._modules:
                module = self._modules.get(id(frame.f_locals.get("self")))
            if module is not None and not searching:
                break
            frame = frame.f_back
        return module or "", variable, place

    def _note_leaves(self, frame):
        """Leaves and constants that the user's function has variables for."""
        visible = dict(frame.f_locals)
        for name in frame.f_code.co_names:
            if name not in visible and name in frame.f_globals:
                visible[name] = frame.f_globals[name]
        for name, value in visible.items():
            if isinstance(value, Tensor) and (value._node is None or isinstance(value._node, Leaf)):
                self._name(name, value)
            elif is_array(value):
                self._arrays.setdefault(id(value), (name, value))


@cache
def statement_of(code: CodeType, offset: int) -> tuple[str, str]:
    """What happens to the result of the expression at ``offset``: (kind, name).

    ("assign", "x") for ``x = <expression>``, ("return", "") for ``return <expression>``, otherwise
    ("other", ""). As when the source cannot be read.
    """
    position = next(islice(code.co_positions(), offset // 2, None), (None,) * 4)
    return _statements(code.co_filename).get(position, ("other", ""))


@cache
def _statements(file: str) -> dict[tuple, tuple[str, str]]:
    """The whole right-hand sides of a file, by (line, last line, column, last column)."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return {}
    found = {}
    for node in ast.walk(tree):
        kind, name = "other", ""
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            kind, name = "assign", node.targets[0].id
        elif isinstance(node, (ast.Return, ast.Lambda)):
            kind = "return"
        value = getattr(node, "value", None) if kind != "other" else None
        if isinstance(node, ast.Lambda):
            value = node.body
        if value is not None:
            place = (value.lineno, value.end_lineno, value.col_offset, value.end_col_offset)
            found[place] = (kind, name)
    return found


class Unique:
    """Hands out names: the second x is x#2, the third x#3.

    A name is text that an address can hold: half of a surrogate pair becomes a question mark.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        name = name.encode("utf-8", "replace").decode()
        self._counts[name] = self._counts.get(name, 0) + 1
        n = self._counts[name]
        return name if n == 1 else self(f"{name}#{n}")
