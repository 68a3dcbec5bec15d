"""Backward against the measurement: every element and some directions of every input.

The tolerance of each element depends on its own size and on the noise of its own measurement: one
relative to the largest element would hide a small element that is wrong.
"""

import numpy as np

from autograd.testing.diagnosis import Case, diagnose
from autograd.testing.differences import Line, a_hair_away, evenly, scales, unit, unsteady
from autograd.testing.kinks import look_closer
from autograd.testing.report import Check, Diagnosis
from autograd.testing.slopes import Slope, measure

SMALL = 64
"""Inputs with at most this many elements are checked element by element by default."""
LOCATE = 2000
"""A failed direction is traced to single elements in inputs of at most this many elements."""
MEASURED = ("right", "zero", "still", "wrong")
"""The verdicts that come from a measurement; the others mean that there was none."""


class Comparison:
    """Compares a function's gradients with its differences and writes Checks to the report."""

    def __init__(self, report, rtol, directions, elementwise, rng, y):
        self.report, self.rtol, self.rng, self.y = report, rtol, rng, y
        self.directions, self.elementwise = directions, elementwise
        self.finite = True  # all gradients of the last order
        self.verdicts = set()  # on the last input
        self.kinked = {}  # input -> which of its elements have no derivative (bool)

    def __call__(self, function, arrays, names):
        gradients, here = function.gradients(arrays), function.terms(arrays)
        for i in names:
            self.kinked.setdefault(i, ~np.isfinite(arrays[i]))
        nearby = [a_hair_away(arrays, self.kinked, self.rng) for _ in range(2)]
        size, noise = function.size(arrays), unsteady(function, here, nearby)
        self.finite = all(np.isfinite(g).all() for g in gradients.values())
        measured, failed = {}, []
        for i, name in names.items():
            x, gradient = arrays[i], gradients[i]
            if x.size == 0:
                continue
            each = x.size <= SMALL if self.elementwise is None else self.elementwise
            lines = _Lines(function, arrays, i, here, size, noise, nearby)
            done = len(self.report.checks)
            unmeasured, self.verdicts = [], set()
            if each:
                measured[i] = self._every_element(lines, name, gradient, unmeasured)
            # If no single element can be measured, neither can their sum
            hidden = each and len(self.report.checks) == done
            agree = hidden or self._along(lines, name, gradient)
            if not agree and not each and x.size <= LOCATE:
                measured[i] = self._every_element(lines, name, gradient, unmeasured)
                if self.kinked[i].any():  # again, without the points that have no derivative
                    del self.report.checks[done : done + (agree is False)]
                    self._along(lines, name, gradient)
            self._report_unmeasured(function, name, x, unmeasured)
            if any(not c.passed for c in self.report.checks[done:]):
                failed.append(i)
        if failed and not self.report.faults:
            self._diagnose(function, arrays, names, gradients, measured, failed)

    def _along(self, lines, name, gradient):
        """Check some directions. Returns whether they agree; None if none could be measured."""
        smooth = ~self.kinked[lines.i]
        slopes = []
        for k in range(self.directions):
            # All elements by the same; every third time each by its own size, for poles near 0
            each = lines.scales if k % 3 == 2 else evenly(lines.arrays[lines.i])
            d = self.rng.standard_normal(smooth.shape) * smooth * each
            if np.any(d):
                slopes.append(lines.measure(d, np.where(smooth, gradient, 0), self.rtol))
        seen = [s for s in slopes if s.verdict in MEASURED]
        if not seen:
            return None if slopes else True
        return self._record(lines.function, name, "direction", seen, np.ones(len(seen)), None)

    def _every_element(self, lines, name, gradient, unmeasured):
        """Check each element; append to ``unmeasured`` those that could not be measured.

        Returns the numeric gradient, its noise, and which elements are known, in the input's shape.
        """
        kinked, shape = self.kinked[lines.i], gradient.shape
        numeric, noise = np.zeros(shape), np.zeros(shape)
        seen, sizes, places = [], [], []
        for k, where in enumerate(np.ndindex(shape)):
            if kinked[where]:
                continue
            scale = lines.scales[where]
            d = unit(shape, k) * scale
            alone = np.where(d != 0, gradient, 0)
            slope = lines.measure(d, alone, self.rtol)
            if slope.verdict in ("bends", "edge"):
                line = lines(d)
                kink = look_closer(line, slope, name, where, gradient)
                if kink is not None:
                    kinked[where] = True
                    self.report.kinks.append(kink)
                    continue
            if slope.verdict not in MEASURED:
                unmeasured.append(where)
                continue
            numeric[where], noise[where] = slope.value / scale, slope.noise / scale
            seen.append(slope)
            sizes.append(scale)
            places.append(where)
        if seen:
            self._record(lines.function, name, "element", seen, np.array(sizes), places)
        known = np.zeros(shape, bool)
        for where in places:
            known[where] = True
        return numeric, noise, known

    def _record(self, function, name, kind, slopes, sizes, places):
        def of(field):
            return np.array([getattr(s, field) for s in slopes]) / sizes

        numeric, analytic = of("value"), of("analytic")
        error, tolerance = of("error"), of("tolerance")
        wrong = ~(error <= tolerance)
        with np.errstate(all="ignore"):
            badness = np.where(wrong, np.nan_to_num(error / tolerance, nan=np.inf), 0)
        known = np.array([s.verdict not in ("zero", "still") for s in slopes])
        self.verdicts |= {s.verdict for s in slopes}
        worst = int(np.argmax(badness if wrong.any() else np.where(known, error, -1)))
        self.report.checks.append(
            Check(
                order=function.order,
                input=name,
                kind=kind,
                error=float(error[worst]),
                tolerance=float(tolerance[worst]),
                scale=float(np.abs(numeric).max()),
                analytic=float(analytic[worst]),
                numeric=float(numeric[worst]),
                where=None if places is None else tuple(map(int, places[worst])),
                wrong=int(wrong.sum()),
                size=len(slopes),
                zeros=int((~known).sum()),
                noise=float(tolerance[~known].max(initial=0.0)),
            )
        )
        return self.report.checks[-1].passed

    def _report_unmeasured(self, function, name, x, unmeasured):
        """Report the elements that could not be measured; an input with no other fails.

        Zeros are a result only if every element is zero: next to elements that could not be
        measured, they are just the smaller ones.
        """
        zeros = "zero" in self.verdicts and not unmeasured
        checked = zeros or self.verdicts & {"right", "wrong"}
        fixed = int((~np.isfinite(x)).sum())
        if fixed:
            self.report.warnings.append(
                f"{name} has {fixed} element{'s' * (fixed > 1)} that cannot be moved, since "
                f"{'they are' if fixed > 1 else 'it is'} not finite"
            )
        hidden = "at every step, rounding hides the slope or what the function does there"
        if checked and unmeasured:
            self.report.warnings.append(
                f"order {function.order}, {name}: {_these(unmeasured)} could not be measured: "
                f"{hidden}"
            )
        if checked:
            return
        kinks = [k for k in self.report.kinks if k.input == name and k.order == function.order]
        why = (
            "f has no derivative at any of its elements: try other values"
            if kinks and not unmeasured
            else f"{hidden}: try values of another size"
        )
        sentence = f"nothing could be measured of {name}: {why}"
        if function.order == 1:
            self.report.unmeasured.append(sentence)
        else:
            self.report.warnings.append(f"order 2: {sentence}")

    def _diagnose(self, function, arrays, names, gradients, measured, failed):
        first = function.order == 1
        last = len(arrays) - 1
        for i in (i for i in failed if i in measured and measured[i][2].any()):
            numeric, noise, known = measured[i]
            text = diagnose(
                Case(
                    np.where(known, gradients[i], 0),
                    numeric,
                    float(noise.max()),
                    self.rtol,
                    function.order,
                    x=arrays[i] if i != last else None,
                    y=self.y if i != last else None,
                    others={names[j]: m[0] for j, m in measured.items() if j != i},
                    inputs={names[j]: arrays[j] for j in names if j not in (i, last)},
                    upstream=self._upstream(function, arrays, i, known) if first else None,
                    w=arrays[last] if first else None,
                )
            )
            if text is None and first and _has_equal_axes(arrays[i]):
                text = (
                    "no known mistake fits, but two axes of this input have the same length, which "
                    "hides a missing transpose: try different lengths"
                )
            if text is not None:
                self.report.diagnoses.append(Diagnosis(function.order, names[i], text))

    def _upstream(self, function, arrays, i, known):
        """The analytic gradient of input i as a function of the incoming gradient."""
        return lambda w: np.where(known, function.gradients([*arrays[:-1], w])[i], 0)


