"""Every reference against finite differences, and every compiled kernel against its reference.

The functions are called directly, with NumPy arrays: no engine, no dispatcher.
"""

import importlib
import warnings

import numpy as np
import pytest

from autograd.device import numpy_namespace as xp

REDUCTIONS = ["mean", "sum", "none"]
INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def quiet():
    """NumPy warns where a formula meets infinity; here that is on purpose."""
    with np.errstate(all="ignore"):
        yield


def reference(op):
    return importlib.import_module(f"autograd.kernels.{op}.reference")


def cpu(op):
    return importlib.import_module(f"autograd.kernels.{op}.cpu")


def normal(*shape, dtype="f8", seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def flat(result):
    """The arrays in a result, nested tuples and Nones included, in order."""
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [result]


def assert_same(found, expected, dtype):
    """Equal up to rounding: relative to the largest finite number of each array."""
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if b is None:
            assert a is None
            continue
        assert np.shape(a) == np.shape(b) and a.dtype == b.dtype == dtype
        finite = np.abs(b[np.isfinite(b)])
        scale = float(finite.max()) if finite.size else 0.0
        tolerance = 2e-5 if dtype == "f4" else 1e-12
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


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


def check_gradients(f, gradients, *inputs, h=1e-6):
    """Central differences of sum(f(*inputs) * g), number by number, against ``gradients(g)``."""
    g = normal(*np.shape(f(*inputs)), seed=7)
    found = gradients(g)
    assert len(found) == len(inputs)
    for k, x in enumerate(inputs):
        expected = np.empty_like(x)
        for i in np.ndindex(x.shape):
            low, high = x.copy(), x.copy()
            low[i] -= h
            high[i] += h
            y = [np.sum(f(*inputs[:k], v, *inputs[k + 1 :]) * g) for v in (low, high)]
            expected[i] = (y[1] - y[0]) / (2 * h)
        np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-6 * abs(expected).max())


def special_rows(dtype, columns=7):
    """Rows that hold one special number each, between plain ones."""
    limits = np.finfo(dtype)
    special = [NAN, INF, -INF, limits.max, limits.min, limits.tiny, 1e-40, 0.0, -0.0]
    x = normal(len(special) + 2, columns, dtype=dtype)
    for i, value in enumerate(special):
        x[i + 1, (3 * i) % columns] = value
    return x


both_dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])

