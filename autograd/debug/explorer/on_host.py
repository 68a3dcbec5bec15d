"""A tape of another device in main memory: the page is made by NumPy, wherever the pass ran.

Every array of the tape is copied, those that the operations hold too. The operations themselves are
copied, and not changed: the user's graph stays where it is.
"""

from copy import copy
from typing import Any

from autograd._tensor import Tensor
from autograd.debug.explorer.tape import Tape
from autograd.device import is_array, namespace, numpy_namespace, to_numpy
from autograd.engine import Op

NOT_ARRAYS = frozenset(("inputs", "hooks", "site", "needs", "versions", "read"))


def on_host(tape: Tape) -> Tape:
    """The tape, whose arrays are NumPy's now. Its operations are copies where they were not."""
    arrays = [v.array for v in tape.values] + [v.gradient for v in tape.values]
    if all(a is None or namespace(a) is numpy_namespace for a in arrays):
        return tape
    copies: dict[int, Any] = {}  # by identity: what was one array stays one

    def moved(x: Any) -> Any:
        if isinstance(x, Tensor):
            return moved(x._data)
        if not is_array(x):
            return type(x)(map(moved, x)) if type(x) in (tuple, list) else x
        if id(x) not in copies:
            copies[id(x)] = (x, to_numpy(x))
        return copies[id(x)][1]

    for value in tape.values:
        value.array, value.gradient = moved(value.array), moved(value.gradient)
        value.before_hooks = moved(value.before_hooks)
        for contribution in value.contributions:
            contribution.array = moved(contribution.array)
    for call in tape.calls:
        call.args = [moved(a) for a in call.args]
        call.op = _host_op(call.op, moved)
    return tape


def _host_op(op: Op, moved: Any) -> Op:
    """A copy of an operation whose arrays are NumPy's."""
    op = copy(op)
    for name, value in list(vars(op).items()):
        if name not in NOT_ARRAYS:
            setattr(op, name, moved(value))
    return op
