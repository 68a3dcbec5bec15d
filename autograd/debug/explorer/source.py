"""The source of an operation: the functions that its forward and its backward consist of.

For an operation with a folder in autograd/kernels these are the functions of reference.py, for any
other the methods of the class; and whatever else of the same file they call. Each line comes with
its number, so that the values computed on it can be shown beside it, and in words of few kinds, so
that it can be coloured.
"""

import importlib
import inspect
import re
import textwrap
from functools import cache
from types import CodeType, ModuleType
from typing import Any

from autograd.debug.explorer.docstrings import parts
from autograd.debug.explorer.lines import short


def folder_of(operation: type) -> str | None:
    """The folder of autograd/kernels that derives this operation; None if none does."""
    if not operation.__module__.startswith("autograd.ops."):
        return None  # a stranger's docstring names no file of ours
    page = parts(operation).get("Derivation", "")
    found = re.fullmatch(r"autograd/kernels/(\w+)/README\.md", page)
    return found[1] if found else None


def functions(operation: type, side: str) -> list[dict[str, Any]]:
    """The functions behind ``side``, "forward" or "backward": file, name, first line and lines.

    A line is a list of [kind, text] (``words``); files are named as in ``lines.py``. The list is
    empty where the source is not known, as for a class that was typed into an interpreter.
    """
    folder = folder_of(operation)
    if folder:
        place: Any = importlib.import_module(f"autograd.kernels.{folder}.reference")
    else:
        place = operation
    found = []
    for function in _called(getattr(place, side), place):
        try:
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError):
            continue
        found.append(
            {
                "name": function.__name__,
                "file": short(function.__code__.co_filename),
                "first": first,
                "lines": words(textwrap.dedent("".join(lines))),
            }
        )
    return found


def _called(function, place):
    """``function`` and, in the order of their lines, what it calls in the same file or class."""
    functions, unread = {}, [function]
    while unread:
        current = unread.pop()
        code = getattr(current, "__code__", None)
        if code is None or code in functions:
            continue
        functions[code] = current
        for name in sorted(_names(code)):
            other = _lookup(current, name, place)
            if inspect.isfunction(other) and other.__code__.co_filename == code.co_filename:
                unread.append(other)
    return sorted(functions.values(), key=lambda f: f.__code__.co_firstlineno)


def _lookup(function, name, place):
    """What a name in a function stands for: a method of the class or a function of the file."""
    method = None if isinstance(place, ModuleType) else getattr(place, name, None)
    return method if method is not None else function.__globals__.get(name)


def _names(code):
    inside = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inside)


# --- colours --------------------------------------------------------------------------------------

KINDS = {
    "Token.Keyword": "k",
    "Token.Operator.Word": "k",
    "Token.Comment": "c",
    "Token.Literal.String": "s",
    "Token.Literal.Number": "n",
    "Token.Name.Function": "f",
}
"""What pygments calls a word, as far as it gets a colour, and the letter for it."""


@cache
def words(source: str) -> list[list[list[str]]]:
    """The lines of a source text, each a list of [kind, text]; most words have the kind ""."""
    from pygments.lexers.python import PythonLexer

    lines: list[list[list[str]]] = [[]]
    for token, text in PythonLexer(stripnl=False).get_tokens(source):
        kind = next((letter for name, letter in KINDS.items() if str(token).startswith(name)), "")
        for i, piece in enumerate(text.split("\n")):
            if i:
                lines.append([])
            if piece and lines[-1] and lines[-1][-1][0] == kind:
                lines[-1][-1][1] += piece
            elif piece:
                lines[-1].append([kind, piece])
    while lines and not lines[-1]:
        lines.pop()
    return lines
