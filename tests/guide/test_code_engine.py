"""The guide's engine and model equal the package's: values and gradients, in float64."""

import numpy as np
import pytest
from guide_code import both_models, differences_of_gradients, module
from hypothesis import given, settings, strategies as st

import autograd
from autograd import Tensor, ops
from tinygrad_llm.model import GPT

engine, check, model, attention = map(module, ("engine", "check", "model", "attention"))
MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])
ROWS = np.array([2, 0, 2])  # one of them twice

# name: the guide's, the package's, the shapes of the inputs; (0.5, 2) where they must be positive
PAIRS = {
    "add": (lambda x, y: x + y, lambda x, y: x + y, [(3, 4), (4,)]),
    "add a number": (lambda x: 2.0 + x, lambda x: 2.0 + x, [(3, 4)]),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y, [(3, 1), (2, 3, 4)]),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y, [(2, 1, 4), (3, 1)]),
    "the same twice": (lambda x: x * x + x, lambda x: x * x + x, [(3, 4)]),
    "divide": (lambda x, y: x / y, lambda x, y: x / y, [(3, 4), "positive"]),
    "power": (lambda x: x**3, lambda x: x**3, [(3, 4)]),
    "power -1/2": (lambda x: x**-0.5, lambda x: x**-0.5, ["positive"]),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y, [(2, 3, 4), (4, 5)]),
    "matmul of stacks": (lambda x, y: x @ y, lambda x, y: x @ y, [(2, 1, 3, 4), (3, 4, 2)]),
    "exp": (engine.exp, ops.exp, [(3, 4)]),
    "log": (engine.log, ops.log, ["positive"]),
    "tanh": (engine.tanh, ops.tanh, [(3, 4)]),
    "log_sigmoid": (engine.log_sigmoid, ops.log_sigmoid, [(3, 4)]),
    "total": (engine.total, ops.sum, [(3, 4)]),
    "total of an axis": (lambda x: engine.total(x, 1), lambda x: ops.sum(x, 1), [(2, 3, 4)]),
    "mean": (engine.mean, lambda x: ops.mean(x, -1, keepdims=True), [(3, 4)]),
    "reshape": (lambda x: engine.reshape(x, (2, 6)), lambda x: x.reshape(2, 6), [(3, 4)]),
    "transpose": (
        lambda x: engine.transpose(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), [(2, 3, 4)]
    ),
    "rows": (lambda x: x[ROWS], lambda x: x[ROWS], [(3, 4)]),
    "slice": (lambda x: x[..., 1:3], lambda x: x[..., 1:3], [(3, 4)]),
    "one of each row": (lambda x: x[ROWS, ROWS], lambda x: x[ROWS, ROWS], [(3, 4)]),
    "where": (lambda x: engine.where(MASK, x, 7.0), lambda x: ops.where(MASK, x, 7.0), [(3, 4)]),
    "softmax": (attention.softmax, ops.softmax, [(3, 4)]),
    "log_softmax": (attention.log_softmax, ops.log_softmax, [(3, 4)]),
    "gelu": (model.gelu, lambda x: ops.gelu(x, "tanh"), [(3, 4)]),
}  # fmt: skip


def inputs_of(shapes, rng):
    return [
        rng.uniform(0.5, 2, (3, 4)) if shape == "positive" else rng.normal(size=shape)
        for shape in shapes
    ]


def gradients(engine_, f, arrays, weights):
    """The value of f, and the gradient of sum(weights * f) for each array, as arrays."""
    xs = [engine_.Tensor(a, requires_grad=True) for a in arrays]
    y = f(*xs)
    loss = (engine.total if engine_ is engine else ops.sum)(y * weights)
    loss.backward()
    return [np.asarray(y.data), *(np.asarray(getattr(x.grad, "data", x.grad)) for x in xs)]


@pytest.mark.parametrize("name", PAIRS)
def test_each_operation_has_the_packages_value_and_gradient(name):
    ours, theirs, shapes = PAIRS[name]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        arrays = inputs_of(shapes, rng)
        weights = rng.normal(size=theirs(*map(Tensor, arrays)).shape)
        found = gradients(engine, ours, arrays, weights)
        expected = gradients(autograd, theirs, arrays, weights)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", PAIRS)
def test_each_operation_has_the_gradient_that_differences_measure(name):
    ours, _, shapes = PAIRS[name]
    assert check.check(ours, *inputs_of(shapes, np.random.default_rng(7)), rtol=1e-7) < 1e-7


def test_the_checker_finds_a_wrong_rule():
    def wrong(a):
        return engine.Tensor(np.tanh(a.data), (a,), lambda g: (g * (1 - a.data**2),))

    with pytest.raises(AssertionError, match=r"input 0: off by \d"):
        check.check(wrong, np.linspace(-1, 1, 5))


def test_the_checker_samples_every_operation_of_the_engine():
    names = [name for name, *_ in check.samples(np.random.default_rng(0))]
    operations = {
        name for name, f in vars(engine).items()
        if callable(f) and getattr(f, "__module__", "") == "engine" and name[0].islower()
    }  # fmt: skip
    assert operations - {"no_grad", "like", "unbroadcast", "subtract"} == set(names) - {"divide"}


