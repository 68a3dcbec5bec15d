"""Anomaly mode: stop at the first NaN or infinity and say which line made it.

A NaN in the loss usually arose much earlier, and everything computed from it is NaN too. This mode
checks every output and every gradient as soon as it is computed, so the op it names is the one
where the NaN began. It costs a pass over every array: use it to search, not to train.
"""

import weakref

import numpy as np

from autograd._tensor import Tensor
from autograd.call_site import call_site, describe
from autograd.debug.format import place_of, raw, shortened, summarize
from autograd.device import is_array, namespace
from autograd.leaf import Leaf
from autograd.observe import Observer


class AnomalyError(FloatingPointError):
    """A NaN or infinity, with the op and the line that made it."""


class detect_anomaly(Observer):  # noqa: N801 (PyTorch's name)
    """Within this context the first NaN or infinity, forward or backward, raises AnomalyError.

    A literal infinity, as in ``where(mask, scores, -inf)``, is assumed to be intended: what is
    computed from it may be infinite, but never NaN. With ``nan_only`` every infinity is allowed,
    for code that uses arrays of them on purpose.

    The message names the op, the user's file and line, and the range and shape of its inputs.
    NumPy's own warnings about such values are switched off inside: here each is an error.
    """

    needs_every_contribution = True

    def __init__(self, nan_only: bool = False) -> None:
        self.nan_only = nan_only
        self._inputs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._meant: dict[int, weakref.ref] = {}
        self._quiet: list[np.errstate] = []

    def __enter__(self):
        quiet = np.errstate(all="ignore")
        quiet.__enter__()
        self._quiet.append(quiet)
        return super().__enter__()

    def __exit__(self, *exc_info):
        super().__exit__(*exc_info)
        self._quiet.pop().__exit__(*exc_info)

    def _bad(self, value):
        """Whether a value is, or contains, what this mode looks for."""
        if not isinstance(value, Tensor) and not is_array(value) and not hasattr(value, "dtype"):
            return isinstance(value, float) and not np.isfinite(value) and self._counts(value)
        array = raw(value)
        if array.dtype.kind != "f":
            return False
        xp = namespace(array)
        return bool(xp.any(xp.isnan(array) if self.nan_only else ~xp.isfinite(array)))

    def _counts(self, value):
        return np.isnan(value) or not self.nan_only

    def _is_meant(self, value):
        """Whether a value is infinite on purpose: a literal, or computed from one."""
        if isinstance(value, Tensor):
            return id(value) in self._meant
        return isinstance(value, (float, np.floating)) and bool(np.isinf(value))

    def after_forward(self, op, args, output):
        if output._node is op:
            self._inputs[op] = [summarize(a) for a in args if _is_value(a)]
        if not self._bad(output):
            return
        if any(self._is_meant(a) for a in args) and not summarize(output).nans:
            key = id(output)
            self._meant[key] = weakref.ref(output, lambda _: self._meant.pop(key, None))
            return
        earlier = [i for i, a in enumerate(args) if self._bad(a) and not self._is_meant(a)]
        inputs = [summarize(a) for a in args if _is_value(a)]
        if earlier:
            raise AnomalyError(
                f"input {earlier[0]} of {_called(op)} was already NaN or infinite when it came in "
                "(it was created outside detect_anomaly); if its infinities are intended, use "
                f"nan_only=True. {_inputs_text(inputs)}"
            )
        raise AnomalyError(
            f"{_called(op)} made the first non-finite value: its output has "
            f"{summarize(output)}. {_inputs_text(inputs)}"
        )

    def on_contribution(self, op, i, node, gradient):
        if not self._bad(raw(gradient)):
            return
        if op is None:
            raise AnomalyError(
                f"the gradient passed to backward() is not finite: {summarize(gradient)}"
            )
        inputs = self._inputs.get(op)
        raise AnomalyError(
            f"the backward of {describe(op)} made the first non-finite gradient: that of its "
            f"input {i} has {summarize(gradient)}. {self._arrived} "
            + (
                f"{_inputs_text(inputs)}"
                if inputs is not None
                else "Its inputs were not watched: run forward inside detect_anomaly as well"
            )
        )

    def on_gradient(self, node, gradient):
        if self._bad(raw(gradient)):
            what = "a leaf tensor" if isinstance(node, Leaf) else describe(node)
            raise AnomalyError(
                f"the gradient of {what} is not finite, though every contribution to it was: "
                f"their sum overflowed. It has {summarize(gradient)}"
            )
        self._arrived = f"The gradient of its output had {summarize(gradient)}."


def _is_value(x):
    return isinstance(x, (Tensor, int, float, np.generic)) or is_array(x)


def _called(op):
    if not hasattr(op, "site"):  # not recorded: the call is still running
        op.site = call_site()
    place = place_of(op)
    return f"{type(op).__name__} (called at {place}: {shortened(place.source)})"


def _inputs_text(inputs):
    return "Its inputs: " + "; ".join(f"{i}: {s}" for i, s in enumerate(inputs))
