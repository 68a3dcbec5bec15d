"""Points where a function has no derivative, found by measuring both sides.

A smooth function has one slope: the slopes to the right and to the left of a point,

    (L(x + h) - L(x)) / h     and     (L(x) - L(x - h)) / h,

differ by h L''(x), which vanishes with h. Where they do not approach each other as h shrinks there
is a kink (abs at 0, a tie in max); where their difference grows as 1/h the function jumps (sign at
0), and where it grows more slowly the slope is unbounded (sqrt of |x| at 0). At such a point no
gradient is right, so none is called wrong: the point is reported, with both slopes.
"""

from dataclasses import dataclass

import numpy as np

from autograd._differences import EPS

STEPS = (1e-4, 1e-5, 1e-6)


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
    """What backward says there."""

    @property
    def accepted(self):
        """Whether backward's value is a possible one: between the slopes, where they exist."""
        if self.kind != "kink":
            return not np.isnan(self.analytic)
        low, high = sorted((self.left, self.right))
        slack = 1e-4 * (abs(low) + abs(high))
        return bool(low - slack <= self.analytic <= high + slack)

    def __str__(self):
        f = "f" if self.order == 1 else "the gradient of f"
        text = f"{f} is not differentiable at {self.input}, element {self.where}: "
        if self.kind == "kink":
            text += f"slope {self.left:.6g} on the left, {self.right:.6g} on the right"
        elif self.kind == "jump":
            text += (
                f"it jumps there (slopes {self.left:.2g} and {self.right:.2g} at a step of 1e-6)"
            )
        elif self.kind == "unbounded":
            text += (
                f"its slope is unbounded ({self.left:.2g} and {self.right:.2g} at a step of 1e-6)"
            )
        else:
            side = "left" if not np.isfinite(self.left) else "right"
            text += f"it is not finite just to the {side}"
        if self.kind == "kink" and not self.accepted:
            return f"{text}; backward says {self.analytic:.6g}, which is not between them"
        return f"{text}; backward says {self.analytic:.6g}"


def look_closer(line, order, name, where, analytic):
    """The Kink at t = 0 of a Line, or None if its two slopes approach each other."""
    rights = [(line(h) - line.here) / h for h in STEPS]
    lefts = [(line.here - line(-h)) / h for h in STEPS]
    left, right = float(lefts[-1]), float(rights[-1])

    def kink(kind):
        return Kink(order, name, where, kind, left, right, float(analytic))

    if not (np.isfinite(left) and np.isfinite(right)):
        return kink("edge")
    first, last = abs(rights[0] - lefts[0]), abs(right - left)
    if last <= 200 * EPS * line.size / STEPS[-1] or last < 0.5 * first:
        return None
    growth = last / first if first > 0 else np.inf  # over a hundredfold smaller step
    return kink("kink" if growth < 3 else "unbounded" if growth < 50 else "jump")
