"""The likely mistake behind a wrong gradient, as a sentence.

The finite differences N are the right gradient, element by element, so the mistake leaves a mark:
the analytic gradient A may be a multiple of N, its transpose, or its sum over an axis; the
difference N - A may lie along the ones vector, along x, or in a single row. Each question below
looks for the mark of one common mistake, from the most specific to the least, and the first that
fits gives the sentence. If none fits, there is no diagnosis: a wrong guess would mislead.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd.questions import see

_TRANSPOSE = see("Why is there a transpose in a matrix product's gradient?")
_BROADCAST = see("Where does the sum in a broadcast's gradient come from?")


@dataclass
class Case:
    """A wrong gradient and what is known about it."""

    analytic: np.ndarray
    numeric: np.ndarray
    noise: float
    """The largest rounding noise of ``numeric``."""
    rtol: float = 1e-6
    order: int = 1
    x: np.ndarray | None = None
    """The input that the gradient belongs to."""
    y: np.ndarray | None = None
    """The output of the function."""
    others: dict[str, np.ndarray] = field(default_factory=dict)
    """The right gradients of the other inputs, by their names."""
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    """The other inputs, by their names."""
    upstream: Any = None
    """w -> analytic gradient, to see how it depends on the incoming gradient; or None."""
    w: np.ndarray | None = None

    def near(self, a, b):
        """Whether two arrays agree to the precision of the measurement."""
        scale = max(np.abs(b).max(initial=0.0), np.abs(self.numeric).max(initial=0.0))
        return a.shape == b.shape and bool(
            np.abs(a - b).max(initial=0.0) <= 3 * self.rtol * scale + 3 * self.noise
        )

    @property
    def difference(self):
        """N - A: the term that the gradient lacks."""
        return self.numeric - self.analytic

    @property
    def wrong(self):
        """Which elements are wrong (bool, of the gradient's shape)."""
        tolerance = self.rtol * np.abs(self.numeric).max(initial=0.0) + self.noise
        return ~(np.abs(self.difference) <= tolerance)


def diagnose(case):
    """The sentence that fits a wrong gradient, or None."""
    for question in QUESTIONS if case.order == 1 else SECOND_ORDER:
        sentence = question(case)
        if sentence is not None:
            return sentence
    return None


def not_finite(c):
    bad = ~np.isfinite(c.analytic)
    if bad.all() and c.analytic.size > 1:
        return "your gradient is not finite anywhere"
    if bad.any():
        where = tuple(map(int, np.argwhere(bad)[0]))
        return f"your gradient is {c.analytic[where]} at element {where}"
    return None


def zero(c):
    if np.any(c.analytic):
        return None
    if c.order == 2:
        return (
            "your second derivative is zero: backward uses a constant where it should use a value "
            "that depends on the inputs" + see("How does double backward work?")
        )
    return "your gradient is zero everywhere"


def flat(c):
    """N = 0: a step function with the gradient of another function."""
    if np.abs(c.numeric).max(initial=0.0) > c.noise:
        return None
    straight = c.w is not None and c.w.shape == c.analytic.shape and np.array_equal(c.analytic, c.w)
    yours = (
        "yours is the incoming gradient g itself (a straight-through gradient)"
        if straight
        else "yours is that of another function (as in a straight-through gradient)"
    )
    return (
        "the function is flat here: it does not change when the input moves a little, so the right "
        f"gradient is 0, but {yours}" + see("Why has argmax no gradient?")
    )


def ignores_upstream(c):
    if c.upstream is None:
        return None
    doubled, scale = c.upstream(2 * c.w), np.abs(c.analytic).max()
    if np.abs(doubled - c.analytic).max() <= 1e-12 * scale:
        return "your backward does not multiply by g: it returns the same for g and 2 g"
    negated = c.upstream(-c.w)
    nonlinear = (
        np.abs(doubled - 2 * c.analytic).max() > 1e-9 * scale
        or np.abs(negated + c.analytic).max() > 1e-9 * scale
    )
    return "your gradient is not linear in the incoming gradient g" if nonlinear else None


def factor(c):
    """A = c N."""
    square = np.vdot(c.numeric, c.numeric)
    if square == 0:
        return None
    a = float(np.vdot(c.analytic, c.numeric) / square)
    if not c.near(c.analytic / a if a else c.analytic, c.numeric):
        return None
    if abs(a + 1) <= 3 * c.rtol:
        return "your gradient has the wrong sign"
    return f"your gradient is {number(a)} times the right one{_meaning(c, a)}"


def number(a):
    """2.0, 0.3333, 1.001: a factor with enough digits to differ from 1."""
    rounded = f"{a:.4g}" if abs(a - 1) >= 1e-3 else f"{a:.7g}"
    return rounded if any(mark in rounded for mark in ".en") else rounded + ".0"


def _meaning(c, a):
    """Where a factor could come from: the length of an axis, or the number of elements."""
    shapes = [("the input", c.numeric.shape)]
    if c.y is not None:
        shapes.append(("the output", c.y.shape))
    for what, shape in shapes:
        lengths = [(f"the length of axis {k} of {what}", n) for k, n in enumerate(shape)]
        for name, n in [*lengths, (f"the number of elements of {what}", math.prod(shape))]:
            if n > 2 and math.isclose(a, n, rel_tol=1e-5):
                return f", and {n} is {name}: looks like a mean without its 1/N"
            if n > 2 and math.isclose(a, 1 / n, rel_tol=1e-5):
                return f", and that is 1 / {name}: looks like a mean in place of a sum"
    return ""


def transposed(c):
    """The right values with their axes in another order."""
    axes = range(c.numeric.ndim)
    if not 2 <= c.numeric.ndim <= 4:
        return None
    for order in itertools.permutations(axes):
        moved = c.numeric.transpose(order)
        if list(order) == list(axes):
            continue
        if c.near(c.analytic, moved):
            swapped = [k for k in axes if order[k] != k]
            if c.numeric.ndim == 2:
                return f"your gradient is the transpose of the right one{_TRANSPOSE}"
            if len(swapped) == 2:
                return f"your gradient has axes {swapped[0]} and {swapped[1]} exchanged"
            return "your gradient has its axes in the wrong order"
        if c.near(c.analytic.ravel(), moved.ravel()):
            return (
                "your gradient has the right values in the order of a transposed array: looks like "
                "a reshape in place of a transpose"
            )
    return None


def misplaced(c):
    """The right values, but reversed or shifted along an axis, or in the wrong places."""
    if c.numeric.size < 3 or c.near(c.numeric, np.broadcast_to(c.numeric.mean(), c.numeric.shape)):
        return None
    for axis in range(c.numeric.ndim):
        if c.numeric.shape[axis] < 2:
            continue
        if c.near(c.analytic, np.flip(c.numeric, axis)):
            return f"your gradient is the right one reversed along axis {axis}"
        for shift in (1, -1):
            if c.near(c.analytic, np.roll(c.numeric, shift, axis)):
                return f"your gradient is the right one shifted by {shift} along axis {axis}"
    if c.near(np.sort(c.analytic, axis=None), np.sort(c.numeric, axis=None)):
        return "your gradient has the right values in the wrong places"
    return None


def exchanged(c):
    for name, other in c.others.items():
        if other.shape == c.analytic.shape and c.near(c.analytic, other):
            return f"your gradient is the one that belongs to {name}"
    return None


def product_with_transpose(c):
    """A = G W where N = G W^T, or similar: with square matrices the shapes do not show it."""
    if c.w is None or c.w.ndim < 2:
        return None
    for name, other in c.inputs.items():
        if other.ndim < 2 or other.shape[-1] != other.shape[-2]:
            continue
        sides = {"g": c.w, "W": other}
        for (first, a), (second, b) in itertools.permutations(sides.items()):
            written = {
                f"{first}{'.T' * turn_a} @ {second}{'.T' * turn_b}": _product(
                    _turned(a) if turn_a else a, _turned(b) if turn_b else b
                )
                for turn_a, turn_b in itertools.product((False, True), repeat=2)
            }
            right, yours = (
                [text for text, p in written.items() if p is not None and c.near(p, gradient)]
                for gradient in (c.numeric, c.analytic)
            )
            if right and yours:
                return (
                    f"looks like a missing or extra transpose: yours is {yours[0]}, the right one "
                    f"is {right[0]}, where g is the incoming gradient, W is {name} and .T swaps "
                    f"the last two axes; the shapes fit only because W is square{_TRANSPOSE}"
                )
    return None


def _turned(a):
    return np.swapaxes(a, -1, -2)


def _product(a, b):
    return a @ b if a.shape[-1] == b.shape[-2] and a.shape[:-2] == b.shape[:-2] else None


def reductions(c):
    """An extra sum or mean over an axis, or a missing one."""
    for axis, n in enumerate(c.numeric.shape):
        if n < 2:
            continue
        for name, reduce in (("sum", np.sum), ("mean", np.mean)):
            of_right = np.broadcast_to(reduce(c.numeric, axis, keepdims=True), c.numeric.shape)
            if c.near(c.analytic, of_right):
                return f"looks like an extra {name} over axis {axis}"
            of_yours = np.broadcast_to(reduce(c.analytic, axis, keepdims=True), c.numeric.shape)
            if np.any(c.numeric) and c.near(of_yours, c.numeric):
                return f"looks like the {name} over axis {axis} is missing{_BROADCAST}"
    return None


def one_slice_of_upstream(c):
    """Only one row of the incoming gradient is used: the sum over the rows is missing."""
    if c.upstream is None or c.w is None:
        return None
    for axis, n in enumerate(c.w.shape):
        for k in range(min(n, 16) if n > 1 else 0):
            only = np.zeros_like(c.w)
            here = (slice(None),) * axis + (k,)
            only[here] = c.w[here]
            if np.abs(c.upstream(only) - c.analytic).max() <= 1e-12 * np.abs(c.analytic).max():
                return (
                    f"only index {k} of the output's axis {axis} counts: looks like the sum over "
                    f"axis {axis} is missing{_BROADCAST}"
                )
    return None


def times_input(c):
    """A missing or an extra factor x or y."""
    for name, v in (("the input", c.x), ("the output", c.y)):
        if v is None or v.shape != c.numeric.shape or v.size < 2:
            continue
        if c.near(c.analytic * v, c.numeric):
            return f"a factor is missing: the right gradient is yours times {name}"
        if c.near(c.numeric * v, c.analytic):
            return f"there is an extra factor: your gradient is the right one times {name}"
    return None


def one_place(c):
    """A single element or a single slice is wrong."""
    wrong = c.wrong
    if wrong.sum() == 1 and wrong.size > 2:
        where = tuple(map(int, np.argwhere(wrong)[0]))
        return f"only element {where} is wrong"
    for axis, n in enumerate(wrong.shape):
        rows = np.flatnonzero(wrong.any(axis=tuple(k for k in range(wrong.ndim) if k != axis)))
        if len(rows) == 1 and n > 2:
            return f"only index {int(rows[0])} of axis {axis} is wrong"
    return None


def one_sign(c):
    """Wrong exactly where the input has one sign."""
    if c.x is None or c.x.shape != c.numeric.shape:
        return None
    for name, side in (("positive", c.x > 0), ("negative", c.x < 0)):
        if 2 <= side.sum() <= side.size - 2 and np.array_equal(c.wrong, side):
            return f"your gradient is wrong exactly where the input is {name}"
    return None


def where_flat(c):
    """Wrong exactly at the elements that do not change the function."""
    still = np.abs(c.numeric) <= c.noise
    if still.all() or still.sum() < 2 or not np.array_equal(c.wrong, still):
        return None
    return "your gradient is wrong exactly where the function is flat: it should be 0 there"


def along_vectors(c):
    """N - A lies along the ones vector, along x, or along both, in every row of an axis."""
    d = c.difference
    for axis in reversed(range(d.ndim)):
        n = d.shape[axis]
        rows = np.moveaxis(d, axis, -1).reshape(-1, n)
        bases = {"the ones vector": [np.ones_like(rows)]}
        if c.x is not None and c.x.shape == d.shape:
            along_x = np.moveaxis(c.x, axis, -1).reshape(-1, n)
            bases["the input"] = [along_x]
            bases["the input and one along the ones vector"] = [along_x, np.ones_like(rows)]
        if c.y is not None and c.y.shape == d.shape:
            bases["the output"] = [np.moveaxis(c.y, axis, -1).reshape(-1, n)]
        for name, basis in bases.items():
            if n < len(basis) + 2:
                continue  # so few numbers would fit by chance
            if all(_in_span(c, rows[k], [b[k] for b in basis]) for k in range(len(rows))):
                term = "a term" if len(basis) == 1 else "two terms: one"
                verb = "is" if len(basis) == 1 else "are"
                return f"looks like {term} along {name} (over axis {axis}) {verb} missing"
    return None


def _in_span(c, row, basis):
    matrix = np.stack(basis, axis=1)
    fit = matrix @ np.linalg.lstsq(matrix, row, rcond=None)[0]
    return c.near(fit, row)


def second_order(c):
    """Asked last, and only about second derivatives; always true, since the first order passed."""
    return (
        "the first order is right and the second is wrong: looks like a stale cache, a value that "
        "depends on the inputs but is a constant to the second derivative"
        + see("How does double backward work?")
    )


QUESTIONS = (
    not_finite,
    zero,
    flat,
    ignores_upstream,
    factor,
    transposed,
    misplaced,
    exchanged,
    product_with_transpose,
    one_slice_of_upstream,
    reductions,
    times_input,
    one_place,
    one_sign,
    where_flat,
    along_vectors,
)
SECOND_ORDER = (not_finite, zero, factor, transposed, second_order)
