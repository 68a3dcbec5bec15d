"""Whether the function of a tape, or its backwards on the same nodes, can be run once more.

Several parts of the page do that. An operation of this package allows it. One of the user's may
not: it may count its calls, or give away what it had kept.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.accumulate import Scatter
from autograd.debug.explorer.held import hooked, released
from autograd.debug.explorer.tape import Call, Tape, is_ours, same
from autograd.device import numpy_namespace as xp
from autograd.functional.recomputation import Recompute
from autograd.kernels.dispatch import use_kernels
from autograd.unbroadcast import fit_to_input


class CannotRepeatError(ValueError):
    """A function cannot be called again; the message says why."""


def call_again(function: Any) -> Tensor:
    """The loss that the user's function computes when it is called once more.

    Raises CannotRepeatError where it computes none.
    """
    try:
        loss = function()
    except Exception as error:  # whatever the user's code raises
        name, said = type(error).__name__, f": {error}" if str(error) else ""
        raise CannotRepeatError(
            f"the function raised {name} when it was called again{said}"
        ) from error
    if not isinstance(loss, Tensor) or loss._node is None or loss.size != 1:
        raise CannotRepeatError("the function returned no loss when it was called again")
    return loss


def refusal_to_repeat(tape: Tape) -> str:
    """Why the backward pass of a tape cannot be repeated; "" if it can."""
    if tape.loss.call is None or tape.loss.call.op is not tape.loss.node:
        return "the arrays of another device were copied, and what its operations hold was not"
    if any(released(call.op) for call in tape.calls if call.out.gradient is not None):
        return "a backward pass has released it since it was recorded"
    for call in tape.calls:
        if not is_ours(type(call.op)) and call.out.gradient is not None:
            with use_kernels("reference") if tape.function else nullcontext():
                refusal = _refusal(call)
            if refusal:
                return refusal
    return ""


def _refusal(call: Call) -> str:
    op, g = call.op, call.out.gradient
    mine = [c for v in call.args if hasattr(v, "contributions") for c in v.contributions]
    recorded = {c.input: c.array for c in mine if c.call is call}
    try:
        with np.errstate(all="ignore"):
            gradients = op.backward(xp, g, *op.saved)
    except Exception as error:  # whatever the user's code raises
        return f"the backward of {call.name} cannot run a second time: {error}"
    gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    for i, array in recorded.items():
        gradient = gradients[i]
        if isinstance(gradient, Scatter):
            gradient = gradient.densify()
        if not same(fit_to_input(xp, op, i, gradient), array):
            return f"the backward of {call.name} gave other numbers when it ran again"
    return ""


def hooks_in(tape: Tape) -> bool:
    """Whether hooks of the user's see gradients of a tape."""
    return any(v.node is not None and hooked(v.node) for v in tape.values)


def recomputes(tape: Tape) -> bool:
    """Whether a part of a tape was computed a second time, during backward."""
    return any(isinstance(call.op, Recompute) for call in tape.calls)
