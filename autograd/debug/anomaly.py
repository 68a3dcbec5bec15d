"""Anomaly mode: stop at the first NaN or infinity and say which line made it.

A NaN seen in the loss was usually made long before, and everything computed from it since is NaN
too. Here every output and every gradient is looked at the moment it is made, so the op named is
the one where it began. The cost is a pass over every array: for a search, not for training.
"""

import weakref

import numpy as np

from autograd._tensor import Tensor
from autograd.accumulate import namespace_of
from autograd.call_site import call_site, describe
from autograd.debug._text import place_of, raw, shortened, summarize
from autograd.device import is_array
from autograd.leaf import Leaf
from autograd.observe import Observer


class AnomalyError(FloatingPointError):
    """A NaN or infinity, with the op and the line that made it."""


class detect_anomaly(Observer):  # noqa: N801 (PyTorch's name)
    """Within this context the first NaN or infinity, forward or backward, raises AnomalyError.

    An infinity written as a number, ``where(mask, scores, -inf)``, is meant: what is computed from
    it may be infinite, though never NaN. With ``nan_only`` all infinities pass: for code that uses
    arrays of them on purpose.

    The message names the op, the user's file and line, and the range and shape of its inputs.
    NumPy's own warnings of such values are silent inside: each of them is an error here.
    """

    separate = True

    def __init__(self, nan_only=False):
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
        """Whether a value is, or has an element that is, what this mode looks for."""
        if not isinstance(value, Tensor) and not is_array(value) and not hasattr(value, "dtype"):
            return isinstance(value, float) and not np.isfinite(value) and self._counts(value)
        array = raw(value)
        if array.dtype.kind != "f":
            return False
        xp = namespace_of(array)
        return bool(xp.any(xp.isnan(array) if self.nan_only else ~xp.isfinite(array)))

    def _counts(self, value):
        return np.isnan(value) or not self.nan_only

    def _is_meant(self, value):
        """Whether a value is infinite on purpose: written as a number, or computed from such."""
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
        given = [i for i, a in enumerate(args) if self._bad(a) and not self._is_meant(a)]
        inputs = [summarize(a) for a in args if _is_value(a)]
        if given:
            raise AnomalyError(
                f"input {given[0]} of {_called(op)} is not finite already, and no op watched here "
                f"made it: look at where it comes from. {_inputs_text(inputs)}"
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
                f"the gradient that backward was started with is not finite: {summarize(gradient)}"
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
                f"the gradient that arrives at {what} is not finite, though every contribution to "
                f"it was: they overflowed in their sum. It has {summarize(gradient)}"
            )
        self._arrived = f"The gradient of its output had {summarize(gradient)}."


def _is_value(x):
    return isinstance(x, (Tensor, int, float, np.generic)) or is_array(x)


def _called(op):
    if not hasattr(op, "site"):  # not recorded: the call is still running
        op.site = call_site(1)
    place = place_of(op)
    return f"{type(op).__name__} (called at {place}: {shortened(place.source)})"


def _inputs_text(inputs):
    return "Its inputs: " + "; ".join(f"{i}: {s}" for i, s in enumerate(inputs))
