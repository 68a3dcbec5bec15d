"""Second derivatives where the first is a convention: NaN where the convention hides what is there,
and elsewhere that of the piece, or the mean of pieces, which the convention chose."""

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, ops
from autograd.functional import grad as slope, hessian
from autograd.ops.unsmooth import unsmooth

L = ops.linalg

SMOOTH_SQUARES = {
    "norm": (L.norm, np.zeros(2)),
    "norm of a row": (lambda x: L.norm(x, axis=-1).sum(), np.zeros((2, 2))),
    "norm, p = 3": (lambda x: L.norm(x, 3), np.zeros(2)),
    "Frobenius": (L.matrix_norm, np.zeros((2, 2))),
    "abs": (lambda x: ops.abs(x).sum(), np.array([0.0])),
    "std": (ops.std, np.array([3.0, 3.0])),
    "arctan2": (lambda z: ops.arctan2(z[0], z[1]), np.zeros(2)),
    "hypot": (lambda z: ops.hypot(z[0], z[1]), np.zeros(2)),
}
"""Functions with gradient 0 by convention at these points; that of their squares really is 0."""


@pytest.mark.parametrize("name", SMOOTH_SQUARES)
def test_a_gradient_by_convention_has_no_silent_derivative(name):
    f, x = SMOOTH_SQUARES[name]
    for power in (1, 2):
        assert not slope(lambda x, p=power: f(x) ** p)(x).data.any()
        assert np.isnan(hessian(lambda x, p=power: f(x) ** p)(x).data).any()
    # and elsewhere nothing changes
    moved = x + np.arange(1.0, 1 + x.size).reshape(x.shape)
    check_grad(lambda x: f(x) ** 2, moved)


CHOICES = {
    "relu": (ops.relu, 0.0),  # the left piece
    "clip": (lambda x: ops.clip(x, 0, None), 2.0),  # the right one: the bound belongs to x
    "maximum": (lambda x: ops.maximum(x, 0), 0.5),  # half of each
    "minimum": (lambda x: ops.minimum(x, 0), 0.5),
    "largest of two": (lambda x: ops.max(ops.stack([x, 0 * x])), 0.5),
}
"""f and the second derivative of f(x)^2 at 0, where that jumps from one piece's to the other's."""


@pytest.mark.parametrize("name", CHOICES)
def test_to_the_second_derivative_the_choice_at_a_kink_is_constant(name):
    f, right = CHOICES[name]
    assert hessian(lambda x: f(x) ** 2)(np.array(0.0)).item() == right


def test_smooth_functions_that_are_written_with_conditions_have_both_derivatives():
    for f, right in [
        (lambda x: ops.prod(x), [[0, 0, 0], [0, 0, 2], [0, 2, 0]]),
        (lambda x: ops.cumprod(x[::-1], 0).sum(), [[0, 0, 0], [0, 0, 3], [0, 3, 0]]),
        (lambda x: ops.var(x[1:]), [[0, 0, 0], [0, 0.5, -0.5], [0, -0.5, 0.5]]),
        (lambda x: ops.softplus(x[1:]).sum(), [[0, 0, 0], [0, 0.25, 0], [0, 0, 0.25]]),
        (lambda x: (ops.elu(x[1:]) ** 2).sum(), [[0, 0, 0], [0, 2, 0], [0, 0, 2]]),
        (lambda x: ops.logaddexp(x, x).sum(), np.zeros((3, 3))),
    ]:
        found = hessian(f)(np.array([2.0, 0.0, 0.0])).data
        np.testing.assert_allclose(found, right, atol=1e-15)


def test_only_tensors_are_marked_and_only_on_request():
    raw = np.ones(2)
    assert unsmooth(raw, raw == 1, raw) is raw
    x = Tensor(np.array([0.0, 0.0, 3.0]), requires_grad=True)
    (first,) = grad(ops.abs(x).sum(), x, create_graph=True)
    (along,) = grad((first * np.array([0.0, 1.0, 1.0])).sum(), x)
    np.testing.assert_array_equal(along.data, [0, np.nan, 0])
