"""Linear algebra at its edges: signs, equal and vanishing singular values, singular matrices."""

import itertools
import math

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, ops
from autograd.functional import grad as slope, hessian

L = ops.linalg


def normal(*shape, seed=0):
    return np.random.default_rng([seed, 5]).standard_normal(shape)


def symmetric(x):
    return 0.5 * (x + ops.swapaxes(x, -1, -2))


def leaf(array):
    return Tensor(np.array(array, float), requires_grad=True)


# --- Results and names ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 2, 2)])
def test_the_factors_are_numpys_and_have_its_names(shape):
    a = normal(*shape)
    found, expected = L.svd(a), np.linalg.svd(a, full_matrices=False)
    for name in ("U", "S", "Vh"):
        np.testing.assert_array_equal(getattr(found, name).data, getattr(expected, name))
    np.testing.assert_array_equal(L.svd(a, compute_uv=False).data, expected.S)
    found, expected = L.qr(a), np.linalg.qr(a)
    np.testing.assert_array_equal(found.Q.data, expected.Q)
    np.testing.assert_allclose(found.R.data, expected.R, rtol=1e-13, atol=1e-14)
    if shape[-1] == shape[-2]:
        for side in "LU":
            found, expected = L.eigh(a, side), np.linalg.eigh(a, side)
            for name in ("eigenvalues", "eigenvectors"):
                np.testing.assert_array_equal(getattr(found, name).data, getattr(expected, name))
        found, expected = L.slogdet(a), np.linalg.slogdet(a)
        for name in ("sign", "logabsdet"):
            np.testing.assert_array_equal(getattr(found, name).data, getattr(expected, name))


def test_pinv_takes_numpys_limit():
    a = np.diag([1.0, 1e-3])
    x = leaf(a)
    y = L.pinv(x, 1e-2)
    np.testing.assert_allclose(y.data, np.diag([1.0, 0.0]), atol=1e-15)
    (g,) = grad(y, x, np.ones((2, 2)))  # of rank 1: what is cut off comes back through G only
    np.testing.assert_allclose(g.data, [[-1, 1], [1, 0]], atol=1e-2)


def test_the_sign_of_a_determinant_is_a_constant():
    sign, logabsdet = L.slogdet(leaf(normal(3, 3)))
    assert not sign.requires_grad and logabsdet.requires_grad


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 2), (2, 2, 4)])
def test_factorizations_are_pytorchs(shape):
    torch = pytest.importorskip("torch", reason="compares gradients with PyTorch")
    a = normal(*shape)

    def compare(ours, theirs):
        x, y = leaf(a), torch.tensor(a, requires_grad=True)
        mine, right = ours(x), theirs(y)
        w = normal(*mine.shape, seed=1)
        (g,) = grad(mine, x, w)
        (expected,) = torch.autograd.grad(right, y, torch.tensor(w))
        np.testing.assert_allclose(g.data, expected.numpy(), rtol=1e-9, atol=1e-11)

    def svd(x):
        return torch.linalg.svd(x, full_matrices=False)

    for k in range(3):
        compare(lambda x, k=k: L.svd(x)[k] ** 2, lambda y, k=k: svd(y)[k] ** 2)
    compare(lambda x: L.svd(x).U @ L.svd(x).Vh, lambda y: svd(y)[0] @ svd(y)[2])
    if shape[-2] >= shape[-1]:
        for k in range(2):
            compare(lambda x, k=k: L.qr(x)[k], lambda y, k=k: torch.linalg.qr(y)[k])
    compare(L.pinv, torch.linalg.pinv)
    for ord in ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf):
        compare(
            lambda x, o=ord: L.matrix_norm(x, ord=o),
            lambda y, o=ord: torch.linalg.matrix_norm(y, o),
        )
    for ord in (0.5, 1, 2, 3, -1, -2.5, math.inf, -math.inf):
        compare(
            lambda x, o=ord: L.vector_norm(x, ord=o, axis=(0, -1)),
            lambda y, o=ord: torch.linalg.vector_norm(y, o, dim=(0, -1)),
        )
    if shape[-1] == shape[-2]:
        for k in range(2):
            compare(
                lambda x, k=k: L.eigh(symmetric(x))[k] ** 2,
                lambda y, k=k: torch.linalg.eigh(0.5 * (y + y.mT))[k] ** 2,
            )
        compare(lambda x: L.slogdet(x)[1], lambda y: torch.linalg.slogdet(y)[1])


# --- Signs and equal values ----------------------------------------------------------------------


