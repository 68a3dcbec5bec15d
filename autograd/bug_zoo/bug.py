"""Bug, one entry of the zoo, and the check of an operation by check_grad."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd.testing import check_grad


@dataclass(frozen=True)
class Bug:
    """A typical mistake, its correction, and the check that tells them apart."""

    name: str
    story: str
    """One phrase: what the code does, and why that looks right."""
    caught_by: str
    """The check that catches it."""
    wrong: Any
    """The code with the mistake: an Op, or a function."""
    right: Any
    """The same code without the mistake."""
    check: Callable[[Any], str]
    """Takes ``wrong`` or ``right``; returns evidence of a mistake, or "" if there is none."""

    def catch(self):
        """Run the check on the wrong code: the evidence, or "" if the mistake survives."""
        return self.check(self.wrong)

    def control(self):
        """Run the same check on the right code: "" if it passes, as it must."""
        return self.check(self.right)


def data(*shape, seed=0):
    """Random numbers as inputs."""
    return np.random.default_rng([seed, 41]).standard_normal(shape)


def by_check_grad(*inputs, order=2):
    """A check of an Op, or of a function on Tensors, by check_grad.

    Its evidence is the first fault, diagnosis, failure or kink of the report.
    """

    def check(op):
        f = (lambda *xs: op()(*xs)) if isinstance(op, type) else op
        report = check_grad(f, *inputs, order=order, raise_on_failure=False)
        if report.passed:
            return ""
        evidence = [*report.faults, *report.diagnoses, *report.failures]
        evidence += [kink for kink in report.kinks if not kink.accepted]
        return str(report.problem or evidence[0])

    return check
