"""Which step to measure with: the slope of a line, and whether backward's agrees with it.

A step that is too large sees the function's curvature, or a pole, or the next kink; one that is too
small sees rounding. What is too large depends on the function: log changes over the size of its
input, sin over 1 whatever its input is. So steps t are tried, relative to the element's own size
(1e-3), to 1 and to the largest element of the input, and then a ladder of them, until one answers:

right       backward agrees with a step whose noise is small beside the slope
zero        neither backward nor any step sees more than noise, of no consequence
still       nothing moved, and what backward says is too little for the function to show
wrong       it disagrees with two steps that agree with each other: a large one, which measures
            well, and the smallest one that can still see the difference
bends       no step, however small, finds one slope: autograd/testing/kinks.py looks closer
edge        the function has values on one side only, and its slope there could not be measured
unmeasured  noise or rounding covers the slope at every step

A right gradient usually needs one step, a wrong one two.
"""

from dataclasses import dataclass

import numpy as np

from autograd.testing.differences import EPS, central, one_sided

FIRST = 1e-3
SMALLEST = 1e-14
"""Relative to the element; x + t d does not reach much nearer to x."""


@dataclass
class Slope:
    """A measured derivative along a line, and what it says of backward's."""

    verdict: str
    value: float
    said: float
    """Backward's."""
    error: float
    """|said - value|."""
    tolerance: float
    noise: float
    bends: tuple[float, ...] = ()
    """Steps at which the function bent."""


def measure(line, gradient, rtol, size):
    """The Slope of ``line`` beside what ``gradient`` says about it.

    ``size`` is that of the terms which the function is summed from.
    """
    tried = []
    guesses = _guesses(line)
    for t in guesses:
        if answer := _answer(line, gradient, rtol, tried, t, far=t >= FIRST * max(guesses)):
            return answer
    largest = max(size, *(s.size for s in tried if s.finite), 0.0)
    most = FIRST / max(guesses) * 10 * EPS * largest  # what backward may say where nothing is seen
    for s in tried:
        if abs(s.expected) <= most and _is_zero(s, tried, size):
            return _slope("zero", s, rtol)
    limit = 100 * max(guesses)  # beyond it only agreement counts: of a function that is straight
    for t in _ladder(guesses):
        if _is_new(t, tried) and not _is_hopeless(t, tried):
            answer = _answer(line, gradient, rtol, tried, t, far=True)
            if answer and (t <= limit or answer.verdict == "right"):
                return answer
    tried = [s for s in tried if s.t <= limit]
    return _left_over(line, gradient, rtol, tried, size, guesses, most)


def _guesses(line):
    reach = np.abs(line.d).max(initial=0.0) or 1.0
    size = np.abs(line.x)
    largest = size[np.isfinite(size)].max(initial=0.0) or 1.0
    found = [FIRST]
    for t in sorted((FIRST * largest / reach, FIRST / reach)):
        if t > 30 * found[-1] or (t < found[0] / 30 and len(found) == 1):
            found.append(t)
    return found


def _ladder(guesses):
    """A step for every factor of ten; no round numbers, since f may be periodic.

    Down from the largest that most functions bear, then up, for those that are straight but large.
    """
    low, high = np.log10(SMALLEST), np.log10(70 * max(guesses))
    return [10.0**k for k in (*np.arange(high, low, -1), *np.arange(high + 1, high + 8))]


def _is_new(t, tried):
    return all(abs(np.log(t / s.t)) > 1 for s in tried)


def _is_hopeless(t, tried):
    """Whether rounding would cover everything that was seen so far."""
    seen = [s for s in tried if s.finite]
    if not seen:
        return False
    least = min(seen, key=lambda s: s.noise)
    said = abs(least.expected) if np.isfinite(least.expected) else 0.0
    noise = max(s.noise * s.t for s in seen) / t
    return noise > 0.1 * max(said, abs(least.slope), *(s.bend for s in seen))


def _is_zero(s, tried, size):
    """Whether one step sees nothing but noise, of no consequence, where backward sees no more.

    A shift of all inputs, which softmax does not notice. Noise is of no consequence beside the
    function's own size, or beside what larger steps see of it.
    """
    if not s.finite or s.bend or max(s.gap, abs(s.slope)) > s.noise:
        return False
    larger = [(max(abs(o.slope), o.bend), o.noise) for o in tried if o.finite and o.t > s.t]
    seen = max((slope for slope, noise in larger if slope > 10 * noise), default=None)
    return s.noise <= (1e-9 * max(size, s.size) if seen is None else 0.1 * seen)


