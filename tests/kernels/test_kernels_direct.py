"""Compiled kernels, called directly: options, work in place, blocks, another BLAS.

Neither the engine nor the dispatcher takes part. test_kernel_sizes.py and test_kernel_extremes.py
compare kernels with their references at every size and on special numbers.
"""

import numpy as np
import pytest
from kernel_checks import (
    INF,
    NAN,
    REDUCTIONS,
    assert_same,
    both_dtypes,
    compared,
    cpu,
    normal,
    reference,
    xp,
)

pytestmark = pytest.mark.usefixtures("quiet")


def special_rows(dtype, columns=7):
    """Rows that hold one special number each, between plain ones."""
    limits = np.finfo(dtype)
    special = [NAN, INF, -INF, limits.max, limits.min, limits.tiny, 1e-40, 0.0, -0.0]
    x = normal(len(special) + 2, columns, dtype=dtype)
    for i, value in enumerate(special):
        x[i + 1, (3 * i) % columns] = value
    return x


@pytest.mark.parametrize("where", [reference, cpu])
def test_unneeded_gradients_are_none(where):
    x, targets = normal(3, 4), np.array([0, 1, 2])
    norm, loss = where("layer_norm"), where("linear_cross_entropy")
    for k in range(3):
        needs = tuple(i == k for i in range(3))
        found = norm.backward(xp, x, x, x[0], 1e-5, None, needs)
        assert tuple(array is not None for array in found) == needs
        found = where("rms_norm").backward(xp, x, x, x[0], 1e-5, None, needs[:2])
        assert tuple(array is not None for array in found) == needs[:2]
        kept_x, kept_weight = (x if needs[1] else None), (x if needs[0] else None)
        found = reference("linear").backward(xp, x[:, :3], kept_x, kept_weight, needs)
        assert tuple(array is not None for array in found) == needs
    for needs in [(True, False), (False, True)]:
        for reduction in REDUCTIONS:
            g = np.ones(3) if reduction == "none" else np.ones(())
            options = (x, x, targets, -100, reduction)
            cache = loss.forward(xp, *options, needs)[1]
            found = loss.backward(xp, g, *options, cache, needs)
            assert tuple(array is not None for array in found) == needs


@pytest.mark.parametrize("where", [reference, cpu])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_reach_nothing(where, reduction):
    x, weight, targets = normal(4, 5), normal(6, 5), np.array([-100, 1, -100, 2])
    x[0], x[2] = NAN, INF
    g = np.array([NAN, 1, INF, 1]) if reduction == "none" else np.ones(())
    f, options = where("cross_entropy"), (targets, -100, reduction)
    loss, cache = f.forward(xp, x, *options)
    assert np.isfinite(loss).all()
    for kept in (cache, None):
        g_x = f.backward(xp, g, x, *options, kept)
        assert np.isfinite(g_x).all() and not g_x[[0, 2]].any() and g_x[[1, 3]].all()
    f, options = where("linear_cross_entropy"), (x, weight, *options)
    loss, cache = f.forward(xp, *options)
    g_x, g_weight = f.backward(xp, g, *options, cache)
    assert np.isfinite(loss).all() and np.isfinite(g_weight).all() and g_weight.any()
    assert not g_x[[0, 2]].any() and g_x[[1, 3]].all()


@pytest.mark.parametrize("dtype", ["u2", "u4", "i4", "i8"])
def test_losses_take_any_integer_targets(dtype):
    x, targets = normal(4, 5), np.array([0, 4, 2, 2], dtype)
    for op, inputs in (("cross_entropy", (x,)), ("linear_cross_entropy", (x, x[:4] * 2))):
        targets_of = targets % 4 if op != "cross_entropy" else targets
        expected = reference(op).forward(xp, *inputs, targets_of.astype("i8"), -100, "mean")[0]
        for where in (reference, cpu):
            loss = where(op).forward(xp, *inputs, targets_of, -100, "mean")[0]
            np.testing.assert_allclose(loss, expected, rtol=1e-14)


@both_dtypes
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("N", [0, 1, 150])
def test_linear_cross_entropy_kernel(dtype, reduction, N, monkeypatch):
    f, exact = cpu("linear_cross_entropy"), reference("linear_cross_entropy")
    monkeypatch.setattr(f, "BLOCK_BYTES", 1)
    monkeypatch.setattr(f, "SMALLEST_BLOCK", 64)  # three blocks, the last one short
    h, weight = normal(N, 19, dtype=dtype), normal(37, 19, dtype=dtype)
    targets = np.random.default_rng(0).integers(0, 37, N)
    targets[1::4] = -7
    g = normal(N, dtype=dtype) if reduction == "none" else np.full((), 1.5, dtype)
    options = (h, weight, targets, -7, reduction)
    loss, cache = f.forward(xp, *options)
    assert_same(loss, exact.forward(xp, *options)[0], dtype)
    assert_same(f.forward(xp, *options, (False, False))[0], loss, dtype)
    expected = exact.backward(xp, g, *options)
    assert (cache is None) == (reduction == "none")
    assert_same(exact.backward(xp, g, *options, cache), expected, dtype)
    found = f.backward(xp, g, *options, cache)
    assert_same(found, expected, dtype)
    assert cache is None or found[1] is cache[1]  # given away, not copied
    assert_same(f.backward(xp, g, *options), expected, dtype)


