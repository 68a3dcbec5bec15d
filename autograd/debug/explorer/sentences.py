"""Each step of a tape in one plain sentence, with the numbers where they are single ones."""

from typing import Any

from autograd.debug.explorer.tape import Call, Value


def sentence(phase: str, what: Any) -> str:
    """What happens in a step: see ``Tape.events``."""
    if phase == "forward":
        return _forward(what)
    if phase == "backward":
        return _backward(what)
    return _leaf(what) if phase == "leaf" else _start(what)


def _forward(call: Call) -> str:
    inputs = [_named(a) if isinstance(a, Value) else f"the number {a!r}" for a in call.args]
    shape = "" if call.out.shape == () else f", shape {call.out.shape},"
    return f"{call.name} computes {_named(call.out)}{shape} from {_listed(inputs)}."


def _named(value: Value) -> str:
    """A value by its name, with its number if it is one."""
    number = _number(value.array)
    return f"{value.key} = {number}" if number else value.key


def _start(loss: Value) -> str:
    name = "the loss" if loss.key == "loss" else f"{loss.key}, the loss,"
    return f"Backward starts here: the derivative of {name} with respect to itself is 1."


def _backward(call: Call) -> str:
    to = []
    for i, source in enumerate(call.args):
        if isinstance(source, Value) and i < len(call.op.needs) and call.op.needs[i]:
            arrays = [c.array for c in source.contributions if c.call is call and c.input == i]
            number = _number(arrays[0]) if arrays else ""
            to.append(f"{number} for {source.key}" if number else source.key)
    n, total = len(call.out.contributions), _sum(call.out)
    if total:
        complete = f"complete: {total}"
    else:
        which = {1: "its contribution has", 2: "both contributions to it have"}
        complete = f"complete, since {which.get(n, f'all {n} contributions to it have')} arrived"
    if to and " for " in to[0]:
        what = f"The gradient of {call.out.key} is {complete}. {call.name} returns {_listed(to)}."
    else:
        what = (
            f"The gradient of {call.out.key} is {complete}: {call.name} turns it into "
            f"{_counted(len(to))} for {_listed(to)}."
        )
    return what + _hooked(call.out)


def _leaf(value: Value) -> str:
    n = len(value.contributions)
    total = _sum(value)
    if not total:
        total = "the only contribution" if n == 1 else f"the sum of {n} contributions"
    return f"{value.key} was given, not computed: {total} is its gradient, {_goes(value)}."


def done() -> str:
    """What the last step of a pass adds."""
    return " The pass is done: every leaf's gradient is complete."


def _goes(value):
    """What becomes of the gradient of a leaf."""
    tensor = value.node.tensor()
    if tensor is None:
        return "which is dropped, since the tensor does not exist any more"
    if tensor._node is not value.node:
        return "which is dropped, since the tensor has been frozen since"
    return (
        "replaced by a hook before it lands in .grad" if _replaced(value) else "and lands in .grad"
    )


def _replaced(value):
    return value.before_hooks is not None


def _hooked(value):
    return " A hook replaced it before that." if _replaced(value) else ""


def _sum(value: Value) -> str:
    """The contributions to a single number's gradient, added up: "6 + 6 = 12"."""
    terms = [_number(c.array) for c in value.contributions]
    total = value.before_hooks if _replaced(value) else value.gradient
    if not terms or "" in terms or len(terms) > 4:
        return _number(total)
    text = terms[0]
    for term in terms[1:]:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text if len(terms) == 1 else f"{text} = {_number(total)}"


def _number(array: Any) -> str:
    """A single number in four digits; "" for what is none."""
    return f"{float(array):.4g}" if array is not None and array.shape == () else ""


def _counted(n):
    return "a contribution" if n == 1 else f"{n} contributions"


def _listed(names):
    if not names:
        return "nothing"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
