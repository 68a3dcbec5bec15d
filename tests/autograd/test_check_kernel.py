"""check_kernel: a wrong kernel differs from its reference."""

import numpy as np
import pytest

from autograd import ops
from autograd.kernels import softmax
from autograd.testing import GradCheckError, check_kernel


def test_a_wrong_kernel_is_caught(monkeypatch):
    real = softmax.backward.implementation("reference")
    x = np.random.default_rng(0).standard_normal((3, 4))
    for wrong in (
        lambda xp, g, y: real(xp, g, y) * (1 + 1e-9),
        lambda xp, g, y: np.where(y > y.max() - 1e-9, np.nan, real(xp, g, y)),
        lambda xp, g, y: real(xp, g, y).astype(np.float32),
    ):
        monkeypatch.setitem(softmax.backward._implementations, "cpu", wrong)
        with pytest.raises(GradCheckError, match="differs from its reference"):
            check_kernel(ops.softmax, x, mode="auto")
    monkeypatch.setitem(softmax.backward._implementations, "cpu", real)
    assert check_kernel(ops.softmax, x, mode="auto")
