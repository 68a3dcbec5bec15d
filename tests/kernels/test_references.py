"""Every reference against finite differences, called directly: no engine, no dispatcher."""

import warnings

import numpy as np
import pytest
from kernel_checks import INF, NAN, REDUCTIONS, flat, normal, reference, xp

pytestmark = pytest.mark.usefixtures("quiet")


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


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 5)])
@pytest.mark.parametrize("cached", [True, False])
def test_rms_norm_gradient(shape, cached):
    f, x, weight = reference("rms_norm"), normal(*shape), normal(shape[-1], seed=1)
    cache = f.forward(xp, x, weight, 1e-5)[1] if cached else None
    check_gradients(
        lambda *inputs: f.forward(xp, *inputs, 1e-5)[0],
        lambda g: f.backward(xp, g, x, weight, 1e-5, cache),
        *(x, weight),
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


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("cached", [True, False])
def test_feed_forward_gradient(approximate, cached):
    f, x = reference("feed_forward"), normal(2, 3, 4)
    layer = (normal(5, 4), normal(5), normal(2, 5), normal(2))
    y, hidden = f.forward(xp, x, *layer, approximate)
    gelu = reference("gelu").forward(xp, x @ layer[0].T + layer[1], approximate)
    np.testing.assert_allclose(y, gelu @ layer[2].T + layer[3])
    hidden = hidden if cached else None
    check_gradients(
        lambda *inputs: f.forward(xp, *inputs, approximate)[0],
        lambda g: f.backward(xp, g, x, *layer[:3], approximate, hidden),
        *(x, *layer),
    )


@pytest.mark.parametrize("cached", [True, False])
def test_attention_gradient(cached):
    f, qkv = reference("attention"), normal(2, 4, 18)
    y, cache = f.forward(xp, qkv, 3)
    cache = cache if cached else None
    check_gradients(
        lambda qkv: f.forward(xp, qkv, 3)[0],
        lambda g: (f.backward(xp, g, qkv, y, 3, cache),),
        qkv,
    )


def test_attention_never_looks_ahead():
    f, qkv = reference("attention"), normal(1, 6, 12)
    y, _ = f.forward(xp, qkv, 2)
    p = f.weights(xp, *f.split(xp, qkv, 2)[:2])[0]
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


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_against_torch(nesterov):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.SGD")
    p, buffer = normal(20), np.zeros(20)
    theirs = torch.tensor(p.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([theirs], 0.01, 0.9, weight_decay=0.1, nesterov=nesterov)
    for step in range(1, 6):
        g = normal(20, seed=step)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        p, buffer = reference("sgd").update(xp, p, g, buffer, 0.01, 0.9, nesterov, 0.1, 1.0)
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-13)


def test_newton_schulz_replaces_singular_values_and_keeps_the_directions():
    x = normal(6, 4)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    for scale in (1e-3, 1.0, 1e20):
        found = reference("muon").orthogonalize(xp, scale * x, 5)
        core = u.T @ found @ vt.T
        np.testing.assert_allclose(core, np.diag(np.diag(core)), atol=1e-12)
        assert ((np.diag(core) > 0.68) & (np.diag(core) < 1.21)).all()
    np.testing.assert_array_equal(reference("muon").orthogonalize(xp, 0 * x, 5), 0 * x)
    large = (1e20 * x).astype("f4")  # its squares overflow float32
    found = reference("muon").orthogonalize(xp, large, 5)
    np.testing.assert_allclose(found, reference("muon").orthogonalize(xp, x, 5), atol=1e-4)


def test_each_matrix_of_a_stack_is_orthogonalized_by_itself():
    options = (0.01, 0.9, True, 0.0, 1.0, 5, 1.0)
    p, g, zeros = normal(6, 4), normal(6, 4, seed=1), np.zeros((6, 4))
    whole, _ = reference("muon").update(xp, p, g, zeros, *options, 3)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        one, _ = reference("muon").update(xp, p[rows], g[rows], zeros[rows], *options, 1)
        np.testing.assert_allclose(whole[rows], one, rtol=1e-13)
    together, _ = reference("muon").update(xp, p, g, zeros, *options, 1)
    assert np.abs(together - whole).max() > 1e-4


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_references_keep_the_dtype(dtype):
    x, ids = normal(3, 6, dtype=dtype), np.array([0, -100, 2])
    g, one = normal(3, 6, dtype=dtype, seed=1), np.ones((), dtype)
    results = [
        reference("layer_norm").forward(xp, x, x[0], x[1], 1e-5),
        reference("layer_norm").backward(xp, g, x, x[0], 1e-5),
        reference("rms_norm").forward(xp, x, x[0], 1e-5),
        reference("rms_norm").backward(xp, g, x, x[0], 1e-5),
        reference("softmax").forward(xp, x),
        reference("softmax").backward(xp, g, x),
        reference("gelu").forward(xp, x, "none"),
        reference("gelu").backward(xp, g, x, "tanh"),
        reference("feed_forward").forward(xp, x, x, x[0, :3], x[:, :3], x[0, :3], "tanh"),
        reference("feed_forward").backward(xp, g[:, :3], x, x, x[0, :3], x[:, :3], "none"),
        reference("attention").forward(xp, x[None], 2),
        reference("attention").backward(xp, g[None, :, :2], x[None], g[None, :, 2:4], 2),
        reference("linear").forward(xp, x, x, x[0, :3]),
        reference("linear").backward(xp, g[:, :3], x, x),
        reference("embedding").backward(xp, g, np.array([1, 1, 0]), (4, 6)),
        reference("dropout").forward(xp, x, x > 0, 0.3),
        reference("adamw").update(
            xp, x, g, x, x * x, np.float64(0.1), 0.9, 0.9, 1e-8, 0.1, 1, np.float64(0.5)
        ),
        reference("sgd").update(xp, x, g, x, np.float64(0.1), 0.9, True, 0.1, np.float64(0.5)),
        reference("muon").update(
            xp, x, g, x, np.float64(0.1), 0.9, True, 0.1, np.float64(0.5), 5, 1.5, 1
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


def test_references_run_without_warnings_on_plain_numbers():
    """NumPy's warnings are the reader's first debugger: ordinary values must not trip them."""
    x, g = normal(3, 6), normal(3, 6, seed=1)
    with np.errstate(all="warn", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        reference("layer_norm").backward(xp, g, x, x[0], 1e-5)
        reference("rms_norm").backward(xp, g, x, x[0], 1e-5)
        reference("softmax").forward(xp, 1000 * x)
        reference("gelu").forward(xp, 1000 * x, "none")
        reference("gelu").backward(xp, g, 1000 * x, "tanh")
        reference("attention").forward(xp, 100 * x[None], 2)
        reference("cross_entropy").forward(xp, 1000 * x, np.array([1, 2, -100]), -100, "mean")
