"""Both attentions at bf16, where the processor multiplies bf16 numbers, against their references.

Kernel and reference round the same operands. Their sums have different orders, so now and then a
weight, or the gradient of a score, is rounded to the other neighbour. All results together must
still be ten times nearer to the reference than the reference at float32 is.
"""

import numpy as np
import pytest
from kernel_checks import INF, NAN, cpu, normal, reference, xp

from autograd import Tensor, grad, matmul_precision, ops, use_kernels
from autograd.kernels import _threads
from autograd.kernels.attention import bf16
from autograd.kernels.product import method

has_bf16 = pytest.mark.skipif(method() is None, reason="no instructions for bf16 products")


def packed(B, T, H, D):
    return normal(B, T, 3 * H * D, dtype="f4"), normal(B, T, H * D, dtype="f4", seed=1)


def separate(B, H, G, T, S, D):
    q, g = (normal(B, T, H, D, dtype="f4", seed=i).swapaxes(1, 2) for i in (0, 1))
    k, v = (normal(B, S, G, D, dtype="f4", seed=i).swapaxes(1, 2) for i in (2, 3))
    return q, k, v, g


def causal(f, qkv, g, H, precision):
    """The output, and the gradients of q, k and v."""
    y, cache = f.forward(xp, qkv, H, precision)
    g_qkv = f.backward(xp, g, qkv, y, H, cache, precision)
    return y, *np.split(g_qkv, 3, axis=-1)


def grouped(f, q, k, v, g, options, precision):
    y, cache = f.forward(xp, q, k, v, *options, precision)
    return y, *f.backward(xp, g, q, k, v, y, *options, cache, precision)


def difference(a, b):
    return float(np.linalg.norm(np.ravel(a - b)) / (np.linalg.norm(np.ravel(a)) or 1))


def worst(run, op, *arguments, kernel=None):
    """The largest error of a result, and of all errors together in units of what bf16 changes."""
    expected = run(reference(op), *arguments, "bf16")
    found = run(kernel or cpu(op), *arguments, "bf16")
    exact = run(reference(op), *arguments, "float32")
    errors = [difference(a, b) for a, b in zip(expected, found, strict=True)]
    changes = [difference(a, b) for a, b in zip(expected, exact, strict=True)]
    assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in expected]
    return max(errors), sum(errors) / sum(changes)


SIZES = [
    (2, 256, 2, 64), (1, 1, 1, 1), (2, 33, 2, 24), (1, 65, 3, 64), (1, 100, 1, 128),
    (2, 129, 2, 1), (1, 300, 2, 40),
]  # fmt: skip
GROUPED = {
    "groups": (2, 4, 2, 96, 96, 64, None, None, False),
    "one group, a cap, earlier keys": (1, 4, 1, 70, 100, 24, None, 3.0, False),
    "a window": (1, 4, 2, 130, 200, 32, 37, None, False),
    "documents, a window, a cap": (2, 2, 2, 200, 200, 33, 50, 2.0, True),
    "one query": (1, 6, 2, 1, 77, 8, None, None, False),
}


def grouped_case(B, H, G, T, S, D, window, cap, documents):
    position = np.tile(np.arange(S - T, S), (B, 1))
    starts = position // 60 * 60 if documents else None
    return *separate(B, H, G, T, S, D), (-0.3, window, cap, starts)


@has_bf16
@pytest.mark.parametrize("B, T, H, D", SIZES)
def test_causal_attention_as_in_the_reference(B, T, H, D):
    error, share = worst(causal, "attention", *packed(B, T, H, D), H)
    assert error < 1e-3 and share < 0.1


@has_bf16
@pytest.mark.parametrize("name", GROUPED)
def test_grouped_query_attention_as_in_the_reference(name):
    error, share = worst(grouped, "grouped_query_attention", *grouped_case(*GROUPED[name]))
    assert error < 1e-3 and share < 0.1


@has_bf16
@pytest.mark.parametrize("wrong", ["scale", "hidden key", "unrounded"])
def test_the_comparison_finds_a_planted_bug(wrong, monkeypatch):
    each_head = bf16._each_head

    def with_a_bug(kernel, n_heads, size, *arguments):
        *arrays, first, scale, window, cap = arguments
        if wrong == "scale":
            scale = scale * 1.004
        if wrong == "hidden key":
            first = first + (np.arange(first.shape[1]) == 70)
        each_head(kernel, n_heads, size, *arrays, first, scale, window, cap)

    monkeypatch.setattr(bf16, "_each_head", with_a_bug)
    kernel = FloatReference if wrong == "unrounded" else None
    _, share = worst(causal, "attention", *packed(1, 100, 2, 64), 2, kernel=kernel)
    assert share > 0.1


