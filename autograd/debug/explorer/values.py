"""The values and calls of a tape: what ``tape.record`` makes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.debug.explorer.naming import Unique
from autograd.debug.format import Place
from autograd.device import to_numpy
from autograd.engine import Op


@dataclass(eq=False, repr=False)
class Contribution:
    """One term of a gradient: what ``call`` returned for its input number ``input``.

    ``call`` is None for the gradient of the loss itself, which is 1.
    """

    call: "Call | None"
    input: int | None
    array: Any


@dataclass(eq=False, repr=False)
class Value:
    """A tensor of the computation. ``kind`` is "leaf", "constant" or "computed".

    ``array`` is None where nobody kept it; ``gradient`` where none arrived. Where a hook replaced
    the gradient, ``gradient`` is what the hook returned, and ``before_hooks`` the sum before it.
    ``changed``: this leaf has been changed, and ``array`` may be other than it was in forward.
    """

    index: int
    kind: str
    array: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    node: Any = None
    call: "Call | None" = None
    key: str = ""
    changed: bool = False
    gradient: Any = None
    before_hooks: Any = None
    contributions: list[Contribution] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Call:
    """One recorded call of an operation. ``args`` are Values, and plain numbers as they were.

    ``op`` is the node itself: what it saved is still there. ``module`` is the dotted name of the
    module that called it and ``variable`` what its result was assigned to, "" if that is not known.
    ``name`` is that of the operation's class; the second class of the same name is called Name#2.
    ``unseen``: it stands for a recomputed segment of a graph that was recorded before, and ``args``
    are what all of the segment was computed from.
    """

    index: int
    op: Op
    args: list[Any]
    out: Value
    place: Place | None
    module: str = ""
    variable: str = ""
    name: str = ""
    unseen: bool = False


@dataclass(eq=False, repr=False)
class Tape:
    """What ``record`` returns.

    ``events`` tells what happened, in order: ("forward", Call), ("start", Value of the loss),
    ("backward", Call), and ("leaf", Value) where the gradient of a leaf was complete. ``outside``
    tells whether ``function`` used a tensor that was computed before it was called.
    """

    values: list[Value]
    calls: list[Call]
    events: list[tuple[str, Any]]
    loss: Value
    function: Callable[[], Tensor] | None
    model: Any = None
    outside: bool = False

    @property
    def leaves(self) -> list[Value]:
        return [v for v in self.values if v.kind == "leaf"]

    def value_of(self, node) -> Value | None:
        """The Value of an engine node, or None."""
        return self._by_node.get(node.order)

    def __post_init__(self):
        self._by_node = {v.node.order: v for v in self.values if v.node is not None}
        classes = dict.fromkeys(type(call.op) for call in self.calls)
        unique = Unique()
        names = {c: unique(c.__name__) for c in sorted(classes, key=lambda c: not is_ours(c))}
        for call in self.calls:
            call.name = names[type(call.op)]


def is_ours(operation: type) -> bool:
    """Whether a class of operations belongs to this package, and not to a user."""
    return operation.__module__.startswith("autograd.")


def same(a, b) -> bool:
    """Whether two arrays hold the same numbers; NaN is the same as NaN."""
    a, b = to_numpy(a), to_numpy(b)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