@both_dtypes
def test_linear_cross_entropy_kernel_on_special_numbers(dtype):
    limits, f = np.finfo(dtype), cpu("linear_cross_entropy")
    weight = np.eye(5, dtype=dtype)
    h = normal(4, 5, dtype=dtype)
    h[1, 2], h[2, 0], h[3, 4] = limits.max, limits.min, limits.tiny
    targets = np.array([0, 2, 2, 4])
    for value in (None, NAN, INF, -INF):
        if value is not None:
            h[0, 3] = value
        options = (h, weight, targets, -100, "none")
        assert_same(
            f.forward(xp, *options)[0],
            reference("linear_cross_entropy").forward(xp, *options)[0],
            dtype,
        )
        compared("linear_cross_entropy", dtype).backward(xp, np.ones(4, dtype), *options)


def test_attention_kernel_without_openblas(monkeypatch):
    f, qkv, g = cpu("attention"), normal(2, 40, 30), normal(2, 40, 10, seed=1)
    expected, cache = f.forward(xp, qkv, 2)
    g_qkv = f.backward(xp, g, qkv, expected, 2, cache)
    monkeypatch.setattr(f, "available", lambda: False)
    y, cache = f.forward(xp, qkv, 2)
    assert_same(y, expected, "f8")
    assert_same(f.backward(xp, g, qkv, y, 2, cache), g_qkv, "f8")


def test_attention_keeps_precision_where_scores_are_large():
    # a log-sum-exp of thousands, in float32, would spoil the fourth digit of the weights
    qkv, g = normal(1, 70, 12), normal(1, 70, 4, seed=1).astype("f4")
    qkv[..., :8] = (4 * qkv[..., :8]).round() / 4  # few bits: the scores are exact
    qkv[..., 0] = qkv[..., 4] = 100  # and all about 100 100 / 2
    qkv = qkv.astype("f4")
    y, cache = cpu("attention").forward(xp, qkv, 1)
    assert cache[0].min() > 4900
    found = cpu("attention").backward(xp, g, qkv, y, 1, cache)[..., 1:]
    exact = reference("attention").forward(xp, qkv.astype("f8"), 1)[0]
    expected = reference("attention").backward(xp, g.astype("f8"), qkv.astype("f8"), exact, 1)
    expected = expected[..., 1:]  # without the gradient that is 0 and 100 times rounding noise
    assert np.abs(found - expected).max() < 3e-6 * np.abs(expected).max()


@both_dtypes
@pytest.mark.parametrize("value", [NAN, INF, -INF, "max", "min"])
def test_attention_kernel_on_special_numbers(dtype, value):
    value = getattr(np.finfo(dtype), value) if isinstance(value, str) else value
    for column in (0, 5, 9):  # in q, in k, in v
        qkv = normal(1, 6, 12, dtype=dtype)
        qkv[0, 3, column] = value
        y, cache = compared("attention", dtype).forward(xp, qkv, 2)
        if not np.isfinite(value):
            g = normal(1, 6, 4, dtype=dtype, seed=1)
            compared("attention", dtype).backward(xp, g, qkv, y, 2)
            compared("attention", dtype).backward(xp, g, qkv, y, 2, cache=cache)


@both_dtypes
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_kernel(dtype, p):
    for x in (special_rows(dtype), np.zeros((0, 2), dtype), normal(411, 333, dtype=dtype)):
        keep = np.random.default_rng(0).random(x.shape) >= p
        compared("dropout", dtype).forward(xp, x, keep, p)
        compared("dropout", dtype).backward(xp, x, keep, p)


@both_dtypes
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 7), (411, 333)])
def test_adamw_kernel_works_in_place(dtype, shape):
    p, g, m = (normal(*shape, dtype=dtype, seed=k) for k in range(3))
    v = normal(*shape, dtype=dtype, seed=3) ** 2
    options = (np.float64(0.01), 0.9, 0.95, 1e-8, 0.1, 3, np.float64(0.5))
    expected = reference("adamw").update(xp, p, g, m, v, *options)
    kept = g.copy()
    found = cpu("adamw").update(xp, p, g, m, v, *options)
    assert all(a is b for a, b in zip(found, (p, m, v), strict=True))
    assert_same(found, expected, dtype)
    np.testing.assert_array_equal(g, kept)


@both_dtypes
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("op, more", [("sgd", ()), ("muon", (5, 1.5, 3))])
def test_sgd_and_muon_kernels_work_in_place(op, more, nesterov, dtype):
    p, g, buffer = (normal(96, 130, dtype=dtype, seed=k) for k in range(3))
    options = (np.float64(0.01), 0.9, nesterov, 0.1, np.float64(0.5), *more)
    expected = reference(op).update(xp, p, g, buffer, *options)
    kept = g.copy()
    found = cpu(op).update(xp, p, g, buffer, *options)
    assert all(a is b for a, b in zip(found, (p, buffer), strict=True))
    assert_same(found, expected, dtype)
    np.testing.assert_array_equal(g, kept)


@both_dtypes
@pytest.mark.parametrize("shape", [(40, 40), (7, 90), (90, 7), (3, 20, 30), (1, 1), (0, 4), (4, 0)])
@pytest.mark.parametrize("steps", [1, 4, 5])
def test_newton_schulz_kernel(shape, steps, dtype):
    x = normal(*shape, dtype=dtype)
    kept = x.copy()
    found = cpu("muon").orthogonalize(xp, x, steps)
    expected = reference("muon").orthogonalize(xp, x, steps)
    assert found.dtype == x.dtype and not np.shares_memory(found, x)
    # rounding grows with the smallest singular values, at most by 3.4445 an iteration
    tolerance = 3.5**steps * 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(x, kept)
