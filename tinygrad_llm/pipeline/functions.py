"""The functions of a corpus of Python code: a signature, and the sentence that says what it does.

They are what an assistant of this project learns to answer about, since every Python has thousands
of them: its standard library.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinygrad_llm.data.corpus import Document

SHORTEST = 12  # characters of a summary: shorter ones say nothing ("Quit.")


@dataclass(frozen=True)
class Function:
    """module: the document's name. signature: "def f(a, b=1)". summary: the first paragraph of the
    docstring, on one line."""

    module: str
    signature: str
    summary: str


def functions_of(documents: Iterable[Document], longest: int) -> list[Function]:
    """The functions in ``documents`` that have a docstring, in order; none is there twice.

    longest: most characters of a signature and its summary together; others are left out, and so is
    what is not Unicode text. Documents that are not Python of this version have no functions.
    """
    found: dict[tuple[str, str], Function] = {}
    for document in documents:
        for signature, summary in _described(document):
            if len(summary) >= SHORTEST and len(signature) + len(summary) <= longest:
                found.setdefault((signature, summary), Function(document.name, signature, summary))
    return list(found.values())


def _described(document: Document) -> Iterator[tuple[str, str]]:
    if not document.name.endswith(".py"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old code, such as "\d" in a string
            tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last: too deeply nested
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if docstring := ast.get_docstring(node):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            summary = " ".join(docstring.split("\n\n")[0].split())
            try:
                signature = f"{word} {node.name}({ast.unparse(node.args)})"
                (signature + summary).encode()  # ValueError: half a character, such as "\ud800"
            except (ValueError, RecursionError):  # a default is too large a number, or too deep
                continue
            yield signature, summary
