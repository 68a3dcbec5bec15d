"""What a graph that was recorded by the engine alone still holds, and passes over it that are not
the user's.

A node keeps links to the nodes of its inputs and what its derivative needs. A pass of ours must not
run the user's hooks more often than he expects, nor write to the ``.grad`` of ``retain_grad``.
"""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autograd.device import is_array, to_numpy
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


REFUSED = 1e-3
"""A call whose second run differs from the first by more, relative to its largest number, is not
the same computation."""


def alike(data: Any, recorded: Any, args: Iterable[Any]) -> bool:
    """Whether ``data`` has, up to rounding, the numbers of a recorded output of the same shape.

    Rounding is relative to the numbers that it was computed from: a sum may cancel. What was not
    ``recorded`` is taken for the same.
    """
    if recorded is None or data.size == 0 or data.dtype.kind != "f":
        return True
    before = np.asarray(to_numpy(recorded), dtype=np.float64)
    size = max(_largest(a) for a in (before, *args))
    rtol = max(REFUSED, 30 * float(np.finfo(recorded.dtype).eps))
    return bool(np.allclose(to_numpy(data), before, rtol=0, atol=rtol * size, equal_nan=True))


def _largest(x):
    """The size of the largest finite number in an array, or of a number."""
    x = np.asarray(to_numpy(x) if is_array(x) else x)
    if x.dtype.kind not in "fiu":
        return 0.0
    return float(np.abs(x[np.isfinite(x)]).max(initial=0))


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
