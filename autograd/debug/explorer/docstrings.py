"""What the docstring of an operation says, in parts: its formula, its derivative, what it saves.

    \"\"\"y = a * b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g * b, g_b = g * a
    Note: ...
    Derivation: autograd/kernels/<folder>/README.md
    \"\"\"

docs/derivatives.md is made of these parts, and so are the explorer's cards.
"""

import inspect
import re

PART = re.compile(r"(Shapes|Saves|Derivative|Note|Derivation): (.*)")


def parts(operation: type) -> dict[str, str]:
    """The docstring of an Op class as a dict: "Formula", "Shapes", "Saves", "Derivative", ...

    It is empty for a class without one.
    """
    texts: dict[str, str] = {}
    name: str | None = "Formula"
    for line in inspect.cleandoc(operation.__doc__ or "").splitlines():
        start = PART.match(line)
        if start:
            name = start[1]
            texts[name] = start[2]
        elif not line:
            name = None  # a paragraph of prose, which is left out
        elif name:
            texts[name] = f"{texts[name]} {line.strip()}" if name in texts else line
    return texts


def equations(derivative: str) -> tuple[dict[str, str], dict[str, str]]:
    """The gradients and the definitions of a Derivative part: two dicts of name and expression.

    Both are empty where the derivative is in words.
    """
    gradients, _, definitions = derivative.partition(" with ")
    try:
        return _expressions(gradients), _expressions(definitions)
    except (SyntaxError, ValueError):
        return {}, {}


def _expressions(text):
    expressions = dict(piece.split(" = ", 1) for piece in re.split(r", (?=\w+ = )", text) if text)
    for expression in expressions.values():
        compile(expression.replace("^", "**"), "<derivative>", "eval")
    return expressions


def readers(derivative: str, name: str) -> list[str]:
    """The gradients, each "g_a = g * b", whose formula reads ``name``, also through a definition.

    Capitals do not count: the docstrings of matrix products write A for the input a.
    """
    gradients, definitions = equations(derivative)
    return [
        f"{gradient} = {expression}"
        for gradient, expression in gradients.items()
        if name.lower() in _names(expression, definitions)
    ]


def _names(expression, definitions):
    """The names in an expression and in the definitions that it uses, in small letters."""
    found, unread = set(), [expression]
    while unread:
        for word in re.findall(r"[A-Za-z_]\w*", unread.pop().replace("^T", "").replace("^-T", "")):
            if word in definitions and word not in found:
                unread.append(definitions[word])
            found.add(word)
    return {word.lower() for word in found}