# --- The references against finite differences ----------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 5)])
@pytest.mark.parametrize("cached", [True, False])
def test_layer_norm_gradient(shape, cached):
    f = reference("layer_norm")
    x, weight, bias = normal(*shape), normal(shape[-1], seed=1), normal(shape[-1], seed=2)
    cache = f.forward(xp, x, weight, bias, 1e-5)[1] if cached else None
    check_gradients(
        lambda *inputs: f.forward(xp, *inputs, 1e-5)[0],
        lambda g: f.backward(xp, g, x, weight, 1e-5, cache),
        *(x, weight, bias),
    )


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 1, 5)])
def test_softmax_gradient(shape):
    f, x = reference("softmax"), normal(*shape)
    y = f.forward(xp, x)
    np.testing.assert_allclose(y.sum(axis=-1), 1)
    check_gradients(lambda x: f.forward(xp, x), lambda g: (f.backward(xp, g, y),), x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("cached", [True, False])
def test_cross_entropy_gradient(reduction, cached):
    f, logits, targets = reference("cross_entropy"), normal(4, 5), np.array([1, -100, 4, 0])
    loss, cache = f.forward(xp, logits, targets, -100, reduction)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = np.where(targets < 0, 0, -np.log(p[range(4), abs(targets) % 5]))
    expected = {"mean": losses.sum() / 3, "sum": losses.sum(), "none": losses}[reduction]
    np.testing.assert_allclose(loss, expected)
    cache = cache if cached else None
    check_gradients(
        lambda logits: f.forward(xp, logits, targets, -100, reduction)[0],
        lambda g: (f.backward(xp, g, logits, targets, -100, reduction, cache),),
        logits,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_cross_entropy_gradient(reduction):
    f, targets = reference("linear_cross_entropy"), np.array([1, -100, 4, 0])
    h, weight = normal(4, 3), normal(5, 3)
    loss, cache = f.forward(xp, h, weight, targets, -100, reduction)
    whole = reference("cross_entropy").forward(xp, h @ weight.T, targets, -100, reduction)[0]
    np.testing.assert_allclose(loss, whole)
    check_gradients(
        lambda h, weight: f.forward(xp, h, weight, targets, -100, reduction)[0],
        lambda g: f.backward(xp, g, h, weight, targets, -100, reduction, cache),
        *(h, weight),
    )


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_gradient(approximate):
    f, x = reference("gelu"), np.linspace(-6, 6, 25)
    check_gradients(
        lambda x: f.forward(xp, x, approximate),
        lambda g: (f.backward(xp, g, x, approximate),),
        x,
    )
    np.testing.assert_array_equal(
        f.forward(xp, np.array([-INF, 0, INF, NAN]), approximate), [0, 0, INF, NAN]
    )
    ones = np.ones(4)
    slopes = f.backward(xp, ones, np.array([-INF, 0, INF, NAN]), approximate)
    np.testing.assert_array_equal(slopes, [0, 0.5, 1, NAN])


@pytest.mark.parametrize("cached", [True, False])
def test_attention_gradient(cached):
    f, qkv = reference("attention"), normal(2, 4, 18)
    cache = f.forward(xp, qkv, 3)[1] if cached else None
    check_gradients(
        lambda qkv: f.forward(xp, qkv, 3)[0],
        lambda g: (f.backward(xp, g, qkv, 3, cache),),
        qkv,
    )


def test_attention_never_looks_ahead():
    f, qkv = reference("attention"), normal(1, 6, 12)
    y, (p,) = f.forward(xp, qkv, 2)
    assert np.all(np.triu(p, 1) == 0)
    changed = qkv.copy()
    changed[:, 4:] += 1
    np.testing.assert_array_equal(f.forward(xp, changed, 2)[0][:, :4], y[:, :4])


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_linear_gradient(shape):
    f = reference("linear")
    x, weight, bias = normal(*shape), normal(5, 4), normal(5)
    np.testing.assert_allclose(f.forward(xp, x, weight, None), x @ weight.T)
    check_gradients(
        lambda *inputs: f.forward(xp, *inputs),
        lambda g: f.backward(xp, g, x, weight),
        *(x, weight, bias),
    )


def test_embedding_gradient():
    f, weight, ids = reference("embedding"), normal(5, 3), np.array([[1, 1, 0], [-1, 4, 1]])
    check_gradients(
        lambda weight: f.forward(xp, weight, ids),
        lambda g: (f.backward(xp, g, ids, (5, 3)),),
        weight,
    )


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_dropout_gradient(p):
    f, x = reference("dropout"), normal(4, 6)
    keep = np.random.default_rng(0).random((4, 6)) >= p
    y = f.forward(xp, x, keep, p)
    np.testing.assert_allclose(y, x * keep / (1 - p) if p < 1 else 0 * x)
    check_gradients(lambda x: f.forward(xp, x, keep, p), lambda g: (f.backward(xp, g, keep, p),), x)


def test_adamw_first_step_is_the_sign_of_the_gradient():
    """At step 1 the corrected moments are g and g^2: every parameter moves by lr, uphill never."""
    p, g, zero = normal(50), normal(50, seed=1), np.zeros(50)
    new, m, v = reference("adamw").update(xp, p, g, zero, zero, 0.01, 0.9, 0.95, 1e-12, 0.5, 1, 2.0)
    np.testing.assert_allclose(new, p * (1 - 0.01 * 0.5) - 0.01 * np.sign(g))
    np.testing.assert_allclose(m, 0.1 * 2 * g)
    np.testing.assert_allclose(v, 0.05 * 4 * g * g)


def test_adamw_against_torch():
    torch = pytest.importorskip("torch", reason="compares with torch.optim.AdamW")
    start = normal(20)
    theirs = torch.tensor(start.copy(), requires_grad=True)
    optimizer = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    p, m, v = start, np.zeros(20), np.zeros(20)
    for step in range(1, 6):
        g = normal(20, seed=step)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        p, m, v = reference("adamw").update(xp, p, g, m, v, 0.01, 0.9, 0.95, 1e-8, 0.1, step, 1.0)
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-13)


# --- dtypes, and inputs that no gradient is wanted of ---------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_references_keep_the_dtype(dtype):
    x, ids = normal(3, 6, dtype=dtype), np.array([0, -100, 2])
    g, one = normal(3, 6, dtype=dtype, seed=1), np.ones((), dtype)
    results = [
        reference("layer_norm").forward(xp, x, x[0], x[1], 1e-5),
        reference("layer_norm").backward(xp, g, x, x[0], 1e-5),
        reference("softmax").forward(xp, x),
        reference("softmax").backward(xp, g, x),
        reference("gelu").forward(xp, x, "none"),
        reference("gelu").backward(xp, g, x, "tanh"),
        reference("attention").forward(xp, x[None], 2),
        reference("attention").backward(xp, g[None, :, :2], x[None], 2),
        reference("linear").forward(xp, x, x, x[0, :3]),
        reference("linear").backward(xp, g[:, :3], x, x),
        reference("embedding").backward(xp, g, np.array([1, 1, 0]), (4, 6)),
        reference("dropout").forward(xp, x, x > 0, 0.3),
        reference("adamw").update(
            xp, x, g, x, x * x, np.float64(0.1), 0.9, 0.9, 1e-8, 0.1, 1, np.float64(0.5)
        ),
    ]
    for reduction in REDUCTIONS:
        upstream = one if reduction != "none" else g[:, 0]
        loss = (ids, -100, reduction)
        results += [
            reference("cross_entropy").forward(xp, x, *loss),
            reference("cross_entropy").backward(xp, upstream, x, *loss),
            reference("linear_cross_entropy").forward(xp, x, g, *loss)[0],
            reference("linear_cross_entropy").backward(xp, upstream, x, g, *loss),
        ]
    for k, result in enumerate(results):
        assert {array.dtype for array in flat(result)} == {np.dtype(dtype)}, k


@pytest.mark.parametrize("where", [reference, cpu])
def test_unneeded_gradients_are_none(where):
    x, targets = normal(3, 4), np.array([0, 1, 2])
    norm, loss = where("layer_norm"), where("linear_cross_entropy")
    for k in range(3):
        needs = tuple(i == k for i in range(3))
        found = norm.backward(xp, x, x, x[0], 1e-5, None, needs)
        assert tuple(array is not None for array in found) == needs
        found = reference("linear").backward(xp, x[:, :3], x, x, needs)
        assert tuple(array is not None for array in found) == needs
    for needs in [(True, False), (False, True)]:
        for reduction in REDUCTIONS:
            g = np.ones(3) if reduction == "none" else np.ones(())
            options = (x, x, targets, -100, reduction)
            cache = loss.forward(xp, *options, needs)[1]
            found = loss.backward(xp, g, *options, cache, needs)
            assert tuple(array is not None for array in found) == needs


# --- The compiled kernels against the references --------------------------------------------------


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
    for _ in range(2):  # backward may run twice: the cache must not be used up
        assert_same(f.backward(xp, g, *options, cache), expected, dtype)
        assert_same(exact.backward(xp, g, *options, cache), expected, dtype)
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
    "B, T, H, D", [(1, 1, 1, 1), (0, 3, 2, 4), (2, 0, 2, 4), (2, 13, 3, 5), (2, 160, 2, 8)]
)
def test_attention_kernel(dtype, B, T, H, D):
    qkv = normal(B, T, 3 * H * D, dtype=dtype)
    g = normal(B, T, H * D, dtype=dtype, seed=1)
    y, cache = compare("attention", "forward", dtype, qkv, H)
    compare("attention", "backward", dtype, g, qkv, H)
    compare("attention", "backward", dtype, g, qkv, H, cache=cache)


