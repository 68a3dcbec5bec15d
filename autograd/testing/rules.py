"""The rules of a backward apart from its numbers, checked before anything is measured.

A backward can return the right numbers at the first call and still be wrong: it may change an array
that is used elsewhere, depend on what was computed in between, or work for only one memory layout.
Each broken rule is one sentence. Faults fail the check; warnings (a change of type) do not, since
the engine converts the types back.
"""

import numpy as np

from autograd.accumulate import Scatter
from autograd.backward import grad
from autograd.engine import Op
from autograd.testing.differences import array_of, tensors
from autograd.testing.in_place import faults_in_place
from autograd.testing.raised import describe_error

CLOSE = 1e-9
"""Two results that should be the same may differ by this much of the largest, by rounding."""


def check_rules(f, arrays, names, w):
    """Run ``f`` forward and backward under observation. Returns (faults, warnings, usable).

    A function is not ``usable`` if its gradients cannot be compared with anything: its backward
    raises or overwrites the incoming gradient, or the function changes its own inputs.
    """
    watch = _Watch(names)
    with np.errstate(all="ignore"):
        watch.dtypes(f, arrays, w)
        _, base = _results(f, arrays, names, w, watch)
        if base is not None and not watch.changed:
            watch.work_in_place(f, arrays, w)
        if base is not None and not watch.changed and not watch.misuses_room:
            watch.repetition(f, arrays, w, base)
            watch.layouts(f, arrays, w, base)
    usable = base is not None and not watch.changed
    return list(dict.fromkeys(watch.faults)), list(dict.fromkeys(watch.warnings)), usable


def _results(f, arrays, names, w, watch):
    """(output, inputs) as Tensors, with the graph kept, and [output, gradients] as arrays."""
    xs = tensors([a.copy() for a in arrays], names)
    y = f(*xs)
    for i, (x, a) in enumerate(zip(xs, arrays, strict=True)):
        if not np.array_equal(x.data, a, equal_nan=a.dtype.kind == "f"):
            watch.changed = True
            watch.faults.append(f"f changes its input {i} in place")
    watch.nodes(y)
    try:
        gradients = grad(y, [xs[i] for i in names], w, retain_graph=True, allow_unused=True)
    except Exception as error:
        watch.faults += watch.shapes or [describe_error(error, 1)]
        return y, None
    return (y, xs), _as_arrays(y, gradients, arrays, names)


def _as_arrays(y, gradients, arrays, names):
    """[output, gradients] as arrays."""
    pairs = zip(gradients, names, strict=True)
    return [y.data, *(array_of(g, arrays[i]) for g, i in pairs)]