# the operations of a random computation: name -> what it makes of two values
GUIDE = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b * 0.5,
    "subtract": lambda a, b: a - b,
    "tanh": lambda a, b: engine.tanh(a),
    "exp": lambda a, b: engine.exp(engine.tanh(a)),
    "swap": lambda a, b: engine.transpose(a, (1, 0)) @ b * 0.2,
}
PACKAGE = GUIDE | {
    "tanh": lambda a, b: ops.tanh(a),
    "exp": lambda a, b: ops.exp(ops.tanh(a)),
    "swap": lambda a, b: a.transpose(1, 0) @ b * 0.2,
}


def run(steps, operations, x, y):
    """Each step computes a value from two earlier ones; the last one, in which x and y count."""
    values = [x, y]
    for name, i, j in steps:
        values.append(operations[name](values[i], values[j]))
    return values[-1] + x * y


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_graph_has_the_packages_gradients(data):
    """Values that are used several times, in any order."""
    steps = [
        (data.draw(st.sampled_from(sorted(GUIDE))), *data.draw(st.tuples(*2 * [earlier])))
        for earlier in (st.integers(0, k) for k in range(1, 9))
    ]
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    arrays, weights = [rng.normal(size=(2, 2)) for _ in range(2)], rng.normal(size=(2, 2))
    found = gradients(engine, lambda x, y: run(steps, GUIDE, x, y), arrays, weights)
    expected = gradients(autograd, lambda x, y: run(steps, PACKAGE, x, y), arrays, weights)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-11 * max(1, np.abs(b).max())


def test_gradients_add_up_over_passes_and_are_not_recorded_without():
    x = engine.Tensor(np.ones(3), requires_grad=True)
    for _ in range(2):
        engine.total(x * x).backward()
    assert x.grad.tolist() == [4.0, 4.0, 4.0]
    with engine.no_grad():
        y = x * x
    assert not y.requires_grad and y.parents == () and (x * x).requires_grad
    with pytest.raises(ValueError, match=r"no loss: \(3,\), requires_grad=True"):
        (x * x).backward()


# --- the model ------------------------------------------------------------------------------------


def tokens(package, B=3, T=9, seed=1):
    ids = np.random.default_rng(seed).integers(0, package.config.vocab_size, (B, T + 1))
    return ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 2e-4)])
def test_the_model_has_the_packages_logits_loss_and_gradients(dtype, rtol):
    package, guide = both_models(dtype)
    x, y = tokens(package)
    logits = package(x).numpy()
    assert guide(x).data.dtype == dtype
    np.testing.assert_allclose(guide(x).data, logits, rtol=0, atol=rtol * np.abs(logits).max())
    theirs, ours = package.loss(x, y), guide.loss(x, y)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=rtol)
    theirs.backward()
    ours.backward()
    apart = differences_of_gradients(package, guide)
    assert max(apart.values()) < 10 * rtol, apart


def test_a_batch_has_the_same_loss_where_some_targets_do_not_count():
    package, guide = both_models()
    x, y = tokens(package)
    y = np.where(np.random.default_rng(2).random(y.shape) < 0.5, -100, y)
    theirs, ours = package.loss(x, y), guide.loss(x, y)
    assert float(ours.data) == pytest.approx(float(theirs.data), rel=1e-12)
    theirs.backward()
    ours.backward()
    assert max(differences_of_gradients(package, guide).values()) < 1e-10


def test_the_models_gradients_are_those_that_differences_measure():
    _, guide = both_models(vocab_size=7, block_size=4, n_layer=1, n_embd=4)
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 7, (2, 2, 4))
    guide.loss(x, y).backward()
    for name, p in guide.parameters.items():
        slopes = check.differences(lambda: float(guide.loss(x, y).data), p.data)
        size = np.abs(slopes).max()
        assert np.abs(p.grad - slopes).max() < 1e-7 * max(size, 1e-2), name


def test_the_shapes_are_the_names_and_shapes_of_gpt2s_files():
    package, guide = both_models()
    names = [name for name, _ in model.shapes(guide.config)]
    assert sorted(names) == sorted(name for name, _ in package.named_parameters())
    for name, array in model.initial(guide.config, np.random.default_rng(0)).items():
        assert array.shape == guide.parameters[name].shape and array.dtype == np.float32


def test_weights_begin_as_the_packages_do_but_for_their_size():
    """With GPT-2's 0.02; the guide's models are narrow, and begin with C^-0.5."""
    sizes = {"vocab_size": 300, "block_size": 64, "n_layer": 3, "n_head": 2, "n_embd": 64}
    package, guide = both_models(**sizes)
    fresh = dict(GPT(package.config, seed=1).named_parameters())
    rng = np.random.default_rng(0)
    for std in (0.02, None):
        for name, array in model.initial(guide.config, rng, std=std).items():
            expected = fresh[name].numpy()
            if expected.ndim == 1:
                assert np.array_equal(array, expected), name
            else:
                size = expected.std() * (std or 64**-0.5) / 0.02
                assert array.std() == pytest.approx(size, rel=0.1), name


def test_a_text_that_is_too_long_is_refused():
    _, guide = both_models()
    with pytest.raises(ValueError, match="13 tokens, but positions for 12"):
        guide(np.zeros((1, 13), int))