@both_dtypes
@pytest.mark.parametrize("value", [NAN, INF, -INF, "max", "min"])
def test_attention_kernel_on_special_numbers(dtype, value):
    value = getattr(np.finfo(dtype), value) if isinstance(value, str) else value
    for column in (0, 5, 9):  # in q, in k, in v
        qkv = normal(1, 6, 12, dtype=dtype)
        qkv[0, 3, column] = value
        compare("attention", "forward", dtype, qkv, 2)
        if not np.isfinite(value):
            g = normal(1, 6, 4, dtype=dtype, seed=1)
            compare("attention", "backward", dtype, g, qkv, 2)


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
    expected = reference("embedding").backward(xp, g, ids, (5, 70), into=into)
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


def test_references_run_without_warnings_on_plain_numbers():
    """NumPy's warnings are the reader's first debugger: ordinary values must not trip them."""
    x, g = normal(3, 6), normal(3, 6, seed=1)
    with np.errstate(all="warn", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        reference("layer_norm").backward(xp, g, x, x[0], 1e-5)
        reference("softmax").forward(xp, 1000 * x)
        reference("gelu").forward(xp, 1000 * x, "none")
        reference("gelu").backward(xp, g, 1000 * x, "tanh")
        reference("attention").forward(xp, 100 * x[None], 2)
        reference("cross_entropy").forward(xp, 1000 * x, np.array([1, 2, -100]), -100, "mean")
