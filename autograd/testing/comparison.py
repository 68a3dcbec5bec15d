"""Backward beside the measurement: every element and some directions of every input.

Each element is compared by its own size and the noise of its own measurement, since a tolerance
relative to the largest one hides a small one that is wrong.
"""

import numpy as np

from autograd.testing.diagnosis import Case, diagnose
from autograd.testing.differences import Line, a_hair_away, evenly, scales, unit, unsteady
from autograd.testing.kinks import look_closer
from autograd.testing.report import Check, Diagnosis
from autograd.testing.slopes import Slope, measure

SMALL = 64
"""Up to this many elements an input is checked element by element unless told otherwise."""
LOCATE = 2000
"""A failed direction is traced to single elements in inputs of at most this size."""
SEEN = ("right", "zero", "still", "wrong")
"""What a measurement can say of backward's slope; beside that it may say nothing."""


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
            unseen, self.verdicts = [], set()
            if each:
                measured[i] = self._every_element(lines, name, gradient, unseen)
            # Where no element by itself can be measured, their sum is no better
            hidden = each and len(self.report.checks) == done
            agree = hidden or self._along(lines, name, gradient)
            if not agree and not each and x.size <= LOCATE:
                measured[i] = self._every_element(lines, name, gradient, unseen)
                if self.kinked[i].any():  # look again, past the points without a derivative
                    del self.report.checks[done : done + (agree is False)]
                    self._along(lines, name, gradient)
            self._tell_unseen(function, name, x, unseen)
            if any(not c.passed for c in self.report.checks[done:]):
                failed.append(i)
        if failed and not self.report.faults:
            self._diagnose(function, arrays, names, gradients, measured, failed)

    def _along(self, lines, name, gradient):
        """Check some directions. Returns whether they agree; None if none could be measured."""
        smooth = ~self.kinked[lines.i]
        slopes = []
        for k in range(self.directions):
            # All elements by as much; every third time each by its own size, for poles close to 0
            each = lines.scales if k % 3 == 2 else evenly(lines.arrays[lines.i])
            d = self.rng.standard_normal(smooth.shape) * smooth * each
            if np.any(d):
                slopes.append(lines.measure(d, np.where(smooth, gradient, 0), self.rtol))
        seen = [s for s in slopes if s.verdict in SEEN]
        if not seen:
            return None if slopes else True
        return self._record(lines.function, name, "direction", seen, np.ones(len(seen)), None)

    def _every_element(self, lines, name, gradient, unseen):
        """Check each element; the numeric gradient and its noise, in the input's shape."""
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
            if slope.verdict not in SEEN:
                unseen.append(where)
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

        numeric, error, tolerance, said = of("value"), of("error"), of("tolerance"), of("said")
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
                analytic=float(said[worst]),
                numeric=float(numeric[worst]),
                where=None if places is None else tuple(map(int, places[worst])),
                wrong=int(wrong.sum()),
                size=len(slopes),
                zeros=int((~known).sum()),
                noise=float(tolerance[~known].max(initial=0.0)),
            )
        )
        return self.report.checks[-1].passed

    def _tell_unseen(self, function, name, x, unseen):
        """Say what could not be measured; an input of which nothing was is no pass.

        Zeros are a result if all of it is zero; beside elements that could not be measured they are
        those that are smaller still.
        """
        checked = self.verdicts & {"right", "wrong"} or ("zero" in self.verdicts and not unseen)
        fixed = int((~np.isfinite(x)).sum())
        if fixed:
            self.report.warnings.append(
                f"{name} has {fixed} element{'s' * (fixed > 1)} that cannot be moved, since "
                f"{'they are' if fixed > 1 else 'it is'} not finite"
            )
        if checked and unseen:
            self.report.warnings.append(
                f"order {function.order}, {name}: {_these(unseen)} could not be measured: at every "
                "step rounding covers the slope, or hides what the function does there"
            )
        if checked:
            return
        kinks = [k for k in self.report.kinks if k.input == name and k.order == function.order]
        why = (
            "f has no derivative at any of its elements: try other values"
            if kinks and not unseen
            else "at every step rounding covers the slope, or hides what the function does there: "
            "try values of another size"
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
                    "no usual mistake fits; but two axes of this input are equally long, which "
                    "hides a missing transpose: try lengths that differ"
                )
            if text is not None:
                self.report.diagnoses.append(Diagnosis(function.order, names[i], text))

    def _upstream(self, function, arrays, i, known):
        """The analytic gradient of input i as a function of the gradient that comes in."""
        return lambda w: np.where(known, function.gradients([*arrays[:-1], w])[i], 0)


class _Lines:
    """The lines through ``arrays`` along which input i moves, by their direction."""

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
        """How much of each element of backward's gradient is rounding noise alone."""
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