class FloatReference:
    """The definition without any rounding."""

    @staticmethod
    def forward(xp, *arguments):
        return reference("attention").forward(xp, *arguments[:-1])

    @staticmethod
    def backward(xp, *arguments):
        return reference("attention").backward(xp, *arguments[:-1])


@has_bf16
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_special_numbers_as_in_the_reference(number):
    H, D, T = 2, 5, 20
    for place in range(4):  # in q, k, v, g of head 1
        qkv, g = packed(1, T, H, D)
        array = g if place == 3 else qkv
        array[0, 11, (place % 3 * H + 1) * D + 2] = number
        results = [causal(f("attention"), qkv, g, H, "bf16") for f in (reference, cpu)]
        for a, b in zip(*results, strict=True):
            for same in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(same(a), same(b), err_msg=f"place {place}")
            assert not np.isnan(b.reshape(T, H, D)[:, 0]).any()  # the other head


@pytest.mark.parametrize("which", [reference, cpu])
def test_what_keys_and_values_have_in_common_is_no_error(which):
    """The rows of g_S sum to 0: a common part of the keys must not meet a rounding error there."""
    H, D = 1, 64
    qkv, g = packed(1, 128, H, D)
    common = 2 * normal(2, 1, 1, D, dtype="f4", seed=2)
    qkv[..., D : 2 * D] += common[0]
    qkv[..., 2 * D :] += common[0]
    g += common[1]
    exact = causal(reference("attention"), qkv.astype("f8"), g.astype("f8"), H, "float32")
    found = causal(which("attention"), qkv, g, H, "bf16")
    errors = [difference(a, b) for a, b in zip(found, exact, strict=True)]
    assert max(errors) < 0.012, errors  # with the sum from g and y, that of g_q is 0.03
    alone = causal(which("attention"), qkv[:, :1], g[:, :1], H, "bf16")
    assert not alone[1].any() and not alone[2].any()  # who sees only himself cannot look elsewhere


@has_bf16
def test_the_results_do_not_depend_on_the_threads(monkeypatch):
    q, k, v, g, options = grouped_case(3, 4, 2, 70, 70, 32, None, None, False)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(_threads, "n_threads", lambda threads=threads: threads)
        results.append(grouped(cpu("grouped_query_attention"), q, k, v, g, options, "bf16"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_without_instructions_the_reference_runs(monkeypatch):
    monkeypatch.setattr(bf16, "method", lambda: None)
    arguments = *packed(1, 9, 2, 4), 2
    assert worst(causal, "attention", *arguments) == (0, 0)
    arguments = grouped_case(1, 4, 2, 9, 9, 4, None, None, False)
    assert worst(grouped, "grouped_query_attention", *arguments) == (0, 0)


@pytest.mark.parametrize("shape", [(0, 3, 12), (2, 0, 12), (2, 3, 0)])
def test_of_nothing(shape):
    with matmul_precision("bf16"):
        assert ops.causal_attention(np.ones(shape, "f4"), 2).shape == (*shape[:2], shape[2] // 3)


def test_float64_is_not_rounded():
    qkv, g = (a.astype("f8") for a in packed(1, 40, 2, 4))
    expected = causal(cpu("attention"), qkv, g, 2, "float32")
    for a, b in zip(causal(cpu("attention"), qkv, g, 2, "bf16"), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@has_bf16
def test_the_operations_run_it():
    (qkv, g), (q, k, v, _) = packed(1, 40, 2, 8), separate(1, 2, 1, 40, 40, 8)
    expected = causal(cpu("attention"), qkv, g, 2, "bf16")
    x = Tensor(qkv, requires_grad=True)
    with use_kernels("cpu"), matmul_precision("bf16"):
        y = ops.causal_attention(x, 2)
        (g_qkv,) = grad(y, [x], g)
        z = ops.grouped_query_attention(q, k, v)
    np.testing.assert_array_equal(y.data, expected[0])
    np.testing.assert_array_equal(g_qkv.data, np.concatenate(expected[1:], axis=-1))
    options = 8**-0.5, None, None, None, "bf16"
    expected, _ = cpu("grouped_query_attention").forward(xp, q, k, v, *options)
    np.testing.assert_array_equal(z.data, expected)
