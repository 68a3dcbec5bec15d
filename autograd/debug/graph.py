"""The graph as text: Mermaid, which Markdown draws, and DOT, for Graphviz.

``draw_graph`` reads the graph that a tensor carries, before backward releases it. A page to click
through, with the values and gradients that passed, is made by ``explore`` (``explorer/``).
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from autograd._tensor import Tensor
from autograd.debug.format import Place, bytes_text, place_of
from autograd.debug.memory import kept_arrays
from autograd.leaf import Leaf


@dataclass
class GraphNode:
    """One op with its output, or one leaf tensor (``op`` is None).

    ``key`` numbers the nodes in order of creation. ``inputs`` are (position, key) of those that
    carry a gradient. ``saved`` lists (what it is, shape and type, bytes) of the arrays kept for
    backward.
    """

    key: int
    op: str | None
    name: str
    shape: tuple[int, ...]
    dtype: str
    place: Place | None = None
    doc: str = ""
    inputs: list[tuple[int, int]] = field(default_factory=list)
    saved: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def saved_bytes(self) -> int:
        return sum(size for _, _, size in self.saved)


class Graph:
    """Nodes from oldest to newest; ``mermaid()`` and ``dot()`` draw them.

    ``names`` maps a name to a tensor, such as ``dict(model.named_parameters())``.
    """

    def __init__(self, names: Mapping[str, Tensor] | None = None) -> None:
        self._nodes: dict[int, GraphNode] = {}
        self._names = {t._node.order: name for name, t in (names or {}).items() if t._node}

    @property
    def nodes(self) -> list[GraphNode]:
        """All nodes, each after the nodes it was computed from."""
        return [self._nodes[key] for key in sorted(self._nodes)]

    def __len__(self) -> int:
        return len(self._nodes)

    def _add(self, node):
        """Describe a node of the engine."""
        name = self._names.get(node.order, "")
        shape, dtype = tuple(node.shape), str(node.dtype)
        if isinstance(node, Leaf):
            leaf = GraphNode(node.order, None, name or "leaf", shape, dtype, doc=LEAF)
            self._nodes[node.order] = leaf
            return
        self._nodes[node.order] = GraphNode(
            key=node.order,
            op=type(node).__name__,
            name=name,
            shape=shape,
            dtype=dtype,
            place=place_of(node),
            doc=inspect.getdoc(type(node)) or "",
            inputs=[(i, n.order) for i, n in enumerate(node.inputs) if n is not None],
            saved=[(what, f"{a.shape} {a.dtype}", a.nbytes) for what, a in kept_arrays(node)],
        )

    # --- text ------------------------------------------------------------------------------------

    def mermaid(self) -> str:
        """The graph in Mermaid's language, which Markdown on GitHub draws."""
        lines = ["flowchart TD"]
        for node in self.nodes:
            label = "<br/>".join(_mermaid_text(line) for line in _label(node))
            left, right = ("([", "])") if node.op is None else ("[", "]")
            lines.append(f'    n{node.key}{left}"{label}"{right}')
        lines += [f"    n{a} --> n{b}" for a, b in self._edges()]
        leaves = [f"n{node.key}" for node in self.nodes if node.op is None]
        if leaves:
            lines += ["    classDef leaf fill:#d8f0d8,stroke:#3a7d44,color:#123",
                      f"    class {','.join(leaves)} leaf"]  # fmt: skip
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """The graph in DOT, the language of Graphviz."""
        lines = ["digraph gradient {", "    node [shape=box, fontname=sans];"]
        for node in self.nodes:
            label = "\\n".join(_dot_text(line) for line in _label(node))
            style = ", shape=ellipse" if node.op is None else ""
            lines.append(f'    n{node.key} [label="{label}"{style}];')
        lines += [f"    n{a} -> n{b};" for a, b in self._edges()]
        return "\n".join([*lines, "}"]) + "\n"

    def __repr__(self) -> str:
        leaves = sum(node.op is None for node in self.nodes)
        return f"Graph of {len(self)} nodes, of which {leaves} are leaves"

    def _repr_markdown_(self) -> str:
        """For notebooks, which draw Mermaid in Markdown."""
        return f"```mermaid\n{self.mermaid()}```"

    def _edges(self):
        return [(a, n.key) for n in self.nodes for _, a in n.inputs if a in self._nodes]


LEAF = "A tensor that was given, not computed: its gradient lands in .grad."


def draw_graph(tensor: Tensor, names: Mapping[str, Tensor] | None = None) -> Graph:
    """The Graph of the computation that produced ``tensor``.

    Raises ValueError for a tensor without one, or whose graph backward has released already (pass
    retain_graph=True to it, or draw first).
    """
    if tensor._node is None:
        raise ValueError(
            f"this tensor, of shape {tensor.shape}, was not computed from any tensor that requires "
            "a gradient, so there is no graph to draw"
        )
    graph, stack = Graph(names), [tensor._node]
    while stack:
        node = stack.pop()
        if node.order in graph._nodes:
            continue
        if not isinstance(node, Leaf):
            if node.inputs is None:
                raise ValueError(
                    f"backward has released the graph at {type(node).__name__}: draw it before, "
                    "pass retain_graph=True, or explore a function that computes the loss"
                )
            stack.extend(n for n in node.inputs if n is not None)
        graph._add(node)
    return graph


def _label(node):
    """Up to three short lines: what it is, its shape, what it saves."""
    title = node.op or node.name
    if node.op and node.name:
        title += f" ({node.name})"
    lines = [title, f"{node.shape} {node.dtype}"]
    if node.saved_bytes:
        lines.append(f"saves {bytes_text(node.saved_bytes)}")
    return lines


def _mermaid_text(text):
    """Text as data: every character with a meaning in Mermaid is written as an entity."""
    return re.sub(r"[^\w .,()\-/+*=]", lambda m: f"#{ord(m[0])};", text)


def _dot_text(text):
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", " ").replace("\r", " ")