class _Lines:
    """The lines through ``arrays`` along which input i moves: one for each direction."""

    def __init__(self, function, arrays, i, here, size, noise, nearby):
        self.function, self.arrays, self.i, self.here = function, arrays, i, here
        self.size, self.noise, self.scales = size, noise, scales(arrays[i])
        self.nearby, self.rounding = nearby, None

    def __call__(self, d):
        return Line(self.function, self.arrays, self.i, d, self.here, self.noise)

    def measure(self, d, gradient, rtol) -> Slope:
        slope = measure(self(d), gradient, rtol, self.size)
        if slope.verdict == "wrong" and slope.error <= 3 * np.vdot(self._rounding(), np.abs(d)):
            slope.verdict = "unmeasured"
        return slope

    def _rounding(self):
        """The part of each element of backward's gradient that is only rounding noise."""
        if self.rounding is None:
            here = self.function.gradients(self.arrays)[self.i]
            there = [np.abs(self.function.gradients(a)[self.i] - here) for a in self.nearby]
            noise = np.nan_to_num(np.maximum(*there), nan=0.0, posinf=0.0)
            self.rounding = np.where(noise > 0.1 * np.abs(here), noise, 0.0)
        return self.rounding


def _has_equal_axes(x):
    long = [n for n in x.shape if n > 1]
    return len(set(long)) < len(long)


def _these(places):
    if len(places) == 1:
        return f"element {places[0]}"
    return f"{len(places)} elements, the first of them {places[0]},"
