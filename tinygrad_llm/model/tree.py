"""A module as a tree of text, which is its ``repr``, and as HTML, which a notebook shows.

    GPT(                                                            2,616
      (wte): Embedding(65, 8)                                         520
      (h): ModuleList(                                              1,744
        (0-1): 2 x Block(                                         2 x 872
          (ln_1): LayerNorm(8, eps=1e-05)                              16
          ...

Each line ends with the number of parameters, those below included; members of a list that
look alike are one line.
"""

from dataclasses import dataclass, replace
from html import escape
from typing import Any

from autograd import Parameter


@dataclass(frozen=True)
class Node:
    """A module, a parameter or a function in the tree."""

    names: tuple[str, ...]
    """Its name, or those of all that look alike."""
    label: str
    """The class, and its options."""
    count: int
    """Numbers that it learns, or that it has and that are frozen."""
    frozen: bool
    children: tuple["Node", ...] = ()

    def looks_like(self, before: "Node") -> bool:
        """Whether both are numbered members of one list that differ in nothing else."""
        folders = {name.rpartition(".")[0] for name in (*self.names, *before.names)}
        numbered = all(n.rpartition(".")[2].isdecimal() for n in (*self.names, *before.names))
        return numbered and len(folders) == 1 and replace(before, names=self.names) == self

    @property
    def name(self) -> str:
        if len(self.names) == 1:
            return self.names[0]
        same = self.names[0].rpartition(".")[0]
        return f"{self.names[0]}-{self.names[-1].removeprefix(same + '.')}"

    @property
    def title(self) -> str:
        times = f"{len(self.names)} x " if len(self.names) > 1 else ""
        return f"({self.name}): {times}{self.label}" if self.name else f"{times}{self.label}"

    @property
    def size(self) -> str:
        """How many numbers, of how many alike."""
        if not self.count:
            return ""
        times = f"{len(self.names)} x " if len(self.names) > 1 else ""
        return f"{times}{self.count:,}{' frozen' if self.frozen else ''}"


def tree(module: Any, name: str = "") -> Node:
    """The Node of a module, with everything below it."""
    if isinstance(module, Parameter):
        label = f"Parameter{module.shape} {module.dtype}"
        return Node((name,), label, module.size, not module.requires_grad)
    if not hasattr(module, "named_parameters"):  # a function, in a Sequential
        return Node((name,), getattr(module, "__name__", repr(module)), 0, False)
    options = module.extra_repr()
    children: list[Node] = []
    for below, member in module._shown():
        if isinstance(member, Parameter) and options:
            continue  # the options say what it has
        node = tree(member, below)
        if children and node.looks_like(children[-1]):
            node = replace(node, names=(*children.pop().names, below))
        children.append(node)
    parameters = module.parameters()
    frozen = bool(parameters) and not any(p.requires_grad for p in parameters)
    count = sum(p.size for p in parameters)
    return Node((name,), f"{type(module).__name__}({options})", count, frozen, tuple(children))


def as_text(node: Node) -> str:
    """The tree in lines, with the numbers of parameters in a column."""
    lines = _lines(node, "")
    width = max(len(text) for text, _ in lines)
    column = max(len(size) for _, size in lines)
    return "\n".join(f"{text:{width}}  {size:>{column}}".rstrip() for text, size in lines)


def _lines(node: Node, indent: str) -> list[tuple[str, str]]:
    if not node.children:
        return [(indent + node.title, node.size)]
    below = [line for child in node.children for line in _lines(child, indent + "  ")]
    return [(indent + node.title.removesuffix(")"), node.size), *below, (indent + ")", "")]


def as_html(node: Node) -> str:
    """The tree to fold and unfold; only its first level is open."""
    style = "font-family: monospace; white-space: pre; line-height: 1.5"
    return f'<div style="{style}">{_folded(node, is_open=True)}</div>'


def _folded(node: Node, is_open: bool = False) -> str:
    size = f' <span style="opacity: 0.6">{escape(node.size)}</span>' if node.size else ""
    line = escape(node.title) + size
    if not node.children:
        return f'<div style="margin-left: 1em">{line}</div>'
    below = "".join(map(_folded, node.children))
    mark = " open" if is_open else ""
    return (
        f'<details{mark} style="margin-left: 1em"><summary style="cursor: pointer">{line}</summary>'
        f"{below}</details>"
    )
