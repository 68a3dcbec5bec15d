"""The step to measure with: the slope of a line, and whether backward's slope agrees with it.

A step that is too large sees the function's curvature, a pole, or the next kink; one that is too
small sees rounding. How large is too large depends on the function: log changes over the size of
its input, but sin over 1 for every input. So several steps t are tried, relative to the element's
own size (1e-3), to 1 and to the largest element of the input, and then a ladder of steps, until one
gives a verdict:

right       backward agrees with a step whose noise is small compared with the slope
zero        neither backward nor any step sees more than negligible noise
still       no term changed, and backward's slope is too small to change one
wrong       backward disagrees with two steps that agree with each other: a large one, which
            measures well, and the smallest one that can still see the difference
bends       no step, however small, finds one slope: autograd/testing/kinks.py looks closer
edge        the function has values only on one side, and its slope there could not be measured
unmeasured  noise or rounding hides the slope at every step

A right gradient usually needs one step, a wrong one two.
"""

from dataclasses import dataclass

import numpy as np

from autograd.testing.differences import EPS, central, one_sided

FIRST = 1e-3
SMALLEST = 1e-14
"""The smallest step, relative to the element: x + t d cannot come much nearer to x."""


@dataclass
class Slope:
    """A measured derivative along a line, and the verdict on backward's."""

    verdict: str
    value: float
    analytic: float
    """Backward's derivative along the line."""
    error: float
    """|analytic - value|."""
    tolerance: float
    noise: float
    bends: tuple[float, ...] = ()
    """The steps at which the function bends."""


def measure(line, gradient, rtol, size):
    """The Slope of ``line``, compared with backward's ``gradient``.

    ``size`` is the sum of the sizes of the function's terms.
    """
    tried = []
    guesses = _guesses(line)
    for t in guesses:
        if answer := _answer(line, gradient, rtol, tried, t, far=t >= FIRST * max(guesses)):
            return answer
    largest = max(size, *(s.size for s in tried if s.finite), 0.0)
    most = FIRST / max(guesses) * 10 * EPS * largest  # the largest slope that is too small to see
    for s in tried:
        if abs(s.expected) <= most and _is_zero(s, tried, size):
            return _slope("zero", s, rtol)
    limit = 100 * max(guesses)  # beyond it only agreement counts: the function may be straight
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
    guesses = [FIRST]
    for t in sorted((FIRST * largest / reach, FIRST / reach)):
        if t > 30 * guesses[-1] or (t < guesses[0] / 30 and len(guesses) == 1):
            guesses.append(t)
    return guesses


def _ladder(guesses):
    """A step for every factor of ten, but not a round number, since f may be periodic.

    Down from the largest that suits most functions, then up, for those that are straight but large.
    """
    low, high = np.log10(SMALLEST), np.log10(70 * max(guesses))
    return [10.0**k for k in (*np.arange(high, low, -1), *np.arange(high + 1, high + 8))]


def _is_new(t, tried):
    return all(abs(np.log(t / s.t)) > 1 for s in tried)


def _is_hopeless(t, tried):
    """Whether rounding would hide everything measured so far."""
    seen = [s for s in tried if s.finite]
    if not seen:
        return False
    least = min(seen, key=lambda s: s.noise)
    claimed = abs(least.expected) if np.isfinite(least.expected) else 0.0
    noise = max(s.noise * s.t for s in seen) / t
    return noise > 0.1 * max(claimed, abs(least.slope), *(s.bend for s in seen))


def _is_zero(s, tried, size):
    """Whether neither this step nor backward sees more than negligible noise.

    An example is a shift of all inputs of softmax. Noise is negligible if it is small compared with
    the function's own size, or with the slopes at larger steps.
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
    """The verdict of one more step, or None. ``far``: large enough to see a slope of zero."""
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
    """Whether f itself rounds away so small a step, as 1 + x does if x is 1e-12."""
    if not s.still.all() or not s.expected:
        return False
    larger = (o for o in tried if o.finite and o.t > s.t)
    return any(0.3 < o.slope / s.expected < 3 for o in larger)


def _is_firm(line, gradient, s, tried):
    """Whether small steps, just large enough to see the disagreement, confirm it.

    Up to three are tried, since more noise than estimated may spoil the smallest, but none of them
    may agree with backward. If two see something else, the steps in between decide.
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
    """Whether steps of a tenth and a hundredth of ``s`` confirm it, and none agrees with backward.

    f may round inside: log(1 + x^2) at x = 1e-3 loses all but ten digits of x^2, and does not
    change at small steps. Then small steps neither confirm the large ones nor contradict them. If
    the disagreement of ``s`` is only such rounding, a larger step sees less of it.
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
    """Whether terms did not change because they are too large to show the expected change.

    1e20 + x does not change with x. But backward must expect a change: the other outputs of an
    elementwise function do not change either, and backward agrees.
    """
    size = (np.abs(line.here) + line.unsteady / EPS)[s.still].sum()
    if not np.isfinite(s.gap) or EPS * size / s.t < 0.1 * s.gap:
        return False
    function, arrays = line.function, line.arrays
    function, arrays = function.weighted(arrays, function.weights(arrays) * s.still)
    expected = _expected(function, arrays, line)
    if expected * s.t > 100 * EPS * size:
        return False
    if expected > 0.1 * s.gap:
        return True
    # It may be 0 here by cancellation. Terms that depend on x show it where no input is tiny
    even = [np.sign(a) * np.abs(a) ** 0.1 if a.dtype.kind == "f" else a for a in arrays]
    return s.gap <= 10 * EPS * size and _expected(function, even, line) > 0


def _expected(function, arrays, line):
    """The size of the slope that backward expects of a function along a line."""
    try:
        slope = abs(np.vdot(function.gradients(arrays)[line.i], line.d))
    except (ValueError, ArithmeticError):  # outside its domain
        return 0.0
    return slope if np.isfinite(slope) else 0.0


def _left_over(line, gradient, rtol, tried, size, guesses, most):
    """The verdict of all steps together, if none was good enough by itself.

    ``most`` is the largest slope that is too small to see.
    """
    finite = [s for s in tried if s.finite and not _is_too_fine(s, tried)]
    if not finite:
        return _from_one_side(line, gradient, rtol)
    largest = max(finite, key=lambda s: s.t)
    nothing = Slope(
        "unmeasured", largest.slope, largest.expected, largest.gap, np.inf, largest.noise
    )
    moved = max(s.size for s in finite)  # now it is known which terms change
    bends = tuple(sorted(s.t for s in finite if s.bend > 1000 * EPS * moved / s.t))
    least = 0.005 * min((s.bend for s in finite if s.t in bends), default=0.0)
    below = [s for s in finite if bends and s.t < bends[0] and s.noise < least]
    if bends and not any(s.smooth for s in below):
        nothing.verdict, nothing.bends = "bends", bends
        return nothing
    floor = 1e4 * EPS * size
    if size and all(abs(s.slope) <= floor / s.t for s in finite):  # the function does not change
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
    """Whether a smaller step sees something else, as it does for x floor(x) at 1e12."""
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
