"""What a gradient check found, as data and as text."""

from dataclasses import dataclass, field

from autograd.testing.kinks import Kink


class GradCheckError(AssertionError):
    """A gradient is wrong. The message is the report."""


@dataclass
class Check:
    """One comparison: an input's gradient along a direction, or all its elements."""

    order: int
    input: str
    kind: str
    error: float
    """Largest |analytic - numeric|."""
    tolerance: float
    scale: float
    """Largest |numeric|, what the relative error is relative to."""
    analytic: float
    numeric: float
    where: tuple[int, ...] | None = None
    wrong: int = 0
    size: int = 0
    zeros: int = 0
    """How many slopes are 0 as far as can be measured, where backward's is not quite 0."""
    noise: float = 0.0
    """How far that is."""

    @property
    def passed(self):
        return bool(self.error <= self.tolerance)

    def __str__(self):
        place = "along a random direction" if self.where is None else f"at element {self.where}"
        text = (
            f"order {self.order}, {self.input}, {place}: backward says {self.analytic:.10g}, "
            f"finite differences say {self.numeric:.10g} (difference {self.error:.3g}, "
            f"tolerance {self.tolerance:.3g})"
        )
        if self.wrong > 1:
            text += f"; {self.wrong} of {self.size} elements are wrong"
        return text


@dataclass
class Diagnosis:
    """What the difference between a wrong gradient and the measured one looks like."""

    order: int
    input: str
    text: str

    def __str__(self):
        return f"order {self.order}, {self.input}: {self.text}"


@dataclass
class GradReport:
    """What check_grad found. True when every check passed; printed, it tells the failures."""

    checks: list[Check] = field(default_factory=list)
    problem: str | None = None
    """A sentence when the function could not be checked at all."""
    faults: list[str] = field(default_factory=list)
    """Rules that f breaks whatever its numbers: in-place changes, layouts, stale values, shapes."""
    kinks: list[Kink] = field(default_factory=list)
    """Elements at which f has no derivative: nothing is compared there."""
    unmeasured: list[str] = field(default_factory=list)
    """A sentence for every input of which nothing could be measured at order 1: that is no pass."""
    diagnoses: list[Diagnosis] = field(default_factory=list)
    """What the wrong gradients look like; empty when all are right, or like nothing known."""
    warnings: list[str] = field(default_factory=list)
    """Types that change on the way; they do not fail the check."""

    @property
    def passed(self):
        right = all(check.passed for check in self.checks)
        right &= all(kink.accepted for kink in self.kinks)
        told = self.problem is not None or self.faults or self.unmeasured
        return right and not told

    def __bool__(self):
        return self.passed

    @property
    def failures(self):
        return [check for check in self.checks if not check.passed]

    def max_error(self, order):
        """Largest error relative to the gradient's size, over the checks of one order.

        Slopes that are 0 as far as can be measured have no relative error and do not count.
        """
        errors = [
            c.error / (c.scale or 1.0)
            for c in self.checks
            if c.order == order and (c.zeros < c.size or not c.passed)
        ]
        return max(errors, default=0.0)

    def _counted(self):
        """ "12 checks, 2 kinks": what was compared, and at how many elements nothing could be."""
        counts = [_count(len(self.checks), "check")]
        edges = sum(kink.kind == "edge" for kink in self.kinks)
        for n, what in ((len(self.kinks) - edges, "kink"), (edges, "edge")):
            if n:
                counts.append(_count(n, what))
        return ", ".join(counts)

    def __str__(self):
        if self.problem is not None:
            return f"gradient check impossible: {self.problem}"
        notes = [
            f"  note: order {c.order}, {c.input}: backward says almost 0 for {c.zeros} of {c.size} "
            f"{c.kind}s, and differences see 0 to within {c.noise:.0e}"
            for c in self.checks
            if c.zeros
        ]
        notes += [f"  warning: {w}" for w in self.warnings]
        if self.passed:
            orders = sorted({c.order for c in self.checks})
            told = ", ".join(f"order {o}: {self.max_error(o):.1e}" for o in orders)
            head = f"gradient check passed: {self._counted()}, largest relative error {told}"
            return "\n".join([head, *(f"  note: {kink}" for kink in self.kinks), *notes])
        parts = [f"{len(self.failures)} of {len(self.checks)} checks"] if self.checks else []
        if self.faults:
            parts.append(_count(len(self.faults), "fault"))
        if self.unmeasured:
            parts.append(f"{_count(len(self.unmeasured), 'input')} not measured")
        lines = [f"gradient check failed: {', '.join(parts) or self._counted()}"]
        lines += [f"  {sentence}" for sentence in self.unmeasured]
        lines += [f"  fault: {fault}" for fault in self.faults]
        located = [c for c in self.failures if c.where is not None]
        lines += [f"  {check}" for check in (located or self.failures)]
        lines += [f"  diagnosis: {diagnosis}" for diagnosis in self.diagnoses]
        lines += [f"  {'note' if k.accepted else 'wrong'}: {k}" for k in self.kinks]
        return "\n".join(lines + notes)


def _count(n, what):
    return f"{n} {what}{'s' if n != 1 else ''}"
