"""Every compiled kernel against its reference, called directly: no engine, no dispatcher."""

import numpy as np
import pytest
from kernel_checks import (
    INF,
    NAN,
    REDUCTIONS,
    assert_same,
    both_dtypes,
    cpu,
    flat,
    normal,
    reference,
    xp,
)

pytestmark = pytest.mark.usefixtures("quiet")


def compare(op, name, dtype, *arguments, **options):
    """Run a function of cpu.py and of reference.py; inputs must survive, two calls must agree."""
    before = [a.copy() for a in flat(arguments) if isinstance(a, np.ndarray)]
    found = getattr(cpu(op), name)(xp, *arguments, **options)
    again = getattr(cpu(op), name)(xp, *arguments, **options)
    expected = getattr(reference(op), name)(xp, *arguments, **options)
    assert_same(found, expected, dtype)
    for a, b in zip(flat(found), flat(again), strict=True):
        np.testing.assert_array_equal(a, b)  # the same bits: threads leave no trace
    after = [a for a in flat(arguments) if isinstance(a, np.ndarray)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    return found


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


@both_dtypes
@pytest.mark.parametrize("shape", [(37,), (1, 5), (0, 5), (3, 7, 33), (700, 260)])
def test_layer_norm_kernel(dtype, shape):
    C = shape[-1]
    x, g = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    weight, bias = normal(C, dtype=dtype), normal(C, dtype=dtype, seed=2)
    y, cache = compare("layer_norm", "forward", dtype, x, weight, bias, 1e-5)
    compare("layer_norm", "backward", dtype, g, x, weight, 1e-5)
    compare("layer_norm", "backward", dtype, g, x, weight, 1e-5, cache=cache)


@both_dtypes
def test_layer_norm_kernel_on_special_numbers(dtype):
    x = special_rows(dtype)
    weight, bias = normal(7, dtype=dtype), normal(7, dtype=dtype, seed=1)
    compare("layer_norm", "forward", dtype, x, weight, bias, 1e-5)
    for row, g_row in zip(x, normal(*x.shape, dtype=dtype, seed=3), strict=True):
        compare("layer_norm", "backward", dtype, g_row, row, weight, 1e-5)


@both_dtypes
@pytest.mark.parametrize("shape", [(37,), (1, 5), (0, 5), (3, 7, 33), (700, 260)])
def test_rms_norm_kernel(dtype, shape):
    x, g = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    weight = normal(shape[-1], dtype=dtype)
    cache = compare("rms_norm", "forward", dtype, x, weight, 1e-5)[1]
    compare("rms_norm", "backward", dtype, g, x, weight, 1e-5)
    compare("rms_norm", "backward", dtype, g, x, weight, 1e-5, cache=cache)


@both_dtypes
def test_rms_norm_kernel_on_special_numbers(dtype):
    x, weight = special_rows(dtype), normal(7, dtype=dtype)
    compare("rms_norm", "forward", dtype, x, weight, 1e-5)
    for row, g_row in zip(x, normal(*x.shape, dtype=dtype, seed=3), strict=True):
        compare("rms_norm", "backward", dtype, g_row, row, weight, 1e-5)


@both_dtypes
@pytest.mark.parametrize("shape", [(37,), (1, 1), (0, 5), (3, 0), (3, 7, 33), (700, 260)])
def test_softmax_kernel(dtype, shape):
    x, g = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    y = compare("softmax", "forward", dtype, x)
    compare("softmax", "backward", dtype, g, y)


@both_dtypes
def test_softmax_kernel_on_special_numbers(dtype):
    x = np.concatenate([special_rows(dtype), np.full((1, 7), -INF, dtype)])
    y = compare("softmax", "forward", dtype, x)
    compare("softmax", "backward", dtype, special_rows(dtype), y[:-1])
    assert np.isnan(y[-1]).all()  # as in PyTorch


@both_dtypes
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_kernel(dtype, approximate):
    limits = np.finfo(dtype)
    special = [NAN, INF, -INF, limits.max, limits.min, limits.tiny, 1e-40, 41.0, -41.0, 0.0, -0.0]
    sizes = [np.array(special, dtype), np.zeros((0, 3), dtype), normal(1, dtype=dtype)]
    for x in [*sizes, 4 * normal(419, 333, dtype=dtype)]:
        compare("gelu", "forward", dtype, x, approximate)
        g = normal(*x.shape, dtype=dtype, seed=1)
        compare("gelu", "backward", dtype, g, x, approximate)


@both_dtypes
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (0, 5), (13, 37), (300, 517)])
def test_cross_entropy_kernel(dtype, reduction, shape):
    N, V = shape
    logits = 3 * normal(N, V, dtype=dtype)
    targets = np.random.default_rng(0).integers(0, V, N)
    targets[::3] = -100
    g = normal(N, dtype=dtype) if reduction == "none" else np.full((), 1.5, dtype)
    options = (targets, -100, reduction)
    cache = compare("cross_entropy", "forward", dtype, logits, *options)[1]
    compare("cross_entropy", "backward", dtype, g, logits, *options)
    compare("cross_entropy", "backward", dtype, g, logits, *options, cache=cache)


