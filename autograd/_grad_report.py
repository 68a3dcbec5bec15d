"""What a gradient check found, as data and as text."""

from dataclasses import dataclass, field

from autograd._kinks import Kink


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
    diagnoses: list[Diagnosis] = field(default_factory=list)
    """What the wrong gradients look like; empty when all are right, or like nothing known."""
    warnings: list[str] = field(default_factory=list)
    """Types that change on the way; they do not fail the check."""

    @property
    def passed(self):
        right = all(check.passed for check in self.checks)
        right &= all(kink.accepted for kink in self.kinks)
        return self.problem is None and not self.faults and right

    def __bool__(self):
        return self.passed

    @property
    def failures(self):
        return [check for check in self.checks if not check.passed]

    def max_error(self, order):
        """Largest error relative to the gradient's size, over the checks of one order.

        Differences below the rounding noise of the measurement count as they are.
        """
        errors = [c.error / (c.scale or 1.0) for c in self.checks if c.order == order]
        return max(errors, default=0.0)

    def __str__(self):
        if self.problem is not None:
            return f"gradient check impossible: {self.problem}"
        notes = [f"  warning: {w}" for w in self.warnings]
        if self.passed:
            orders = sorted({c.order for c in self.checks})
            told = ", ".join(f"order {o}: {self.max_error(o):.1e}" for o in orders)
            head = (
                f"gradient check passed: {len(self.checks)} checks, largest relative error {told}"
            )
            return "\n".join([head, *(f"  note: {kink}" for kink in self.kinks), *notes])
        parts = [f"{len(self.failures)} of {len(self.checks)} checks"] if self.checks else []
        if self.faults:
            parts.append(f"{len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}")
        lines = [f"gradient check failed: {', '.join(parts)}"]
        lines += [f"  fault: {fault}" for fault in self.faults]
        located = [c for c in self.failures if c.where is not None]
        lines += [f"  {check}" for check in (located or self.failures)]
        lines += [f"  diagnosis: {diagnosis}" for diagnosis in self.diagnoses]
        lines += [f"  {'note' if k.accepted else 'wrong'}: {k}" for k in self.kinks]
        return "\n".join(lines + notes)
