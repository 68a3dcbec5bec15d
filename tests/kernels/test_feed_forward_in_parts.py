"""Backward of the feed-forward layer at bf16 takes a part of the rows at a time."""

import numpy as np
import pytest
from products import normal

from autograd.device import numpy_namespace
from autograd.kernels.feed_forward import cpu, reference


def arrays(N):
    x, g = normal(N, 8), normal(N, 8, seed=1)
    u, b, w = normal(24, 8, seed=2), normal(24, seed=3), normal(8, 24, seed=4)
    return g, x, u, b, w


@pytest.mark.parametrize("needs", [(True,) * 5, (True, False, False, True, False), (False,) * 5])
@pytest.mark.parametrize("N", [0, 1, 7, 8, 9, 100])
def test_gradients_are_those_of_the_definition(monkeypatch, N, needs):
    monkeypatch.setattr(cpu, "FEWEST", 4)
    given = (*arrays(N), "tanh", None, needs)
    found = cpu.backward(numpy_namespace, *given, precision="bf16")
    expected = reference.backward(numpy_namespace, *given, precision="bf16")
    for a, b, needed in zip(found, expected, needs, strict=True):
        if needed:
            np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * np.abs(b).max(initial=1e-6))


def test_the_rows_are_taken_in_quarters(monkeypatch):
    monkeypatch.setattr(cpu, "FEWEST", 4)
    sizes, product = [], cpu.linear.weight_gradient

    def weight_gradient(g, rows, *rest):
        sizes.append(len(rows))
        return product(g, rows, *rest)

    monkeypatch.setattr(cpu.linear, "weight_gradient", weight_gradient)
    for precision, expected in (("bf16", [25] * 4 + [100]), ("float32", [100, 100])):
        sizes.clear()
        cpu.backward(numpy_namespace, *arrays(100), "tanh", precision=precision)
        assert sizes == expected  # those of the down weight, then that of the up weight