def test_functions_that_do_not_depend_on_signs_have_one_gradient():
    a = normal(4, 3)
    check_grad(lambda x: L.svd(x).U @ ops.swapaxes(L.svd(x).U, 0, 1), a)  # a projection
    x = leaf(a)
    u, s, v_t = L.svd(x)
    w = normal(4, 3, seed=2)
    np.testing.assert_allclose(grad((u * s) @ v_t, x, w)[0].data, w, rtol=1e-12)  # it is a itself


EQUAL = [np.eye(3), np.diag([2.0, 2.0, 1.0]), np.zeros((2, 2))]


@pytest.mark.parametrize("a", EQUAL, ids=["identity", "two equal", "zeros"])
def test_equal_eigenvalues_have_a_gradient_and_their_vectors_none(a):
    (g,) = grad(L.eigh(x := leaf(a)).eigenvalues.sum(), x)  # the trace
    np.testing.assert_allclose(g.data, np.eye(len(a)), atol=1e-14)
    x = leaf(a)
    (g,) = grad((L.eigh(x).eigenvalues ** 2).sum(), x)  # the sum of squares of a
    np.testing.assert_allclose(g.data, 2 * a, atol=1e-14)
    x = leaf(a)
    with np.errstate(all="ignore"):
        (g,) = grad((L.eigh(x).eigenvectors * normal(*a.shape)).sum(), x)
    assert not np.isfinite(g.data).all()


@pytest.mark.parametrize("a", EQUAL, ids=["identity", "two equal", "zeros"])
def test_equal_singular_values_have_a_gradient_and_their_vectors_none(a):
    x = leaf(a)
    (g,) = grad((L.svd(x).S ** 2).sum(), x)
    np.testing.assert_allclose(g.data, 2 * a, atol=1e-14)
    for part in ("U", "Vh"):
        x = leaf(a)
        with np.errstate(all="ignore"):
            (g,) = grad((getattr(L.svd(x), part) * normal(*a.shape)).sum(), x)
        assert not np.isfinite(g.data).all()


def test_a_second_derivative_through_equal_values_is_not_a_silent_number():
    def squares(x):
        return (L.eigh(symmetric(x)).eigenvalues ** 2).sum()

    with np.errstate(all="ignore"):
        assert not np.isfinite(hessian(squares)(np.eye(2)).data).all()
    a = np.diag([1.0, 2.0])  # of different ones it is that of the sum of the squares of a
    expected = hessian(lambda x: ops.square(symmetric(x)).sum())(a).data
    np.testing.assert_allclose(hessian(squares)(a).data, expected, atol=1e-14)


def test_dependent_columns_have_no_qr_derivative():
    x = leaf(np.zeros((3, 2)))
    with pytest.raises(np.linalg.LinAlgError, match="[Ss]ingular"):
        grad(L.qr(x).R.sum(), x)


FACTORS = {
    "eigenvalues": lambda x: L.eigh(symmetric(x)).eigenvalues,
    "eigenvectors": lambda x: L.eigh(symmetric(x)).eigenvectors,
    **{f"svd {part}": lambda x, p=part: getattr(L.svd(x), p) for part in ("U", "S", "Vh")},
    **{f"qr {part}": lambda x, p=part: getattr(L.qr(x), p) for part in "QR"},
    "pinv": L.pinv,
    "nuclear norm": lambda x: L.matrix_norm(x, ord="nuc"),
    "Frobenius norm": L.matrix_norm,
}


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
@pytest.mark.parametrize("name", FACTORS)
def test_a_scale_far_from_one_changes_nothing_else(name, scale):
    f = FACTORS[name]
    for shape in [(3, 3)] if name.startswith("eigen") else [(3, 3), (4, 2), (2, 4)]:
        a = normal(*shape)
        x, far = leaf(a), leaf(scale * a)
        y, y_far = f(x), f(far)
        degree = {"pinv": -1, "qr R": 1, "svd S": 1, "eigenvalues": 1}.get(name, 0)
        degree = 1 if name.endswith("norm") else degree
        np.testing.assert_allclose(y_far.data / scale**degree, y.data, rtol=1e-10, atol=1e-12)
        w = normal(*y.shape, seed=3)
        (g,) = grad(y, x, w)
        (g_far,) = grad(y_far, far, w * (scale if degree < 0 else 1.0))
        back = 1.0 if degree > 0 else scale
        np.testing.assert_allclose(g_far.data * back, g.data, rtol=1e-8, atol=1e-11)


# --- Determinants --------------------------------------------------------------------------------


def minor(a, i, j):
    return np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))


