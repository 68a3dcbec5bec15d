"""Write docs/derivatives.md, every derivative of autograd.ops on one page, from the docstrings.

    python docs/derivatives.py

The docstring of an operation starts with its formula and then names its parts:

    Shapes: of the inputs and of the output
    Saves: the inputs and the output that backward receives; caches ...; keeps ...
    Derivative: g_a = EXPRESSION, g_b = EXPRESSION with NAME = EXPRESSION, ... (or words)
    Note: a convention or a trap
    Derivation: the page that derives it

A part may continue on indented lines. tests/autograd/test_derivatives.py evaluates the expressions
and compares them with what backward computes.
"""

import importlib
import inspect
import re
from pathlib import Path

from autograd import ops
from autograd.debug.explorer.docstrings import equations, parts
from autograd.engine import Op

PAGE = Path(__file__).with_suffix(".md")

SUBJECTS = {
    "Element by element": ["arithmetic", "exponential", "trigonometric", "piecewise",
                           "conversion"],
    "Along an axis": ["reduce", "cumulative", "sorting"],
    "Moving elements": ["shape", "rearrange", "joining", "index"],
    "Linear algebra": ["products", "matrices", "linalg", "decompositions", "norms"],
    "Neural networks": ["dense", "mlp", "lookup", "rotary", "attention", "grouped_attention",
                        "activation", "glu", "normalization", "dropping", "loss"],
    "Others": ["ranges", "unsmooth", "transfer"],
}  # fmt: skip
"""The files of autograd/ops under the headings of the page."""

HEAD = """\
# Derivatives

All derivatives of `autograd.ops`, taken from the docstrings of the operations. A test evaluates
each line written in `this type` and compares it with what the operation's `backward` computes.
Regenerate the page with `python docs/derivatives.py`.

How to read a row:

- *y* is the output. **g comes in**: the gradient dL/dy of a scalar loss L. **g_x goes out**: the
  gradient dL/dx of input x.
- *Saves* lists what is kept in memory until backward: inputs, and the output y. A *cache* holds
  values computed from the inputs, which a second derivative computes again. What an operation
  *keeps* in addition has no derivative.
- `*` multiplies element by element, `@` is the matrix product over the last two axes, `^` is a
  power, `A^T` exchanges the last two axes, `A^-1` is an inverse and `A^-T` its transpose.
- Where an input was broadcast, its gradient is summed over the axes along which it was.
- In an operation that works along axes (a sum, a softmax, a determinant), `sum`, `mean`, `cumsum`
  and `flip` run along these axes and keep them with length 1, g and y have them with length 1 too,
  and N is the number of elements along them.
"""


def operations(module):
    """The complete Op classes of a file of autograd/ops, in its order."""
    return [
        c
        for c in vars(module).values()
        if isinstance(c, type)
        and issubclass(c, Op)
        and c.__module__ == module.__name__
        and c.forward is not Op.forward
        and c.backward is not Op.backward
    ]


def functions(module):
    """The public functions of a file of autograd/ops, each with the Op classes that it calls."""
    public = getattr(module, "__all__", [])
    own = {n: f for n, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__}

    def called(name):
        names, unread = set(), [name]
        while unread:
            for new in _names(own[unread.pop()].__code__) - names:
                names.add(new)
                if new not in public and inspect.isfunction(own.get(new)):
                    unread.append(new)  # a private function of this file: what it calls counts
        return [c for c in operations(module) if c.__name__ in names]

    return {name: called(name) for name in public if name in own}


def _names(code):
    """The global names in the code of a function and of the functions inside it."""
    inside = [_names(constant) for constant in code.co_consts if inspect.iscode(constant)]
    return set(code.co_names).union(*inside)


def page():
    """The text of docs/derivatives.md."""
    lines = [HEAD]
    for subject, names in SUBJECTS.items():
        lines.append(f"## {subject}\n")
        for name in names:
            lines += _section(importlib.import_module(f"autograd.ops.{name}"))
    lines += [
        "## No gradient\n",
        "These return constants, whose derivative is 0 wherever it exists: "
        + _listed(ops.discrete.__all__)
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _section(module):
    file = Path(*module.__name__.split(".")).with_suffix(".py").as_posix()
    lines = [f"**[{Path(file).name}](../{file})** {_first_sentence(module)}\n"]
    calls = functions(module)
    if operations(module):
        lines += ["| operation | formula | saves | derivative |", "|---|---|---|---|"]
        for operation in operations(module):
            lines.append(_row(operation, [f for f, called in calls.items() if operation in called]))
        lines.append("")
    composed = [name for name, called in calls.items() if not called]
    if composed:
        lines.append(f"Composed of other operations: {_listed(composed)}.\n")
    return lines


def _row(operation, callers):
    texts = parts(operation)
    gradients, definitions = equations(texts["Derivative"])
    if gradients:
        derivative = [f"`{name} = {value}`" for name, value in gradients.items()]
        if definitions:
            values = [f"`{name} = {value}`" for name, value in definitions.items()]
            derivative.append(f"with {', '.join(values)}")
    else:
        derivative = [texts["Derivative"]]
    derivative += [texts["Note"]] if "Note" in texts else []
    pages = re.findall(r"[\w/]+\.md", texts.get("Derivation", ""))
    derivative += [f"[derivation](../{path})" for path in pages]
    cells = [
        "<br>".join([operation.__name__, *[f"`{name}`" for name in callers]]),
        texts["Formula"].removesuffix("."),
        texts["Saves"],
        "<br>".join(derivative),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _listed(names):
    return ", ".join(f"`{name}`" for name in names)


def _first_sentence(module):
    text = inspect.getdoc(module).split("\n\n")[0].replace("\n", " ")
    return re.match(r".*?\.(?= |$)", text)[0].replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
