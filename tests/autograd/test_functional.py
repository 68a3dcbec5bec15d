"""grad, vjp, jvp, jacobian, hessian, hvp: values, trees, what they refuse."""

from collections import namedtuple

import numpy as np
import pytest
from differentiated import RNG, V, W, X, assert_close, differences, scalar, vector

import autograd
from autograd import Tensor, is_grad_enabled, no_grad, ops
from autograd.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

# --- values -------------------------------------------------------------------------------------


def test_grad_and_its_value():
    expected = differences(scalar, X)
    assert_close(grad(scalar)(X), expected, rtol=1e-7, atol=1e-9)
    value, gradient = value_and_grad(scalar)(X)
    assert_close(value, scalar(Tensor(X)).data)
    assert_close(gradient, grad(scalar)(X).data)


def test_jacobian_jvp_and_vjp_are_one_matrix():
    J = jacobian(vector)(X)
    assert_close(J, differences(vector, X), rtol=1e-7, atol=1e-9)
    y, tangent = jvp(vector, (X,), (V,))
    assert_close(y, vector(Tensor(X)).data)
    assert_close(tangent, J.data @ V)
    u = np.array([0.3, -2.0, 1.0])
    y, pullback = vjp(vector, X)
    assert_close(y, vector(Tensor(X)).data)
    for _ in range(2):  # the pullback can be called again
        (back,) = pullback(u)
        assert_close(back, u @ J.data)