def _slope(verdict, s, rtol, tolerance=0.0):
    tolerance = max(rtol * abs(s.slope) + s.noise, tolerance)
    return Slope(verdict, s.slope, s.expected, s.gap, tolerance, s.noise)


def _answer(line, gradient, rtol, tried, t, far):
    """What one more step says, or None. ``far``: it is large enough to see a slope of zero."""
    s = central(line, gradient, t)
    tried.append(s)
    if not s.finite or s.bend or _is_too_fine(s, tried):
        return None
    resolved = s.noise <= 10 * max(rtol, 1e-10) * abs(s.slope)
    if resolved or (far and s.size == 0 and s.slope == 0 == s.gap):
        if s.gap <= rtol * abs(s.slope) + s.noise:
            return _slope("right", s, rtol)
    if s.smooth and s.gap > rtol * abs(s.slope) + s.noise and _is_firm(line, gradient, s, tried):
        return _slope("wrong", s, rtol)
    return None


def _is_too_fine(s, tried):
    """Whether f itself rounds so small a step away, as 1 + x does where x is 1e-12."""
    if not s.still.all() or not s.expected:
        return False
    larger = (o for o in tried if o.finite and o.t > s.t)
    return any(0.3 < o.slope / s.expected < 3 for o in larger)


def _is_firm(line, gradient, s, tried):
    """Whether small steps that can just see the disagreement say the same.

    Three are asked, since more noise than was reckoned with may spoil the smallest; but none may
    speak for backward. Where two see something else, the steps in between are asked.
    """
    smallest = SMALLEST
    if np.isfinite(s.gap):
        smallest = max(10 * s.noise * s.t / s.gap, smallest)  # its noise is a tenth of the gap
    others = 0
    for t in (smallest, 10 * smallest, max(100 * smallest, 1e-4 * s.t)):
        if t > s.t / 10:
            return False
        second = central(line, gradient, t)
        tried.append(second)
        if not second.finite or second.gap < 0.5 * s.gap:
            return False
        allowed = min(1e-3 * abs(s.slope), 0.3 * s.gap) + 2 * (s.noise + second.noise)
        if second.smooth and abs(second.slope - s.slope) <= allowed:
            return not _is_swallowed(line, gradient, s)
        others += 1
        unlike = abs(second.slope - s.slope) > 0.5 * s.gap + 3 * second.noise
        if others == 2 and (unlike or not second.smooth):
            break
    return _lasts(line, gradient, s, smallest) and not _is_swallowed(line, gradient, s)


def _lasts(line, gradient, s, smallest):
    """Whether steps of a tenth and a hundredth say what ``s`` does, and no step what backward does.

    f may round within: log(1 + x^2) at 1e-3 knows x^2 to 1e-10 of itself, and stands still at small
    steps. Then they are no witnesses for the large ones, but none against them either. If that
    rounding is all that ``s`` sees of a gap, a larger step sees less of it.
    """
    if central(line, gradient, 10 * s.t).gap < 0.5 * s.gap:
        return False
    allowed = min(1e-2 * abs(s.slope), 0.3 * s.gap)
    ladder = s.t * 10.0 ** -np.arange(1, 1 + np.log10(s.t / smallest))
    for k, t in enumerate(ladder):
        smaller = central(line, gradient, t)
        if not smaller.finite or smaller.gap < 0.5 * s.gap:
            return False
        if k < 2 and abs(smaller.slope - s.slope) > allowed:
            return False
    return len(ladder) >= 2


def _is_swallowed(line, gradient, s):
    """Whether terms too large to show the change that backward expects of them stood still.

    1e20 + x does not move with x. But what is expected of them must be asked: the other outputs of
    an elementwise function stand still too, and backward says so.
    """
    size = (np.abs(line.here) + line.unsteady / EPS)[s.still].sum()
    if not np.isfinite(s.gap) or EPS * size / s.t < 0.1 * s.gap:
        return False
    function, arrays = line.function, line.arrays
    function, arrays = function.weighted(arrays, function.weights(arrays) * s.still)
    said = _expected(function, arrays, line)
    if said * s.t > 100 * EPS * size:
        return False
    if said > 0.1 * s.gap:
        return True
    # It may be 0 for cancelling here. If they are connected at all, they are where no input is tiny
    even = [np.sign(a) * np.abs(a) ** 0.1 if a.dtype.kind == "f" else a for a in arrays]
    return s.gap <= 10 * EPS * size and _expected(function, even, line) > 0