class _Watch:
    def __init__(self, names):
        self.names, self.faults, self.warnings, self.shapes = names, [], [], []
        self.changed = False  # f wrote to its inputs, or a backward to its incoming gradient
        self.misuses_room = False  # then gradients may depend on what was computed before

    def nodes(self, y):
        """Put an observer around the backward of every node behind ``y``."""
        for node in _ops_behind(y):
            node.backward = self._observed(node, node.backward)

    def _observed(self, node, backward):
        name = type(node).__name__

        def observed(xp, g, *saved, room=None):  # room is dropped: no work in place is allowed
            received = [g, *(s for s in saved if isinstance(s, np.ndarray))]
            before = [np.array(a) for a in received]
            gradients = backward(xp, g, *saved)
            for k, (a, b) in enumerate(zip(received, before, strict=True)):
                if not np.array_equal(a, b, equal_nan=True):
                    what = "a value saved for backward" if k else "the incoming gradient"
                    self.faults.append(f"the backward of {name} changes {what} in place")
                    self.changed |= k == 0  # these are the check's own weights
            several = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
            for i, (source, gradient) in enumerate(zip(node.inputs, several, strict=False)):
                if source is not None and gradient is not None:
                    self._one(node, i, source, gradient, received)
            return gradients

        return observed

    def _one(self, node, i, source, gradient, received):
        """Compare the gradient that a node returned for its input i with that input."""
        name = type(node).__name__
        if node.dtype == source.dtype != gradient.dtype:
            self.warnings.append(
                f"{name} returns a {gradient.dtype} gradient for its {source.dtype} input {i}"
            )
        if isinstance(gradient, Scatter):
            return
        if gradient.shape != source.shape and not node.broadcasts:
            self.shapes.append(
                f"{name} returns a gradient of shape {gradient.shape} for its input {i}, whose "
                f"shape is {source.shape}{_why(gradient.shape, source.shape)}"
            )
        if node.fresh_gradients and isinstance(gradient, np.ndarray):
            if any(np.may_share_memory(gradient, a) for a in received):
                self.faults.append(
                    f"{name} sets fresh_gradients = True, but the gradient for input {i} shares "
                    "memory with g or a saved array, which the engine would overwrite"
                )

    def work_in_place(self, f, arrays, w):
        """With room to work in place, a backward returns the same, plus the sums it claimed."""

        def observed(node, backward):
            def run(xp, g, *saved, room=None):
                self.faults += faults_in_place(node, backward, xp, g, saved)
                return backward(xp, g, *saved, room=None)

            return run

        xs = tensors([a.copy() for a in arrays], self.names)
        y = f(*xs)
        before = len(self.faults)
        for node in _ops_behind(y):
            if node.works_in_place:
                node.backward = observed(node, node.backward)
        try:
            grad(y, [xs[i] for i in self.names], w, allow_unused=True)
        except Exception as error:
            self.faults.append(describe_error(error, 1))
        self.misuses_room = len(self.faults) > before

    def repetition(self, f, arrays, w, base):
        """A second backward gives the same gradients, and so does one after another call of f."""

        def again(y, xs):
            inputs = [xs[i] for i in self.names]
            gradients = grad(y, inputs, w, retain_graph=True, allow_unused=True)
            return _as_arrays(y, gradients, arrays, self.names)

        (y, xs), _ = _results(f, arrays, self.names, w, self)
        if _differ(base, again(y, xs)):
            self.faults.append(
                "running backward twice gives different gradients: it modifies a saved array or "
                "draws random numbers"
            )
            return
        xs = tensors([a.copy() for a in arrays], self.names)
        y = f(*xs)
        rng = np.random.default_rng(5)
        elsewhere = [
            a + 1e-2 * rng.standard_normal(a.shape) if i in self.names else a
            for i, a in enumerate(arrays)
        ]
        try:
            f(*tensors(elsewhere, self.names))
        except (ValueError, ArithmeticError):
            return  # the neighbouring point is outside f's domain
        if _differ(base, again(y, xs)):
            self.faults.append(
                "another call of f before backward changes the gradient of the first: a value was "
                "kept outside the node (on the class, or in a shared buffer) and overwritten"
            )

    def layouts(self, f, arrays, w, base):
        """The memory layout of the inputs does not matter."""
        for layout, arrange in (("Fortran-ordered", _fortran), ("strided", _strided)):
            moved = [arrange(a) if i in self.names else a for i, a in enumerate(arrays)]
            if all(a.flags.c_contiguous for a in moved):
                continue
            try:
                xs = tensors(moved, self.names)
                y = f(*xs)
                gradients = grad(y, [xs[i] for i in self.names], w, allow_unused=True)
            except Exception as error:
                self.warnings.append(f"f fails on {layout} inputs: {type(error).__name__}: {error}")
                continue
            for k in _differ(base, _as_arrays(y, gradients, arrays, self.names)):
                what = f"its gradient of {[*self.names.values()][k - 1]}" if k else "its output"
                self.faults.append(f"f gives different results for {layout} inputs: {what} differs")

    def dtypes(self, f, arrays, w):
        """float32 inputs should give float32 results throughout."""
        single = [a.astype(np.float32) if i in self.names else a for i, a in enumerate(arrays)]
        try:
            xs = tensors(single, self.names)
            y = f(*xs)
            self.nodes(y)
            promoted = _first_promotion(y._node) if y.dtype != np.float32 else None
            if promoted:
                self.warnings.append(promoted)
            else:
                grad(y, [xs[i] for i in self.names], w.astype(np.float32), allow_unused=True)
        except Exception as error:
            if not self.shapes:
                self.warnings.append(f"f fails on float32 inputs: {type(error).__name__}: {error}")
        self.faults.clear()  # the run in float64 reports them
        self.shapes.clear()


def _ops_behind(y):
    """The nodes of all operations that the Tensor ``y`` was computed with."""
    waiting, seen = [y._node], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Op) and node not in seen:
            seen.add(node)
            waiting += node.inputs
    return seen


def _first_promotion(node):
    """A sentence if some node behind ``node`` turned only float32 inputs into float64."""
    waiting, seen, oldest = [node], set(), None
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Op) or node in seen:
            continue
        seen.add(node)
        waiting += node.inputs
        sources = [n for n in node.inputs if n is not None]
        alone = len(sources) == len(node.inputs)  # no constant array that could be the cause
        if alone and {s.dtype for s in sources} == {np.dtype(np.float32)} != {node.dtype}:
            if oldest is None or node.order < oldest.order:
                oldest = node
    if oldest is None:
        return None
    return f"{type(oldest).__name__} turns float32 inputs into {oldest.dtype}"


def _why(actual, expected):
    """A guess why a gradient's shape is ``actual`` instead of ``expected``."""
    if actual == expected[::-1]:
        return ": looks like a transpose is missing"
    if len(actual) >= len(expected):
        extra = len(actual) - len(expected)
        aligned = [*range(extra)]
        for axis, n in enumerate(expected, start=extra):
            if actual[axis] != n:
                if n != 1:
                    return ""
                aligned.append(axis)
        several = "axes" if len(aligned) > 1 else "axis"
        return f": looks like the sum over {several} {', '.join(map(str, aligned))} is missing"
    if actual == expected[len(expected) - len(actual) :]:
        missing = ", ".join(map(str, range(len(expected) - len(actual))))
        return f": looks like an extra sum over axis {missing}"
    return ""


def _differ(base, other):
    """The indices of the arrays [output, *gradients] that differ by more than rounding."""
    wrong = []
    size = max((np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in base), default=0.0)
    for k, (a, b) in enumerate(zip(base, other, strict=True)):
        own = np.abs(a[np.isfinite(a)]).max(initial=0.0)
        tolerance = CLOSE * own + 1e-13 * size
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True):
            wrong.append(k)
    return wrong


def _fortran(a):
    return np.asfortranarray(a) if a.ndim > 1 else a


def _strided(a):
    """The same values as every second element of a larger array."""
    if a.ndim == 0:
        return a
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, dtype=a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]
