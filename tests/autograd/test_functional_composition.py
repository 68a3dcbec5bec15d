"""Transforms of transforms, and derivatives with respect to other tensors."""

import functools

import numpy as np
import pytest
from differentiated import RNG, V, X, assert_close, differences, scalar, vector

from autograd import Parameter, Tensor, is_grad_enabled, no_grad, ops
from autograd.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from autograd.kernels import gelu

# --- composition --------------------------------------------------------------------------------


def test_derivatives_of_derivatives_of_sine():
    f, x = ops.sin, 0.7
    for expected in (np.cos(x), -np.sin(x), -np.cos(x), np.sin(x)):
        f = grad(f)
        assert_close(f(x), expected)


def test_an_inner_derivative_does_not_mistake_the_outer_variable_for_its_own():
    # d/dx [x d/dy (x + y)] = 1, and 2 where the two variables are confused
    assert_close(grad(lambda x: x * grad(lambda y: x + y)(2.0))(1.0), 1.0)
    # d/dx [x d/dy (x y)^2 at y = x] = d/dx [2 x^4]
    inner = lambda x: grad(lambda y: (x * y) ** 2)(x)  # noqa: E731
    assert_close(grad(lambda x: x * inner(x))(1.5), 8 * 1.5**3)


@pytest.mark.parametrize(
    "outer",
    [
        lambda f: jacobian(f)(X).data @ V,
        lambda f: jvp(f, (X,), (V,))[1].data,
        lambda f: np.array([vjp(f, X)[1](u)[0].data @ V for u in np.eye(4)]),
    ],
    ids=["jacobian", "jvp", "vjp"],
)
@pytest.mark.parametrize(
    "inner",
    [
        lambda x: grad(scalar)(x),
        lambda x: value_and_grad(scalar)(x)[1],
        lambda x: vjp(scalar, x)[1](1.0)[0],
        lambda x: jacobian(scalar)(x),
        lambda x: jvp(lambda y: grad(scalar)(y), (x,), (np.eye(4)[0],))[1],
        lambda x: hvp(scalar, (x,), (np.eye(4)[0],))[0],
    ],
    ids=["grad", "value_and_grad", "vjp", "jacobian", "jvp", "hvp"],
)
def test_every_pair_composes(inner, outer):
    expected = differences(inner, X) @ V
    np.testing.assert_allclose(outer(inner), expected, rtol=1e-6, atol=1e-8)


def test_the_value_of_an_inner_call_can_be_differentiated():
    def f(x):
        value, gradient = value_and_grad(lambda y: (y**3).sum())(x)
        return value * 2.0 + (gradient * gradient).sum()

    assert_close(grad(f)(X), 6 * X**2 + 36 * X**3)


def test_directions_can_be_differentiated_by():
    assert_close(
        grad(lambda v: jvp(vector, (X,), (v,))[1].sum())(V), jacobian(vector)(X).data.sum(0)
    )
    u = np.array([1.0, 2.0, 3.0])
    f = lambda u: (vjp(vector, X)[1](u)[0] * V).sum()  # noqa: E731
    assert_close(grad(f)(u), jacobian(vector)(X).data @ V)


# --- what else requires a gradient --------------------------------------------------------------


def test_no_grad_is_written():
    w, x = Parameter(np.array(2.0)), Tensor(X, requires_grad=True)

    def f(x):
        return (w * x * x).sum()

    grad(f)(x)
    value_and_grad(f)(x)
    vjp(f, x)[1](1.0)
    jvp(f, (x,), (V,))
    jacobian(lambda x: w * x)(x)
    hessian(f)(x)
    hvp(f, (x,), (V,))
    assert w.grad is None and x.grad is None


def test_a_result_can_be_differentiated_by_what_the_function_closes_over():
    w = Parameter(np.array(2.0))
    g = grad(lambda x: (w * x * x).sum())(X)
    (g * V).sum().backward()
    assert_close(w.grad, 2 * X @ V)


def test_a_gradient_penalty_reaches_the_tensor_passed_in():
    w = Parameter(X.copy())
    g = grad(lambda w: (w**3).sum())(w)
    (g * g).sum().backward()
    assert_close(w.grad, 36 * X**3)


def test_without_others_or_under_no_grad_nothing_is_recorded():
    w = Parameter(X.copy())
    with no_grad():
        value, g = value_and_grad(lambda w: (w**2).sum())(w)
        assert not is_grad_enabled()
    assert_close(g, 2 * X)
    assert not value.requires_grad and not g.requires_grad
    value, g = value_and_grad(lambda w: (w**2).sum())(X)
    assert not value.requires_grad and not g.requires_grad


def test_plain_arrays_and_no_grad_let_the_fast_kernels_run(monkeypatch):
    x, ran = RNG.standard_normal((4, 8)).astype(np.float32), []
    for kind in ("cpu", "reference"):
        real = gelu.backward.implementation(kind)

        @functools.wraps(real)  # the dispatcher looks at a kernel's options
        def noted(*a, real=real, kind=kind, **k):
            ran.append(kind)
            return real(*a, **k)

        monkeypatch.setitem(gelu.backward._implementations, kind, noted)

    def f(x):
        return (ops.gelu(x) * 2.0).sum()

    grad(f)(x)
    with no_grad():
        grad(f)(Parameter(x))
    assert ran == ["cpu", "cpu"]
    grad(f)(Parameter(x))
    assert ran == ["cpu", "cpu", "reference"]


def test_a_function_may_record_inside():
    def f(x):
        with no_grad():
            factor = x.sum()
        return (x * factor).sum()

    assert_close(grad(f)(X), np.full(4, X.sum()))
    with no_grad():
        assert_close(grad(f)(X), np.full(4, X.sum()))


def test_inputs_are_not_changed():
    x = X.copy()
    t = Tensor(x)
    grad(scalar)(t)
    np.testing.assert_array_equal(x, X)
    assert not t.requires_grad and t.grad is None
    g = grad(lambda x: x.sum() * 1.0)(t)
    g.data[...] = 7  # the result is the caller's to change
    np.testing.assert_array_equal(x, X)
