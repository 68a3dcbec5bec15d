"""The result of a gradient check, as data and as text."""

from dataclasses import dataclass, field
from html import escape

from autograd._notebook import table_html
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
    """Largest |numeric|: the relative error is relative to it."""
    analytic: float
    numeric: float
    where: tuple[int, ...] | None = None
    wrong: int = 0
    size: int = 0
    zeros: int = 0
    """The number of slopes that measure 0 where backward's is almost 0, but not exactly."""
    noise: float = 0.0
    """The precision of that 0."""

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
    """The likely mistake behind a wrong gradient."""

    order: int
    input: str
    text: str

    def __str__(self):
        return f"order {self.order}, {self.input}: {self.text}"


@dataclass
class GradReport:
    """The result of check_grad: true if every check passed. As text, it lists the failures."""

    checks: list[Check] = field(default_factory=list)
    problem: str | None = None
    """A sentence if the function could not be checked at all."""
    faults: list[str] = field(default_factory=list)
    """Rules that f breaks, even if its numbers are right: changes in place, layouts, shapes."""
    kinks: list[Kink] = field(default_factory=list)
    """Elements at which f has no derivative, so that nothing is compared there."""
    unmeasured: list[str] = field(default_factory=list)
    """A sentence for every input of which nothing could be measured at order 1: a failure."""
    diagnoses: list[Diagnosis] = field(default_factory=list)
    """The likely mistakes; empty if all gradients are right, or if no known mistake fits."""
    warnings: list[str] = field(default_factory=list)
    """Changes of type, and other notes that do not fail the check."""

    @property
    def passed(self):
        right = all(check.passed for check in self.checks)
        right &= all(kink.accepted for kink in self.kinks)
        return right and self.problem is None and not self.faults and not self.unmeasured

    def __bool__(self):
        return self.passed

    @property
    def failures(self):
        return [check for check in self.checks if not check.passed]

    def max_error(self, order):
        """Largest error relative to the gradient's size, over the checks of one order.

        Slopes that measure 0 have no relative error and do not count.
        """
        errors = [
            c.error / (c.scale or 1.0)
            for c in self.checks
            if c.order == order and (c.zeros < c.size or not c.passed)
        ]
        return max(errors, default=0.0)

    def _counted(self):
        """ "12 checks, 2 kinks": the comparisons, and the elements where there was none."""
        counts = [_count(len(self.checks), "check")]
        edges = sum(kink.kind == "edge" for kink in self.kinks)
        for n, what in ((len(self.kinks) - edges, "kink"), (edges, "edge")):
            if n:
                counts.append(_count(n, what))
        return ", ".join(counts)

    def _repr_html_(self):
        """For notebooks: the text, and every comparison in a table, those that failed first."""
        rows = [
            [
                "right" if c.passed else "WRONG", c.order, c.input,
                "random direction" if c.where is None else f"element {c.where}",
                f"{c.analytic:.8g}", f"{c.numeric:.8g}", f"{c.error:.1e}", f"{c.tolerance:.1e}",
            ]
            for c in sorted(self.checks, key=lambda check: check.passed)
        ]  # fmt: skip
        headers = [
            "",
            ">order",
            "input",
            "where",
            ">backward",
            ">differences",
            ">error",
            ">at most",
        ]
        text, colour = escape(str(self)), "#1a7f37" if self.passed else "#cf222e"
        return f'<pre style="border-left: 4px solid {colour}; padding-left: 0.7em">{text}</pre>' + (
            table_html(f"{len(rows)} comparisons", headers, rows) if rows else ""
        )

    def __str__(self):
        if self.problem is not None:
            return f"gradient check impossible: {self.problem}"
        notes = [
            f"  note: order {c.order}, {c.input}: backward says almost 0 for {c.zeros} of {c.size} "
            f"{c.kind}s, and finite differences say 0 to within {c.noise:.0e}"
            for c in self.checks
            if c.zeros
        ]
        notes += [f"  warning: {w}" for w in self.warnings]
        if self.passed:
            orders = sorted({c.order for c in self.checks})
            errors = ", ".join(f"order {o}: {self.max_error(o):.1e}" for o in orders)
            head = f"gradient check passed: {self._counted()}, largest relative error {errors}"
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
