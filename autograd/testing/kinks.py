"""Points where a function has no derivative, found by measuring both sides.

A smooth function has one slope: the slopes to the right and to the left of a point,

    (L(x + h) - L(x)) / h     and     (L(x) - L(x - h)) / h,

differ by h L''(x), which vanishes with h. Where they do not approach each other as h shrinks there
is a kink (abs at 0, a tie in max); where their difference grows as 1/h the function jumps (sign at
0), and where it grows more slowly the slope is unbounded (sqrt of |x| at 0). At such a point no
gradient is right, so none is called wrong: the point is reported, with both slopes.

L has random weights. The slopes in the report are those of a single output, the one that bends
most, and at the second order those of one element of that output's gradient.
"""

from dataclasses import dataclass

import numpy as np

from autograd.testing.differences import EPS, FirstOrder, Line


@dataclass
class Kink:
    """A point where the function is not differentiable along one element of one input."""

    order: int
    input: str
    where: tuple[int, ...]
    kind: str
    """kink, jump, unbounded or edge (of the domain)."""
    left: float
    right: float
    analytic: float
    """The gradient that backward returns there."""
    step: float = 0.0
    """The step to each side with which the slopes were measured."""
    output: str = ""
    """The output that the slopes belong to, if there are several."""

    @property
    def accepted(self):
        """Whether backward's value is acceptable: between the slopes, if they exist."""
        if self.kind != "kink":
            return not np.isnan(self.analytic)
        low, high = sorted((self.left, self.right))
        slack = 1e-4 * (abs(low) + abs(high))
        return bool(low - slack <= self.analytic <= high + slack)

    def __str__(self):
        f = "f" if self.order == 1 else "the gradient of f"
        text = f"{f} is not differentiable at {self.input}, element {self.where}: "
        if self.kind == "edge":
            text = f"{f} cannot be measured at {self.input}, element {self.where}: "
        at = f"{self.left:.2g} and {self.right:.2g} at a step of {self.step:.0e}"
        if self.kind == "kink":
            text += f"slope {self.left:.6g} on the left, {self.right:.6g} on the right"
        elif self.kind == "jump":
            text += f"it jumps there: slopes {at}"
        elif self.kind == "unbounded":
            text += f"its slope is unbounded, {at}"
        else:
            side = "left" if not np.isfinite(self.left) else "right"
            text += f"it is NaN or infinite just {side} of this point, the edge of its domain"
        if self.output:
            text += f" (of {self.output})"
        text += f"; backward says {self.analytic:.6g}"
        return (
            text if self.accepted or self.kind != "kink" else f"{text}, which is not between them"
        )


def look_closer(line, slope, name, where, gradient):
    """The Kink at t = 0 of a Line, or None if its two slopes approach each other.

    ``slope`` is the measurement there, and ``gradient`` backward's gradient of the line's input.
    """
    if slope.verdict == "edge":
        steps = (1e-5, 1e-6, 1e-7)
    elif len(slope.bends) > 3:
        middle = np.sqrt(slope.bends[0] * slope.bends[-1])
        steps = (10 * middle, middle, middle / 10)
    else:
        return None
    kind = _kind(line, steps) if slope.verdict == "bends" else "edge"
    if kind is None:
        return None
    line, gradient, output = _alone(line, gradient, steps[1])
    scale = line.d[where]
    h = steps[1] if kind == "kink" else steps[2]
    left, right = ((line.here - line(-h)).sum() / h, (line(h) - line.here).sum() / h)
    return Kink(
        line.function.order,
        name,
        where,
        kind,
        float(left / scale),
        float(right / scale),
        float(gradient[where]),
        float(h * scale),
        output,
    )


def _kind(line, steps):
    """kink, unbounded or jump; None for a function that is smooth, or only rough."""
    ups = np.array([(line(h) - line.here).sum() for h in steps])
    downs = np.array([(line(-h) - line.here).sum() for h in steps])
    if not np.isfinite([ups, downs]).all():
        return None
    apart, together = (np.abs(rise) / steps for rise in (ups + downs, ups - downs))
    grows, steepens = _growth(apart), _growth(together)
    if grows < 0.5 and steepens < 2:
        return None
    slopes, growth = max((apart, grows), (together, steepens), key=lambda pair: pair[1])
    if slopes[1] ** 2 > 1.3 * slopes[0] * slopes[2] or 1.3 * slopes[1] ** 2 < slopes[0] * slopes[2]:
        return None  # no power law: noise
    return "kink" if growth < 3 else "unbounded" if growth < 50 else "jump"


def _growth(slopes):
    """The factor by which slopes grow while the step shrinks to a hundredth."""
    return slopes[-1] / slopes[0] if slopes[0] > 0 else 0.0


def _alone(line, gradient, h):
    """The line and the gradient of the single term that bends most, and the term's name."""
    function, arrays, i = line.function, line.arrays, line.i
    if function.order == 2 and i == len(arrays) - 1:
        return line, gradient, ""  # along w, in which everything is linear
    output = ""
    if function.order == 2 and arrays[-1].size > 1:
        arrays, where = _one_output(line, h)
        output = f"output element {where}"
    line = Line(function, arrays, i, line.d, function.terms(arrays), line.unsteady)
    k = _most_bent(line, h)
    one_hot = np.zeros(line.here.size)
    one_hot[k] = 1.0
    if function.order == 2:
        own = f"its derivative by {_name(function, k)}"
        output = f"{own}, {output}" if output else own
    elif line.here.size > 1:
        where = tuple(map(int, np.unravel_index(k, arrays[-1].shape)))
        output = f"output element {where}"
    function, arrays = function.weighted(arrays, one_hot)
    line = Line(function, arrays, i, line.d, function.terms(arrays), line.unsteady)
    return line, function.gradients(arrays)[i], output


def _bend(line, h):
    """How much each term bends; infinite for a term that has no value on one side."""
    up, down = line(h) - line.here, line(-h) - line.here
    bend = np.maximum(np.abs(up + down), 1e-3 * np.abs(up - down))
    return np.where(np.isfinite(bend), bend, np.inf)


def _most_bent(line, h):
    return int(np.argmax(_bend(line, h)))


def _one_output(line, h):
    """Arrays whose w selects the output that bends most at the second order, and its index."""
    *inputs, w = line.arrays
    most, place = -1.0, 0
    for k in range(w.size):
        one_hot = np.zeros(w.size)
        one_hot[k] = 1.0
        arrays = FirstOrder.weighted(line.function, [*inputs, w], one_hot)[1]
        here = line.function.terms(arrays)
        bend = _bend(Line(line.function, arrays, line.i, line.d, here, line.unsteady), h).max(
            initial=0.0
        )
        if bend > most + 1e3 * EPS * np.abs(here).max(initial=0.0):
            most, place, best = bend, k, arrays
    return best, tuple(map(int, np.unravel_index(place, w.shape)))


def _name(function, k):
    """ "input 0, element (1,)" for the k-th term of the second order."""
    for i, v in zip(function.inputs, function.v, strict=True):
        if k < v.size:
            where = tuple(map(int, np.unravel_index(k, v.shape)))
            return f"input {i}, element {where}"
        k -= v.size
    raise IndexError(k)
