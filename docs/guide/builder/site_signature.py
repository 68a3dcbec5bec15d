"""Signatures as their authors wrote them: ``x: TensorLike``, not the union behind the name."""

import ast
import sys
from functools import cache
from pathlib import Path

import pdoc.doc

from builder.site_code import highlighted

WIDEST = 76
"""Characters of a signature that stands in one line."""
_Def = ast.FunctionDef | ast.AsyncFunctionDef


def signature_html(function: pdoc.doc.Function) -> str:
    """A function's signature, one argument a line where it is long."""
    name = function.name
    qualname = function.taken_from[1]  # of the class that has it, which may be a base
    found = _definitions(function.source_file).get(qualname)
    if found is None:  # made by a decorator, as a dataclass's constructor is
        text = name + str(function.signature_without_self)
        return (
            f'<pre class="signature" tabindex="0"><code>{highlighted(text, "python")}</code></pre>'
        )
    is_bound = "." in qualname and not function.is_staticmethod
    arguments = _arguments(found.args)[is_bound:]
    returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
    text = f"{name}({', '.join(arguments)}){returns}"
    if len(text) > WIDEST:
        lines = "".join(f"    {each},\n" for each in arguments)
        text = f"{name}(\n{lines}){returns}"
    return f'<pre class="signature" tabindex="0"><code>{highlighted(text, "python")}</code></pre>'


def value_of(variable: pdoc.doc.Variable) -> str:
    """A variable's value as it is written, and not as it prints: a set has no order."""
    module, qualname = variable.taken_from
    path = getattr(sys.modules.get(module), "__file__", None)
    found = _values(Path(path) if path else None).get(qualname)
    return "" if found is None else ast.unparse(found)


def _arguments(given: ast.arguments) -> list[str]:
    """Each argument with its annotation and default; / and * where they stand."""
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    found = [_argument(arg, value) for arg, value in zip(plain, defaults, strict=True)]
    if given.posonlyargs:
        found.insert(len(given.posonlyargs), "/")
    if given.vararg:
        found.append("*" + _argument(given.vararg, None))
    elif given.kwonlyargs:
        found.append("*")
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    found += [_argument(arg, value) for arg, value in pairs]
    if given.kwarg:
        found.append("**" + _argument(given.kwarg, None))
    return found


def _argument(arg: ast.arg, default: ast.expr | None) -> str:
    text = arg.arg
    if arg.annotation is not None:
        text += f": {ast.unparse(arg.annotation)}"
    if default is not None:
        equals = " = " if arg.annotation is not None else "="
        text += equals + ast.unparse(default)
    return text


@cache
def _values(path: Path | None) -> dict[str, ast.expr]:
    """What a file's modules and classes assign to names, by the qualified names."""
    found: dict[str, ast.expr] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Assign):
                targets = child.targets
            elif isinstance(child, ast.AnnAssign):
                targets = [child.target]
            else:
                targets = []
                if isinstance(child, ast.ClassDef):
                    walk(child, f"{prefix}{child.name}.")
            for target in targets:
                if isinstance(target, ast.Name) and child.value is not None:
                    found[prefix + target.id] = child.value

    if path is not None and path.suffix == ".py":
        walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


@cache
def _definitions(path: Path | None) -> dict[str, _Def]:
    """The functions of a file by their qualified names; of several, the last, as in Python."""
    found: dict[str, _Def] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _Def):
                found[prefix + child.name] = child
            elif isinstance(child, ast.ClassDef):
                walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.If | ast.Try):
                walk(child, prefix)

    if path is not None and path.suffix == ".py":
        walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return found
