"""``matmul_precision("bf16")``: products of rounded operands, and nothing else is rounded."""

import ast
import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, kernels, matmul_precision, ops, use_kernels
from autograd._bfloat16 import from_bf16, rounded, to_bf16
from autograd.device import numpy_namespace as xp
from autograd.precision import current_precision

KERNELS = Path(kernels.__file__).parent
TARGETS = np.array([[0, 4, -100], [2, 1, 4]])

OPERATIONS = {
    "linear": (ops.linear, ((2, 3, 4), (5, 4), (5,))),
    "feed_forward": (ops.feed_forward, ((2, 3, 4), (6, 4), (6,), (4, 6), (4,))),
    "linear_cross_entropy": (
        lambda h, w: ops.linear_cross_entropy(h, w, TARGETS),
        ((2, 3, 4), (5, 4)),
    ),
    "causal_attention": (lambda x: ops.causal_attention(x, 2), ((2, 5, 12),)),
    "grouped_query_attention": (
        lambda q, k, v: ops.grouped_query_attention(q, k, v, window=3, softcap=5.0),
        ((1, 4, 5, 3), (1, 2, 5, 3), (1, 2, 5, 3)),
    ),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


@pytest.fixture(autouse=True)
def references():
    """What is defined here; the kernels are compared with it elsewhere."""
    with use_kernels("reference"):
        yield


def inputs(name, dtype="f4"):
    rng = np.random.default_rng(5)
    return [rng.standard_normal(s).astype(dtype) for s in OPERATIONS[name][1]]


def results(name, arrays, outside=False):
    """The output and the gradients at bf16; with ``outside`` backward runs out of the context."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    with matmul_precision("bf16"):
        y = OPERATIONS[name][0](*xs)
        w = np.random.default_rng(6).standard_normal(y.shape).astype(y.dtype)
        if not outside:
            return [y.data, *(g.data for g in grad(y, xs, w))]
    return [y.data, *(g.data for g in grad(y, xs, w))]


# --- the rounding ---------------------------------------------------------------------------------


def by_definition(number):
    """A float32 as bf16: the nearest of its two neighbours, ties to the even mantissa."""
    bits = int(np.float32(number).view("u4"))
    if np.isnan(number):
        return np.float32(np.nan)
    if abs(number) < 2.0**-126:
        return np.float32(np.copysign(0, number))
    below, rest = bits >> 16, bits & 0xFFFF
    up = rest > 0x8000 or (rest == 0x8000 and below % 2 == 1)
    return np.uint32((below + up) << 16).view("f4")


def special_numbers():
    halves = np.arange(0x3F80, 0x3F90, dtype="u4") << np.uint32(16)
    near_ties = np.concatenate([halves + i for i in range(0x7FFF, 0x8002)]).view("f4")
    edges = np.float32([0.0, 1e-45, 1e-39, 2.0**-126, 3.38e38, 3.4028235e38, np.inf, np.nan])
    nans = np.uint32([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF80FFFF]).view("f4")
    random = np.frombuffer(np.random.default_rng(1).bytes(4 * 2000), "f4")
    numbers = np.concatenate([near_ties, edges, random])
    return np.concatenate([numbers, -numbers, nans])


def test_numbers_are_rounded_to_the_nearest_with_ties_to_even():
    numbers = special_numbers()
    found, expected = rounded(xp, numbers), [by_definition(x) for x in numbers]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(numbers[found == 0]))
    kept = to_bf16(xp, numbers)
    assert kept.dtype == np.uint16 and kept.nbytes == numbers.nbytes // 2
    np.testing.assert_array_equal(from_bf16(kept), found)
    np.testing.assert_array_equal(rounded(xp, found), found)


def test_only_float32_is_rounded_and_the_layout_stays():
    x = np.random.default_rng(2).standard_normal((4, 6))
    for array in (x, x.astype("f2"), x.astype("i4")):
        assert rounded(xp, array) is array
    x = x.astype("f4")
    before = x.copy()
    assert rounded(xp, x.T).flags.f_contiguous and rounded(xp, x[:, ::2]).shape == (4, 3)
    assert rounded(xp, x).dtype == np.float32
    np.testing.assert_array_equal(x, before)


# --- products -------------------------------------------------------------------------------------


def test_a_product_rounds_both_operands_and_adds_in_float32():
    a, b = (np.random.default_rng(s).standard_normal((8, 8)).astype("f4") for s in (1, 2))
    expected = rounded(xp, a) @ rounded(xp, b)
    np.testing.assert_array_equal(xp.product(a, b, "bf16"), expected)
    np.testing.assert_array_equal(ops.product(a, b, "bf16").data, expected)
    np.testing.assert_array_equal(xp.product(a, b, "float32"), a @ b)
    with matmul_precision("bf16"):  # says nothing about matmul
        np.testing.assert_array_equal((Tensor(a) @ b).data, a @ b)
    with pytest.raises(ValueError, match="product: unknown precision 'fp8'"):
        ops.product(a, b, "fp8")
    with pytest.raises(ValueError, match=r"product takes matrices, got shapes \(8,\) and"):
        ops.product(a[0], b)


FOLDERS = ("attention", "feed_forward", "grouped_query_attention", "linear", "linear_cross_entropy")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_reference_makes_every_product_at_the_precision(folder):
    tree = ast.parse((KERNELS / folder / "reference.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    products = [n for n in calls if ast.unparse(n.func) == "xp.product"]
    assert len(products) >= 3 and {ast.unparse(n.args[2]) for n in products} == {"precision"}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.MatMult)]


@each_operation
def test_results_are_float32_and_near_those_of_float64(name):
    arrays = inputs(name)
    exact = results(name, [a.astype("f8") for a in arrays])
    errors = []
    for a, b in zip(results(name, arrays), exact, strict=True):
        assert a.dtype == np.float32
        errors.append(np.abs(a - b).max() / np.abs(b).max())
    assert 1e-5 < errors[0] and max(errors) < 0.03


def test_a_linear_layer_at_bf16_by_hand():
    x, w, b = arrays = inputs("linear")
    y, g_x, g_w, g_b = results("linear", arrays)
    g = np.random.default_rng(6).standard_normal(y.shape).astype("f4")
    x2, w2, g2 = rounded(xp, x).reshape(6, 4), rounded(xp, w), rounded(xp, g).reshape(6, 5)
    np.testing.assert_array_equal(y.reshape(6, 5), x2 @ w2.T + b)
    np.testing.assert_array_equal(g_x.reshape(6, 4), g2 @ w2)
    np.testing.assert_array_equal(g_w, g2.T @ x2)
    np.testing.assert_array_equal(g_b, g.reshape(6, 5).sum(axis=0))  # a sum, not a product


@each_operation
def test_backward_uses_the_precision_of_forward(name):
    arrays = inputs(name)
    inside, outside = results(name, arrays), results(name, arrays, outside=True)
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_array_equal(a, b)
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = OPERATIONS[name][0](*xs)  # in float32
    w = np.random.default_rng(6).standard_normal(y.shape).astype(y.dtype)
    expected = [g.data for g in grad(y, xs, w, retain_graph=True)]
    with matmul_precision("bf16"):
        found = [g.data for g in grad(y, xs, w)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@each_operation
def test_float64_and_float16_compute_as_before(name):
    call = OPERATIONS[name][0]
    with matmul_precision("bf16"):
        check_grad(call, *inputs(name, "f8"), order=2)
    xs = inputs(name, "f2")
    with matmul_precision("bf16"):
        y = call(*map(Tensor, xs)).data
    np.testing.assert_array_equal(y, call(*map(Tensor, xs)).data)


@each_operation
def test_under_create_graph_the_gradients_are_the_same(name):
    arrays = inputs(name)
    first = results(name, arrays)[1:]
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    with matmul_precision("bf16"):
        y = OPERATIONS[name][0](*xs)
    w = np.random.default_rng(6).standard_normal(y.shape).astype("f4")
    recorded = grad(y, xs, w, create_graph=True)
    for a, b in zip(recorded, first, strict=True):
        np.testing.assert_allclose(a.data, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    second = grad(recorded[0].sum(), xs, allow_unused=True)
    assert all(g is None or np.isfinite(g.data).all() for g in second)


# --- the context ----------------------------------------------------------------------------------


def test_the_precision_belongs_to_the_context():
    assert current_precision() == "float32"
    with matmul_precision("bf16"):
        with matmul_precision("float32"):
            assert current_precision() == "float32"
        assert current_precision() == "bf16"
        there = []
        thread = threading.Thread(target=lambda: there.append(current_precision()))
        thread.start()
        thread.join()
        assert there == ["float32"]
    assert current_precision() == "float32"


def test_as_a_decorator_it_holds_in_functions_generators_and_coroutines():
    decorate = matmul_precision("bf16")
    assert decorate(current_precision)() == "bf16"

    @decorate
    def generator():
        yield current_precision()
        yield current_precision()

    found = []
    for precision in generator():
        found += [precision, current_precision()]
    assert found == ["bf16", "float32"] * 2

    @decorate
    async def coroutine():
        return current_precision()

    assert asyncio.run(coroutine()) == "bf16"
    assert current_precision() == "float32"

    async def steps():
        yield

    with pytest.raises(TypeError, match="matmul_precision cannot decorate the asynchronous"):
        decorate(steps)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'fp8': choose one of float32, bf16"):
        matmul_precision("fp8")