@both_dtypes
def test_cross_entropy_kernel_on_special_numbers(dtype):
    logits = special_rows(dtype)
    targets = np.arange(len(logits)) % 7
    options = (targets, -100, "none")
    g = normal(len(logits), dtype=dtype)
    compare("cross_entropy", "forward", dtype, logits, *options)
    compare("cross_entropy", "backward", dtype, g, logits, *options)


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


@pytest.mark.parametrize("where", [reference, cpu])
def test_every_target_ignored_is_a_loss_of_zero(where):
    x, targets, one = normal(3, 4), np.full(3, -1), np.ones(())
    loss, cache = where("cross_entropy").forward(xp, x, targets, -1, "mean")
    assert loss == 0
    assert not where("cross_entropy").backward(xp, one, x, targets, -1, "mean", cache).any()
    f = where("linear_cross_entropy")
    loss, cache = f.forward(xp, x, x, targets, -1, "mean")
    g_h, g_weight = f.backward(xp, one, x, x, targets, -1, "mean", cache)
    assert loss == 0 and not g_h.any() and not g_weight.any()


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
        compare("linear_cross_entropy", "backward", dtype, np.ones(4, dtype), *options)


@both_dtypes
@pytest.mark.parametrize(
    "B, T, H, D",
    [(1, 1, 1, 1), (0, 3, 2, 4), (2, 0, 2, 4), (2, 13, 3, 5), (1, 33, 1, 1), (2, 160, 2, 8)],
)
def test_attention_kernel(dtype, B, T, H, D):
    qkv = normal(B, T, 3 * H * D, dtype=dtype)
    g = normal(B, T, H * D, dtype=dtype, seed=1)
    y, cache = compare("attention", "forward", dtype, qkv, H)
    compare("attention", "backward", dtype, g, qkv, y, H)
    compare("attention", "backward", dtype, g, qkv, y, H, cache=cache)


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
        y, cache = compare("attention", "forward", dtype, qkv, 2)
        if not np.isfinite(value):
            g = normal(1, 6, 4, dtype=dtype, seed=1)
            compare("attention", "backward", dtype, g, qkv, y, 2)
            compare("attention", "backward", dtype, g, qkv, y, 2, cache=cache)


@both_dtypes
@pytest.mark.parametrize("shape", [(7,), (0, 7), (1, 7), (3, 5, 7), (900, 7)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear_kernel(dtype, shape, biased):
    x, weight = normal(*shape, dtype=dtype), normal(110, 7, dtype=dtype)
    bias = normal(110, dtype=dtype) if biased else None
    compare("linear", "forward", dtype, x, weight, bias)
    if biased and len(shape) == 2 and len(x):
        bias[:3] = NAN, INF, np.finfo(dtype).max
        compare("linear", "forward", dtype, x, weight, bias)


@both_dtypes
@pytest.mark.parametrize(
    "ids", [np.array([3, 3, -1, 0]), np.array([[1], [2]], "u2"), np.zeros((0, 2), int)]
)
def test_embedding_kernel(dtype, ids):
    g = normal(*ids.shape, 70, dtype=dtype)
    compare("embedding", "backward", dtype, g, ids, (5, 70))
    into = normal(5, 70, dtype=dtype)
    expected = into + reference("embedding").backward(xp, g, ids, (5, 70))
    found = cpu("embedding").backward(xp, g, ids, (5, 70), into=into)
    assert found is into
    assert_same(found, expected, dtype)


@both_dtypes
def test_embedding_kernel_on_special_numbers(dtype):
    g = special_rows(dtype)
    compare("embedding", "backward", dtype, g, np.arange(len(g)) % 4, (len(g), 7))
    many = np.random.default_rng(0).integers(0, 50, 5000)
    compare("embedding", "backward", dtype, normal(5000, 130, dtype=dtype), many, (50, 130))


@both_dtypes
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_kernel(dtype, p):
    for x in (special_rows(dtype), np.zeros((0, 2), dtype), normal(411, 333, dtype=dtype)):
        keep = np.random.default_rng(0).random(x.shape) >= p
        compare("dropout", "forward", dtype, x, keep, p)
        compare("dropout", "backward", dtype, x, keep, p)


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
def test_adamw_kernel_on_special_numbers(dtype):
    g = special_rows(dtype)
    p, m, v = (np.ones_like(g) for _ in range(3))
    options = (0.01, 0.9, 0.95, 1e-8, 0.1, 1, 1.0)
    expected = reference("adamw").update(xp, p, g, m, v, *options)
    assert_same(cpu("adamw").update(xp, p, g, m, v, *options), expected, dtype)