@pytest.mark.parametrize(
    "a",
    [
        np.diag([1.0, 2.0, 0.0]),
        np.diag([1.0, 0.0, 0.0]),
        np.zeros((3, 3)),
        np.arange(9.0).reshape(3, 3),
        np.outer(normal(4), normal(4, seed=1)),
        normal(4, 4),
        np.zeros((1, 1)),
    ],
    ids=["rank 2", "rank 1", "rank 0", "rank 2 by rounding", "outer", "regular", "one by one"],
)
def test_the_two_derivatives_of_a_determinant_are_minors(a):
    n = len(a)
    first = slope(L.det)(a).data
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    minors = [[minor(a, i, j) for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(first, signs * minors, rtol=1e-9, atol=1e-13)
    second = hessian(L.det)(a).data
    for i, j, k, m in itertools.product(range(n), repeat=4):
        right = 0.0
        if i != k and j != m:  # expand along row i and then along row k
            rest = np.delete(np.delete(a, [i, k], 0), [j, m], 1)
            right = (-1.0) ** (i + j + k + m + (k > i) + (m > j)) * np.linalg.det(rest)
        np.testing.assert_allclose(second[i, j, k, m], right, rtol=1e-9, atol=1e-13)


def test_the_third_derivative_of_a_determinant():
    f = slope(lambda x: (slope(L.det)(x) ** 2).sum())  # third derivatives come in with its Hessian
    for a in (normal(3, 3), np.eye(3)):
        check_grad(f, a, order=2)
    with pytest.raises(np.linalg.LinAlgError, match="[Ss]ingular"):
        hessian(lambda x: (f(x) ** 2).sum())(np.zeros((3, 3)))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_slogdet_where_the_determinant_itself_is_out_of_range(scale):
    a = normal(3, 3)
    x = leaf(scale * a)
    sign, y = L.slogdet(x)
    assert sign.item() == np.sign(np.linalg.det(a))
    right = np.log(abs(np.linalg.det(a))) + 3 * math.log(scale)
    np.testing.assert_allclose(y.item(), right, rtol=1e-13)
    np.testing.assert_allclose(grad(y, x)[0].data * scale, np.linalg.inv(a).T, rtol=1e-10)


def test_slogdet_of_a_singular_matrix():
    x = leaf(np.zeros((2, 2)))
    sign, y = L.slogdet(x)
    assert sign.item() == 0 and y.item() == -math.inf
    with pytest.raises(np.linalg.LinAlgError, match="[Ss]ingular"):
        grad(y, x)


# --- Norms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, (0, 2), (2, 0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("ord", [0, 0.5, 1, 2, 3, -1, -2.5, math.inf, -math.inf, np.float32(2)])
def test_vector_norms_are_numpys(axis, keepdims, ord):
    x = normal(2, 3, 4)
    found = L.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    expected = np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    assert found.shape == expected.shape and found.dtype == x.dtype
    np.testing.assert_allclose(found.data, expected, rtol=1e-13)


@pytest.mark.parametrize("axis", [(0, 2), (2, 0), (-1, 1)])
@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_matrix_norms_are_numpys(axis, ord):
    x = normal(2, 3, 4)
    for keepdims in (False, True):
        found, expected = (f(x, ord, axis, keepdims) for f in (L.norm, np.linalg.norm))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.data, expected, rtol=1e-13)


def test_the_number_of_nonzeros_has_no_gradient():
    y = L.norm(leaf([0.0, 2.0, 3.0]), 0)
    assert y.item() == 2 and y.dtype == np.float64 and not y.requires_grad


def test_only_the_row_without_a_derivative_has_none():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    h = hessian(lambda x: L.norm(x, axis=1).sum())(x).data
    assert np.isnan(h[0, :, 0]).any() and np.isfinite(h[1]).all() and not h[1, :, 0].any()
    h = hessian(lambda x: (L.norm(x, axis=1) * np.array([0.0, 1.0])).sum())(x).data
    np.testing.assert_allclose(h[1, :, 1], [[0.128, -0.096], [-0.096, 0.072]], rtol=1e-12)


@pytest.mark.parametrize(
    "p, first, second",
    [(1, 0, math.nan), (0.5, 0, math.nan), (1.5, 0, math.nan), (2, 0, 0.5), (3, 0, 0)],
)
def test_an_element_that_is_zero_in_a_norm_that_is_not(p, first, second):
    x = np.array([2.0, 0.0])
    with np.errstate(all="ignore"):
        g, h = slope(lambda x: L.norm(x, p))(x).data, hessian(lambda x: L.norm(x, p))(x).data
    np.testing.assert_array_equal([g[1], h[1, 1]], [first, second])
