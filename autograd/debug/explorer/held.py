"""What a graph that was recorded by the engine alone still holds, and passes over it that are not
the user's.

A node keeps links to the nodes of its inputs and what its derivative needs. A pass of ours must not
run the user's hooks more often than he expects, nor write to the ``.grad`` of ``retain_grad``.
"""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd.functional.recomputation import Recompute
from autograd.hooks import RETAIN
from autograd.leaf import Leaf


def sources_of(node: Any) -> tuple[Any, ...]:
    """The nodes that a node was computed from, None for constants; what it recomputed left out.

    A recomputed segment has no other input, once its backward has run, than the second output.
    """
    if isinstance(node, Leaf) or node.inputs is None:
        return ()
    if not isinstance(node, Recompute):
        return tuple(node.inputs)
    found, stack, seen = {}, list(node.inputs), set()
    while stack:
        source = stack.pop()
        if source.order in seen:
            continue
        seen.add(source.order)
        if source.order < node.order:
            found[source.order] = source
        else:
            stack += [n for n in sources_of(source) if n is not None]
    return tuple(source for _, source in sorted(found.items()))


def behind(root: Any, known: Container[int] = ()) -> list[Any]:
    """The nodes that ``root`` was computed from, and itself, oldest first.

    Those whose order is ``known`` are left out, and what lies behind them.
    """
    nodes, stack = {}, [root]
    while stack:
        node = stack.pop()
        if node.order not in nodes and node.order not in known:
            nodes[node.order] = node
            stack += [n for n in sources_of(node) if n is not None]
    return [node for _, node in sorted(nodes.items())]


def released(node: Any) -> bool:
    """Whether a backward pass has taken from a node what it held."""
    return not isinstance(node, Leaf) and node.inputs is None


def hooked(node: Any) -> bool:
    """Whether the user has a hook on the gradient of a node; ``retain_grad`` is none."""
    return bool(set(node.hooks or ()) - {RETAIN})


@contextmanager
def without_hooks(nodes: Iterable[Any], retained_only: bool = False) -> Iterator[None]:
    """Within this, the nodes have no hooks, or none of ``retain_grad``."""
    kept = [(node, node.hooks) for node in nodes if node.hooks]
    for node, hooks in kept:
        node.hooks = {k: f for k, f in hooks.items() if retained_only and k != RETAIN} or None
    try:
        yield
    finally:
        for node, hooks in kept:
            node.hooks = hooks