def test_hessian_and_hvp():
    H = hessian(scalar)(X)
    assert_close(H, differences(grad(scalar), X), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(H.data, H.data.T, atol=1e-14)
    (product,) = hvp(scalar, (X,), (V,))
    assert_close(product, H.data @ V)


def test_shapes_of_matrices():
    def f(x):  # (2, 3) -> (3, 2, 2)
        return ops.stack([x[:, :2] * (k + 1.0) * x[:, 1:] for k in range(3)])

    x = RNG.standard_normal((2, 3))
    assert_close(jacobian(f)(x), differences(f, x), rtol=1e-7, atol=1e-9)
    assert jacobian(f)(x).shape == (3, 2, 2, 2, 3)
    assert hessian(lambda x: (x**3).sum())(x).shape == (2, 3, 2, 3)
    assert jacobian(lambda x: x[:0])(x).shape == (0, 3, 2, 3)
    assert jacobian(lambda x: x * 2.0)(np.zeros((0, 2))).shape == (0, 2, 0, 2)


def test_agrees_with_torch_func():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    x, v = torch.tensor(X), torch.tensor(V)

    def torch_vector(x):
        return torch.exp(x[:3]) * torch.sin(x[1:]) + torch.tensor(W) @ x

    def torch_scalar(x):
        return (torch.sin(x) * x * x).sum() + x[0] * x[1] * x[2]

    assert_close(jacobian(vector)(X), torch.func.jacrev(torch_vector)(x).numpy())
    assert_close(jvp(vector, (X,), (V,))[1], torch.func.jvp(torch_vector, (x,), (v,))[1].numpy())
    assert_close(hessian(scalar)(X), torch.func.hessian(torch_scalar)(x).numpy())
    assert_close(
        hvp(scalar, (X,), (V,))[0], torch.autograd.functional.hvp(torch_scalar, x, v)[1].numpy()
    )


# --- arguments and trees ------------------------------------------------------------------------


def test_argnums():
    def f(x, n, y, *, scale=1.0):
        return (x * y).sum() * float(n) * scale

    x, y = np.arange(3.0), np.ones(3)
    assert_close(grad(f)(x, 2, y), 2 * y)
    assert_close(grad(f, argnums=2)(x, 2, y, scale=3.0), 6 * x)
    assert_close(grad(f, argnums=-1)(x, 2, y), 2 * x)
    both = grad(f, argnums=(2, 0))(x, 2, y)
    assert isinstance(both, tuple)
    assert_close(both[0], 2 * x)
    assert_close(both[1], 2 * y)
    with pytest.raises(ValueError, match="argnums is 3, but f was called with 3 positional"):
        grad(f, argnums=3)(x, 2, y)
    with pytest.raises(ValueError, match="names an argument twice"):
        grad(f, argnums=(0, -3))(x, 2, y)


Layer = namedtuple("Layer", "weight bias")


def network(parameters, x):
    for layer in parameters["layers"]:
        x = ops.tanh(ops.linear(x, layer.weight, layer.bias))
    return (x * parameters["scale"][0]).sum()


def parameters():
    rng = np.random.default_rng(5)
    layers = [Layer(rng.standard_normal((4, 4)), rng.standard_normal(4)) for _ in range(2)]
    return {"layers": layers, "scale": (np.array(0.7), None)}


def test_results_are_built_like_the_arguments():
    p, x = parameters(), RNG.standard_normal((2, 4))
    g = grad(network)(p, x)
    assert list(g) == ["layers", "scale"] and g["scale"][1] is None
    assert isinstance(g["layers"], list) and isinstance(g["scale"], tuple)
    assert isinstance(g["layers"][1], Layer)

    def of_one(bias):
        layers = [p["layers"][0], p["layers"][1]._replace(bias=bias)]
        return network({**p, "layers": layers}, Tensor(x))

    assert_close(g["layers"][1].bias, differences(of_one, p["layers"][1].bias), 1e-7, 1e-9)


def test_a_tree_of_outputs_over_a_tree_of_inputs():
    def f(p):
        return {"sum": p["a"] + p["b"][0], "product": [p["a"] * p["b"][0]]}

    p = {"a": np.array([1.0, 2.0]), "b": [np.array([3.0, 5.0])]}
    J = jacobian(f)(p)
    assert_close(J["sum"]["b"][0], np.eye(2))
    assert_close(J["product"][0]["a"], np.diag([3.0, 5.0]))
    v = {"b": [np.array([1.0, 0.0])], "a": np.array([0.5, 1.0])}  # keys in another order
    y, tangent = jvp(f, (p,), (v,))
    assert_close(y["sum"], [4.0, 7.0])
    assert_close(tangent["product"][0], [0.5 * 3 + 1, 5.0])
    y, pullback = vjp(f, p)
    (back,) = pullback({"sum": np.zeros(2), "product": [np.array([1.0, 10.0])]})
    assert_close(back["a"], [3.0, 50.0])
    H = hessian(lambda p: (p["a"] * p["a"] * p["b"][0]).sum())(p)
    assert_close(H["a"]["b"][0], np.diag([2.0, 4.0]))
    assert_close(H["b"][0]["b"][0], np.zeros((2, 2)))
    (product,) = hvp(lambda p: (p["a"] * p["a"] * p["b"][0]).sum(), (p,), (v,))
    assert_close(product["a"], 2 * p["b"][0] * v["a"] + 2 * p["a"] * v["b"][0])


def test_auxiliary_results():
    def f(x):
        return (x * x).sum(), {"double": x * 2.0, "note": "as it is"}

    gradient, aux = grad(f, has_aux=True)(X)
    assert_close(gradient, 2 * X)
    assert_close(aux["double"], 2 * X)
    assert aux["note"] == "as it is" and not aux["double"].requires_grad
    (value, aux), gradient = value_and_grad(f, has_aux=True)(X)
    assert_close(value, (X * X).sum())
    assert_close(hessian(f, has_aux=True)(X)[0], 2 * np.eye(4))
    assert jacobian(f, has_aux=True)(X)[1]["note"] == "as it is"
    assert hvp(f, (X,), (V,), has_aux=True)[1]["note"] == "as it is"
    y, tangent, aux = jvp(f, (X,), (V,), has_aux=True)
    assert_close(tangent, 2 * X @ V)
    y, pullback, aux = vjp(f, X, has_aux=True)
    assert_close(pullback(1.0)[0], 2 * X)
    assert_close(aux["double"], 2 * X)


def test_an_unused_argument_has_gradient_zero():
    g = grad(lambda x, y: x.sum(), argnums=(0, 1))(np.ones(2), np.ones((2, 3)))
    assert_close(g[1], np.zeros((2, 3)))
    assert_close(grad(lambda x: Tensor(np.array(3.0)))(X), np.zeros(4))
    assert_close(jvp(lambda x: Tensor(np.ones(2)), (X,), (V,))[1], np.zeros(2))
    assert_close(hvp(lambda x: x.sum(), (X,), (V,))[0], np.zeros(4))
    assert_close(hessian(lambda x: x.sum())(X), np.zeros((4, 4)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_arguments_dtype(dtype):
    x = X.astype(dtype)
    assert grad(scalar)(x).dtype == dtype
    assert jacobian(lambda x: x * x)(x).dtype == dtype
    assert hessian(scalar)(x).dtype == dtype
    assert jvp(lambda x: x * x, (x,), (V,))[1].dtype == dtype
    assert hvp(scalar, (x,), (V,))[0].dtype == dtype


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: grad(lambda x: x * 2.0)(X), ValueError, r"shape \(4,\), expected a single number"),
        (lambda: grad(lambda x: (x, x))(X), ValueError, "a tuple of length 2, expected one number"),
        (lambda: hvp(lambda x: x * 2.0, (X,), (V,)), ValueError, "hvp: f returned a Tensor of sha"),
        (lambda: grad(scalar)(np.arange(4)), TypeError, "argument 0 is int64.*astype"),
        (
            lambda: grad(lambda p: p["a"][0])({"a": [1, X]}),
            TypeError,
            r"argument 0\['a'\]\[0\] is int64",
        ),
        (lambda: vjp(scalar, X > 0), TypeError, "argument 0 is bool"),
        (lambda: grad(scalar)("text"), TypeError, "argument 0 is str, expected an array"),
        (lambda: grad(lambda x: 3.0)(X), TypeError, "f returned float, expected a Tensor"),
        (lambda: jacobian(lambda x: {"y": x.data})(X), TypeError, r"ndarray at \['y'\]"),
        (
            lambda: grad(lambda x: Tensor(np.array(3)))(X),
            TypeError,
            "Tensor of int64, which has no",
        ),
        (lambda: grad(scalar, has_aux=True)(X), TypeError, r"must return \(output, aux\)"),
        (lambda: jvp(scalar, X, V), TypeError, "primals and tangents are tuples"),
        (
            lambda: jvp(scalar, (X,), (V, V)),
            ValueError,
            "tangents is a tuple of length 2, expected",
        ),
        (lambda: jvp(scalar, (X,), (V[:2],)), ValueError, r"tangents\[0\] has shape \(2,\), expec"),
        (
            lambda: jvp(lambda p: p["a"], ({"a": X},), ({"b": X},)),
            ValueError,
            r"tangents\[0\] is a dict with the keys 'b', expected a dict with the keys 'a'",
        ),
        (
            lambda: jvp(lambda p: p["a"], ({"a": X},), ({"a": [X]},)),
            ValueError,
            r"tangents\[0\]\['a'\] is a list of length 1, expected an array",
        ),
        (
            lambda: vjp(vector, X)[1](np.ones(4)),
            ValueError,
            r"cotangent has shape \(4,\), expected",
        ),
        (lambda: vjp(vector, X)[1]((1.0,)), ValueError, "cotangent is a tuple.*expected an array"),
    ],
)
def test_a_wrong_call_is_an_error_of_one_sentence(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_error_inside_leaves_recording_as_it_was():
    def broken(x):
        raise KeyError("mine")

    with no_grad():
        with pytest.raises(KeyError, match="mine"):
            grad(broken)(X)
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_transforms_are_exported_and_keep_the_functions_name():
    assert autograd.functional.grad is grad

    def named(x):
        """Documented."""
        return x.sum()

    for transform in (grad, value_and_grad, jacobian, hessian):
        assert transform(named).__name__ == "named"
