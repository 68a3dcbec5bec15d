"""What an entry of autograd/bug_zoo/zoo.py is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd.testing import check_grad


@dataclass(frozen=True)
class Bug:
    """A mistake that people make, its correction, and the check that tells them apart."""

    name: str
    story: str
    """One sentence: who makes it, and why it looks right."""
    caught_by: str
    """The check that catches it."""
    wrong: Any
    """The code with the mistake: an Op, or a procedure."""
    right: Any
    """The same code without it."""
    check: Callable[[Any], str]
    """Takes ``wrong`` or ``right``; returns evidence of a mistake, or "" when there is none."""

    def catch(self):
        """Run the check on the wrong code: the evidence, or "" if the mistake survives."""
        return self.check(self.wrong)

    def control(self):
        """Run the same check on the right code: "" if it passes, as it must."""
        return self.check(self.right)


def data(*shape, seed=0):
    """Random numbers to try things on."""
    return np.random.default_rng([seed, 41]).standard_normal(shape)


def by_check_grad(*inputs, order=2):
    """A check of an Op (or a function on Tensors) by check_grad; its evidence is the diagnosis."""

    def check(op):
        made = isinstance(op, type)
        report = check_grad(
            (lambda *xs: op()(*xs)) if made else op, *inputs, order=order, raise_on_failure=False
        )
        if report.passed:
            return ""
        found = [*report.faults, *report.diagnoses, *report.failures]
        found += [kink for kink in report.kinks if not kink.accepted]
        return str(report.problem or found[0])

    return check
