"""Each step of a tape in one plain sentence."""

from typing import Any

from autograd.debug.explorer.tape import Call, Value


def sentence(phase: str, what: Any) -> str:
    """What happens in a step: see ``Tape.events``."""
    if phase == "forward":
        return _forward(what)
    if phase == "backward":
        return _backward(what)
    return _leaf(what) if phase == "leaf" else _start()


def _forward(call: Call) -> str:
    inputs = [a.key if isinstance(a, Value) else f"the number {a!r}" for a in call.args]
    return f"{_kind(call)} computes {call.out.key}, {_shape(call.out)}, from {_listed(inputs)}."


def _start() -> str:
    return "Backward starts here: the derivative of the loss with respect to itself is 1."


def _backward(call: Call) -> str:
    sources = [
        a.key
        for a, needed in zip(call.args, call.op.needs, strict=False)
        if isinstance(a, Value) and needed
    ]
    n = len(call.out.contributions)
    arrived = "its contribution has" if n == 1 else f"all {n} contributions to it have"
    return (
        f"The gradient of {call.out.key} is complete, since {arrived} arrived: {_kind(call)} turns "
        f"it into {_counted(len(sources))} for {_listed(sources)}."
    )


def _leaf(value: Value) -> str:
    n = len(value.contributions)
    total = "the only contribution" if n == 1 else f"the sum of {n} contributions"
    return f"{value.key} was given, not computed: {total} is its gradient, and lands in .grad."


def _kind(call):
    return call.name


def _shape(value):
    return "one number" if value.shape == () else f"shape {value.shape}"


def _counted(n):
    return "a contribution" if n == 1 else f"{n} contributions"


def _listed(names):
    if not names:
        return "nothing"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
