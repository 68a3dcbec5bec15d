"""Proof: what a gradient claims about the loss, measured on the loss itself.

A gradient's element says by how much the loss changes per change of one number. So that number is
moved a little, up and down, and the loss is computed again both times (``replay.py``), in float64:

    D(h) = (L(x + h) - L(x - h)) / 2h

It is compared with what the engine's backward gave, for a few elements of every tensor that has a
gradient: leaves, and tensors that were computed on the way.

    |g - D| <= rtol max|g|  +  10 eps |L| / h  +  10 r

The first term is relative to the largest entry of the tensor. rtol is a hundred roundings of the
type that the gradient was computed in, 1e-5 for float32, and 1e-6 at least, for the error of the
formula. The second is the rounding of the loss, divided by the step, as in
``autograd/testing``. The third is needed where terms cancel: r is how far the gradient moves when
every number on the way is nudged by one rounding (``engine_gradients``). A key's bias in attention
has the gradient 0, of which backward computes 1e-9.

The curve of one element shows why the step and the type are what they are: D(h) is wrong by
h^2 L'''/6 for a large h, and by the rounding of L over h for a small one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd.debug.explorer.replay import CannotReplayError, Replay, engine_gradients
from autograd.debug.explorer.tape import Tape, Value
from autograd.debug.explorer.values import is_ours
from autograd.debug.flops import flops

RTOL = 1e-6
"""The accepted error relative to the largest entry, if it is more than a hundred roundings."""
EPS = float(np.finfo(np.float64).eps)
STEPS = 10.0 ** (-np.arange(2, 25) / 2)
"""Of a curve in the page: 1e-1 to 1e-12, two for each power of ten."""
FINE_STEPS = 10.0 ** (-np.arange(4, 57) / 4)
"""Of a curve that was asked for: 1e-1 to 1e-14, four for each power of ten."""
VERDICTS = ("agrees", "both are 0", "kink", "differs", "not measured")
LARGE = 20_000_000
"""Numbers on a tape beyond which the nudges, three more passes, are left until they are needed."""
TRIED = (1e-4, 1e-5, 1e-6, 1e-3, 1e-2)


@dataclass(frozen=True)
class Check:
    """One element's gradient against the measurement; the names are those of the docstring above.

    ``gradient`` is the tape's own, ``exact`` what the engine computes in float64. ``noise`` and
    ``rounding`` are the second and the third term of ``tolerance``.
    """

    tensor: int
    element: int
    x: float
    gradient: float
    exact: float
    difference: float
    step: float
    noise: float
    rounding: float
    tolerance: float
    verdict: str


@dataclass(frozen=True)
class Curve:
    """D(h) of one element for each of ``steps``, with the loss computed in either type."""

    tensor: int
    element: int
    x: float
    exact: float
    steps: np.ndarray
    slopes32: np.ndarray
    slopes64: np.ndarray


class Prover:
    """Measures the gradients on a tape. Made once for a tape; each question then is cheap."""

    def __init__(self, tape: Tape, nudges: int = 3) -> None:
        self._large = sum(math.prod(v.shape) for v in tape.values) > LARGE
        self.tape = tape
        self.double = Replay(tape, np.float64)
        self.loss = self.double.loss
        self.exact = engine_gradients(self.double)
        self._nudges = nudges
        self._rounding: list[Any] | None = None
        self._single: Replay | None = None
        costs = [_cost(call) for call in tape.calls]
        self._cost_from = [*np.cumsum(costs[::-1])[::-1].tolist(), 0.0]  # of a call and all later
        self._largest: dict[int, tuple[int, float]] = {}

    @property
    def single(self) -> Replay:
        """The replay in float32, for the curves."""
        if self._single is None:
            self._single = Replay(self.tape, np.float32)
        return self._single

    def refusal(self, index: int) -> str:
        """Why nothing can be measured for value ``index``; "" if it can."""
        value = self.tape.values[index]
        if value.dtype.kind != "f":
            return f"{value.key} holds {value.dtype}, and only floating-point numbers can be moved"
        if value.gradient is None:
            return f"{value.key} has no gradient"
        if math.prod(value.shape) == 0:
            return f"{value.key} has no elements"
        refusal = self.double.refusal(index)
        if not refusal and not math.isfinite(self.loss):
            return "the loss is not finite, so differences of it say nothing"
        return refusal

    def cost(self, index: int) -> float:
        """About how many nanoseconds the loss takes, as a function of value ``index``, at most."""
        start = self.double.first_use.get(index, len(self.tape.calls))
        return 1e4 + math.prod(self.tape.values[index].shape) / 4 + self._cost_from[start]

    def check(self, index: int, elements: Iterable[int]) -> list[Check]:
        """One Check for each of ``elements``, flat indices into value ``index``.

        Raises CannotReplayError with the ``refusal``, and IndexError for a wrong element.
        """
        self._refuse(index, elements := list(elements))
        value = self.tape.values[index]
        gradient = np.asarray(value.gradient)
        line = _Line(self.double, index)
        if self._large:
            nothing = np.broadcast_to(0.0, gradient.shape)
            found = [self._check(line, k, gradient, nothing) for k in elements]
            if not any(c.verdict in ("differs", "not measured") for c in found):
                return found
        rounding = 10 * self.rounding(index)
        return [self._check(line, k, gradient, rounding) for k in elements]

    def curve(self, index: int, element: int, steps: np.ndarray = STEPS) -> Curve:
        """The Curve of one element. Raises as ``check`` does."""
        self._refuse(index, [element])
        slopes = []
        for run in (self.single, self.double):
            line = _Line(run, index)
            slopes.append(np.array([line.slope(element, float(h)) for h in steps]))
        exact = self.exact[index]
        return Curve(
            index,
            element,
            float(self.double.arrays[index].flat[element]),
            math.nan if exact is None else float(exact.flat[element]),
            np.asarray(steps),
            *slopes,
        )

    def rounding(self, index: int) -> np.ndarray:
        """How far one rounding on the way moves each element of the gradient of value ``index``.

        A few trials show the size of that for an element, but one may be small by chance. So it is
        that of the median element at least.
        """
        if self._rounding is None:
            self._rounding = self._measure_rounding()
        moved = self._rounding[index]
        return np.maximum(moved, np.median(moved)) if moved.size else moved

    def _largest_slope(self, line, gradient):
        """(where the gradient is largest, D there). A wrong gradient may be too large: D is not."""
        if line.index not in self._largest:
            k = largest_element(gradient)
            self._largest[line.index] = k, line.slope(k, line.steps(k)[0])
        return self._largest[line.index]

    def _measure_rounding(self):
        moved = [np.zeros(v.shape, np.float32) for v in self.tape.values]
        types = [
            v.dtype for v in self.tape.values if v.dtype.kind == "f" and v.gradient is not None
        ]
        eps = max((float(np.finfo(t).eps) for t in types), default=0.0)
        for n in range(self._nudges):
            rng = np.random.default_rng([n, 29])
            for i, g in enumerate(engine_gradients(self.double, rng, eps)):
                if g is not None and self.exact[i] is not None:
                    with np.errstate(all="ignore"):  # where it is not finite, nothing is known
                        away = np.abs(g - self.exact[i])
                    moved[i] = np.fmax(moved[i], np.where(np.isfinite(away), away, 0))
        return moved

    def _refuse(self, index, elements):
        if refusal := self.refusal(index):
            raise CannotReplayError(refusal)
        size = math.prod(self.tape.values[index].shape)
        for k in elements:
            if not 0 <= k < size:
                key = self.tape.values[index].key
                raise IndexError(f"{key} has {size} elements, and no element {k}")

    def _check(self, line, k, gradients, roundings):
        gradient, rounding = float(gradients.flat[k]), float(roundings.flat[k])
        exact = self.exact[line.index]
        exact = math.nan if exact is None else float(exact.flat[k])
        largest, first = self._largest_slope(line, gradients)
        size = abs(float(gradients.flat[largest]))
        size = min(size, abs(first)) if math.isfinite(first) else size
        allowed = rtol_of(gradients.dtype) * size + rounding
        tried = []
        for h in line.steps(k):
            known = k == largest and h == line.steps(k)[0]
            slope = first if known else line.slope(k, h)
            noise = 10 * EPS * abs(self.loss) / h
            if math.isfinite(slope):
                tried.append((h, slope, noise))
                if abs(gradient - slope) <= allowed + noise:
                    break
        h, slope, noise = tried[-1] if tried else (line.steps(k)[0], math.nan, math.nan)
        tolerance = allowed + noise
        gap = abs(gradient - slope)
        if tried and not math.isfinite(gradient):
            verdict = "differs"
        elif gap <= tolerance:
            nothing = abs(slope) <= tolerance and abs(gradient) <= tolerance
            verdict = "both are 0" if nothing else "agrees"
        else:
            h, slope, noise, verdict = self._disagreement(line, k, gradient, allowed, tried)
        return Check(
            line.index, k, float(line.x.flat[k]), gradient, exact, slope, h, noise, rounding,
            allowed + noise, verdict,
        )  # fmt: skip

    def _disagreement(self, line, k, gradient, allowed, tried):
        """(h, D(h), its noise, verdict) where no step agrees with the gradient."""
        if not tried:
            return line.steps(k)[0], math.nan, math.nan, "not measured"
        tried = sorted(tried, key=lambda step: step[2])  # the least noise first: the largest step
        sides = [line.sides(k, h) for h in line.steps(k)[:3]]
        bends = [right - left for right, left in sides]
        noise = 10 * EPS * abs(self.loss) / line.steps(k)[2]
        # where the function is smooth, the bend shrinks with the step: here by 100
        if abs(bends[2]) > max(0.5 * abs(bends[0]), 4 * noise, 1e-3 * abs(sides[2][0])):
            low, high = sorted(sides[2])
            inside = low - allowed - noise <= gradient <= high + allowed + noise
            slope = (low + high) / 2
            return line.steps(k)[2], slope, noise, "kink" if inside else "differs"
        for (h, slope, noise), (_, other, also) in zip(tried, tried[1:], strict=False):
            gap = abs(gradient - slope)
            if abs(slope - other) <= 0.2 * gap + noise + also and noise < 0.5 * gap:
                return h, slope, noise, "differs"
        return *tried[0], "not measured"


class _Line:
    """The loss as one element of a value moves."""

    def __init__(self, run, index):
        self.run, self.index = run, index
        self.x = run.arrays[index]
        self._moved = np.array(self.x, order="C")  # its own: one element of it is changed at a time
        self._here = run.loss
        finite = _finite(self.x)
        self._scale = (
            float(np.sqrt(np.mean(finite.astype(np.float64) ** 2))) if finite.size else 0.0
        )

    def at(self, k, x):
        """The loss with ``x`` as element ``k``."""
        was = self._moved.flat[k]
        self._moved.flat[k] = x
        try:
            return self.run.loss_at(self.index, self._moved)
        except CannotReplayError:  # an operation that refuses the number, or in this type
            return math.nan
        finally:
            self._moved.flat[k] = was

    def slope(self, k, h):
        """D(h)."""
        x = self.x.flat[k]
        h_here = self.x.dtype.type(h)
        return (self.at(k, x + h_here) - self.at(k, x - h_here)) / (2 * h)

    def sides(self, k, h):
        """The slope to the right of the element, and that to the left."""
        x = self.x.flat[k]
        return (self.at(k, x + h) - self._here) / h, (self._here - self.at(k, x - h)) / h

    def steps(self, k):
        """Steps to try: in proportion to the tensor's size, then to that of the element."""
        own = abs(float(self.x.flat[k]))
        scale = max(own, self._scale) if math.isfinite(own) else 0.0
        scale = scale or 1.0
        steps = [t * scale for t in TRIED]
        return steps + [t * own for t in TRIED[:3]] if 0 < own < 0.01 * scale else steps


def _cost(call):
    shapes = [a.shape if isinstance(a, Value) else () for a in call.args]
    try:
        work = flops(call.op, shapes, call.out.shape)
    except Exception:
        if is_ours(type(call.op)):
            raise
        work = math.prod(call.out.shape)  # of the user's, and unlike what its name says
    return 25_000 + work / 10 + sum(math.prod(s) for s in shapes) / 4


def rtol_of(dtype: np.dtype) -> float:
    """The accepted error of a gradient of this type, relative to its largest entry."""
    return max(RTOL, 100 * float(np.finfo(dtype).eps))


def largest_element(gradient: np.ndarray) -> int:
    """The flat index of the largest finite entry."""
    size = np.abs(gradient.reshape(-1))
    return int(np.argmax(np.where(np.isfinite(size), size, -1)))


def _finite(array):
    return array[np.isfinite(array)]