def _expected(function, arrays, line):
    try:
        said = abs(np.vdot(function.gradients(arrays)[line.i], line.d))
    except (ValueError, ArithmeticError):  # outside its domain
        return 0.0
    return said if np.isfinite(said) else 0.0


def _left_over(line, gradient, rtol, tried, size, guesses, most):
    """What can be said where no step was good enough by itself: all of them together.

    ``most`` is the slope that backward may name where the function shows none.
    """
    finite = [s for s in tried if s.finite and not _is_too_fine(s, tried)]
    if not finite:
        return _from_one_side(line, gradient, rtol)
    largest = max(finite, key=lambda s: s.t)
    nothing = Slope(
        "unmeasured", largest.slope, largest.expected, largest.gap, np.inf, largest.noise
    )
    moved = max(s.size for s in finite)  # now that it is known which terms move
    bends = tuple(sorted(s.t for s in finite if s.bend > 1000 * EPS * moved / s.t))
    least = 0.005 * min((s.bend for s in finite if s.t in bends), default=0.0)
    below = [s for s in finite if bends and s.t < bends[0] and s.noise < least]
    if bends and not any(s.smooth for s in below):
        nothing.verdict, nothing.bends = "bends", bends
        return nothing
    floor = 1e4 * EPS * size
    if size and all(abs(s.slope) <= floor / s.t for s in finite):  # the function stands still
        s = max((s for s in finite if s.t <= max(guesses)), key=lambda s: s.t, default=largest)
        if s.gap and not line.moved.any() and _is_swallowed(line, gradient, s):
            return _slope("still", s, rtol, floor / s.t)
        if s.gap > floor / s.t:
            return _slope("wrong", s, rtol, floor / s.t)
        return _slope("zero", s, rtol, floor / s.t) if abs(s.expected) <= most else nothing
    smallest = min(finite, key=lambda s: s.t)
    vanishes = abs(smallest.slope) <= 1e-3 * abs(largest.slope) and abs(smallest.expected) <= most
    if vanishes and smallest.gap <= 2 * abs(smallest.slope):
        return _slope("zero", smallest, rtol, 2 * abs(smallest.slope))  # relu(x)^2 at 0: t / 6
    smooth = sorted((s for s in finite if s.smooth), key=lambda s: s.t)
    errors = [
        (s.noise + abs(s.slope - other.slope), s)
        for s, other in (
            *zip(smooth, smooth[1:], strict=False),
            *zip(smooth[1:], smooth, strict=False),
        )
    ]
    if not errors:
        return nothing
    error, s = min(errors, key=lambda pair: pair[0])
    if s.gap <= rtol * abs(s.slope) + 3 * error:
        return _slope("right", s, rtol, 3 * error) if error <= 1e-5 * abs(s.slope) else nothing
    sure = error <= 0.1 * min(s.gap, abs(s.slope)) and not _is_contradicted(s, finite)
    if sure and not _is_swallowed(line, gradient, s):
        return _slope("wrong", s, rtol, 3 * error)
    return nothing


def _is_contradicted(s, finite):
    """Whether a smaller step sees something else, as at 1e12 x floor(x) differs from x^2."""
    smaller = (o for o in finite if o.t < s.t and o.noise <= 0.5 * s.gap)
    return any(abs(o.slope - s.slope) > 0.5 * s.gap for o in smaller)


def _from_one_side(line, gradient, rtol):
    """At the edge of the domain: the slope on the side where there are values."""
    verdict = "unmeasured"
    for side in (1, -1):
        last = None
        for t in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
            s = one_sided(line, gradient, side * t)
            if not s.finite:
                continue
            verdict = "edge"
            if s.noise <= 1e-5 * abs(s.slope) and s.gap <= rtol * abs(s.slope) + s.noise:
                return _slope("right", s, rtol)
            if last is not None and s.gap > rtol * abs(s.slope) + s.noise:
                allowed = min(1e-3 * abs(s.slope), 0.1 * s.gap) + s.noise + last.noise
                if abs(s.slope - last.slope) <= allowed < 0.5 * s.gap:
                    return _slope("wrong", s, rtol)
            last = s
    return Slope(verdict, np.nan, np.nan, np.nan, np.inf, np.nan)
