"""Graphs that are not like others, for tools that must cope with any.

Each function of ODD returns what ``explore`` is given: a loss or a function, and its options.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Op, Parameter, Tensor, grad, no_grad, ops
from autograd.functional import recompute
from autograd.kernels.dispatch import use_kernels

ODD: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {}


def odd(make):
    """Add a graph to ODD under the name of its function, "a loss" for a_loss."""
    ODD[make.__name__.replace("_", " ")] = make
    return make


def leaf(values=((1.0, -2.0), (0.5, 3.0)), dtype=np.float64):
    return Tensor(np.asarray(values, dtype), requires_grad=True)


def network(x, w):
    h = ops.tanh(x @ w) + x
    return ops.sum(h * h)


# --- losses that were computed before -----------------------------------------------------------


@odd
def a_loss():
    x, w = leaf(), leaf()
    return network(x, w), {"names": {"x": x, "w": w}}


@odd
def unknown_values():
    x = leaf()
    return ops.sum(x + np.ones(2)), {}


@odd
def an_unknown_path():
    x = leaf()
    y = x + np.ones(2)
    return ops.sum((y + y) + (y - np.ones((2, 2)))), {"names": {"x": x}}


@odd
def a_dead_leaf():
    return ops.sum(ops.exp(leaf() + 1.0) * 2.0), {}


@odd
def a_dead_leaf_of_a_sum():
    return ops.sum(leaf()), {}


@odd
def a_loss_by_fast_kernels():
    x = leaf(np.random.default_rng(0).standard_normal((8, 16)), np.float32)
    w, b = leaf(np.ones(16), np.float32), leaf(np.zeros(16), np.float32)
    with use_kernels("auto"):
        y = ops.layer_norm(ops.gelu(x), w, b)
        return ops.cross_entropy(y, np.arange(8)), {}


@odd
def a_softmax_by_hand():
    x = leaf(np.zeros((2, 3)))
    p = ops.softmax(x + np.ones(3))
    return -ops.sum(ops.log(p[np.arange(2), np.array([0, 2])])), {}


@odd
def a_loss_of_frozen_constants():
    x, frozen = leaf(), Parameter(np.ones((2, 2)))
    frozen.requires_grad = False
    return ops.sum(ops.linear(x, frozen) + frozen), {}


@odd
def frozen_between():
    x, w = leaf(), leaf()
    loss = network(x, w)
    w.requires_grad = False
    return loss, {"names": {"x": x, "w": w}}


@odd
def recorded_by_another_thread():
    made = []
    x, w = leaf(), leaf()
    thread = threading.Thread(target=lambda: made.append(network(x, w)))
    thread.start()
    thread.join()
    return made[0], {}


@odd
def a_loss_with_recomputation():
    x, w = leaf(), leaf()
    y = recompute(lambda h: ops.tanh(h @ w), x)
    return ops.sum(y * x), {"names": {"x": x, "w": w}}


@odd
def a_loss_with_dropout():
    x = leaf(np.ones((4, 4)))
    return ops.sum(ops.dropout(x * x, 0.5, rng=np.random.default_rng(1))), {}


@odd
def a_gradient_s_loss():
    x = leaf()
    (g,) = grad(ops.sum(x**3), [x], create_graph=True)
    return ops.sum(g * g), {"names": {"x": x}}


# --- functions ------------------------------------------------------------------------------------


@odd
def recomputation():
    x, w = leaf(), leaf()

    def loss():
        y = recompute(lambda h: ops.tanh(h @ w), x)
        return ops.sum(y * x)

    return loss, {}


@odd
def nested_recomputation():
    x, w = leaf(), leaf()

    def inner(h):
        return ops.tanh(h @ w)

    def outer(h):
        h = recompute(inner, h) + h
        return recompute(inner, h) * h

    return lambda: ops.sum(recompute(outer, x) + x), {"names": {"x": x, "w": w}}


@odd
def recomputation_with_two_outputs():
    x, w = leaf(), leaf()

    def loss():
        a, b = recompute(lambda h: (ops.tanh(h @ w), ops.sum(h)), x)
        return ops.sum(a * b)

    return loss, {}


@odd
def recomputation_of_the_loss():
    x, w = leaf(), leaf()
    return lambda: recompute(network, x, w), {}


@odd
def dropout_with_one_generator():
    x, rng = leaf(np.ones((4, 4))), np.random.default_rng(1)
    return lambda: ops.sum(ops.dropout(x * x, 0.5, rng=rng)), {"names": {"x": x}}


@odd
def a_gradient_inside():
    x, w = leaf(), leaf()

    def loss():
        (g,) = grad(network(x, w), [x], create_graph=True)
        return ops.sum(g * g)

    return loss, {}


@odd
def a_backward_inside():
    x, w = leaf(), leaf()

    def loss():
        (g,) = grad(network(x, w), [x])
        return ops.sum(x * w * g)

    return loss, {}


class NumPyOnly(Op):
    """y = 2 sin x, by NumPy whatever xp is."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return 2 * np.sin(np.asarray(x))

    def backward(self, xp, g, x):
        return np.asarray(g) * 2 * np.cos(np.asarray(x))


@odd
def an_operation_of_numpy():
    x = leaf()
    return lambda: ops.sum(NumPyOnly()(x * x)), {}


@odd
def a_loss_of_an_operation_of_numpy():
    x = leaf()
    return ops.sum(NumPyOnly()(x * x)), {}


class Refusing(Op):
    """y = x^3, and it insists on arrays."""

    save_inputs = (0,)

    def forward(self, xp, x):
        if not isinstance(x, np.ndarray):
            raise RuntimeError("arrays only")
        return x**3

    def backward(self, xp, g, x):
        if not isinstance(g, np.ndarray):
            raise RuntimeError("arrays only")
        return 3 * g * x**2


@odd
def an_operation_that_refuses_tensors():
    x = leaf()
    return lambda: ops.sum(Refusing()(x)), {}


class Once(Op):
    """y = x, and forward runs only once."""

    def forward(self, xp, x):
        if getattr(self, "ran", False):
            raise RuntimeError("forward ran already")
        self.ran = True
        return xp.array(x)

    def backward(self, xp, g):
        return g


@odd
def an_operation_that_runs_once():
    x = leaf()
    return lambda: ops.sum(Once()(x) * x), {}


@odd
def a_loss_of_an_operation_that_runs_once():
    x = leaf()
    return ops.sum(Once()(x)) * 2.0, {}


class Counting(Op):
    """y = n x, where n counts the calls."""

    calls = 0

    def forward(self, xp, x):
        Counting.calls += 1
        self.n = float(Counting.calls)
        return x * self.n

    def backward(self, xp, g):
        return g * self.n


@odd
def an_operation_that_changes():
    x = leaf()
    return lambda: ops.sum(Counting()(x)), {}


@odd
def an_operation_without_a_source():
    space: dict[str, Any] = {"Op": Op}
    source = (
        "class Typed(Op):\n"
        "    save_inputs = (0,)\n"
        "    def __init__(self, k): self.options = k, 1\n"
        "    def forward(self, xp, x): return self.options[0] * x * x\n"
        "    def backward(self, xp, g, x): return 2 * self.options[0] * g * x\n"
    )
    exec(compile(source, "<stdin>", "exec"), space)
    x = leaf()
    return lambda: ops.sum(space["Typed"](3.0)(x)), {}


def _double():
    class Same(Op):
        """y = 2 x."""

        def forward(self, xp, x):
            return 2 * x

        def backward(self, xp, g):
            return 2 * g

    return Same


def _triple():
    class Same(Op):
        """y = 3 x."""

        def forward(self, xp, x):
            return 3 * x

        def backward(self, xp, g):
            return 3 * g

    return Same


@odd
def two_operations_of_one_name():
    x, one, other = leaf(), _double(), _triple()
    return lambda: ops.sum(one()(x) + other()(x)), {}


class Sum(Op):
    """y = 7 x: no sum, whatever its name says."""

    def forward(self, xp, x):
        return 7 * x

    def backward(self, xp, g):
        return 7 * g


@odd
def an_operation_with_the_name_of_ours():
    x = leaf()
    return lambda: ops.sum(Sum()(x)), {}


class AnyNumber(Op):
    """y = the sum of all inputs."""

    def forward(self, xp, *xs):
        return sum(xs[1:], xs[0])

    def backward(self, xp, g):
        return [g] * len(self.needs)


@odd
def an_operation_of_any_number_of_inputs():
    x, w = leaf(), leaf()
    return lambda: ops.sum(AnyNumber()(x, w, x, np.ones((2, 2)), 2.0)), {}


class Wrong(Op):
    """y = x^2, with a wrong derivative."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x

    def backward(self, xp, g, x):
        return g * x


@odd
def a_wrong_derivative():
    x = leaf()
    return lambda: ops.sum(Wrong()(x)), {}


@odd
def hooks():
    x, w = leaf(), leaf()
    x.register_hook(lambda g: g * 10)

    def loss():
        y = x @ w
        y.register_hook(lambda g: Tensor(np.sign(g.data)))
        y.retain_grad()
        return ops.sum(y * y)

    return loss, {}


@odd
def a_loss_with_hooks():
    x, w = leaf(), leaf()
    y = x @ w
    y.register_hook(lambda g: g * 0.5)
    loss = ops.sum(y * y)
    loss.register_hook(lambda g: g * 3)
    return loss, {}


@odd
def retained_gradients():
    x, w = leaf(), leaf()

    def loss():
        y = x @ w
        y.retain_grad()
        return ops.sum(y * y)

    return loss, {}


@odd
def used_twenty_times():
    x = leaf()

    def loss():
        y = x * 1.0
        for _ in range(20):
            y = y + x
        return ops.sum(y)

    return loss, {}


@odd
def many_paths():
    x = leaf()

    def loss():
        y = x
        for _ in range(40):
            y = (y + y) * 0.5
        return ops.sum(y)

    return loss, {}


# --- numbers --------------------------------------------------------------------------------------


@odd
def nan_and_infinities():
    x = leaf([np.nan, np.inf, -np.inf, 1.0, 0.0], np.float32)

    def loss():
        with np.errstate(all="ignore"):
            return ops.sum(ops.log(x * x) * ops.exp(x))

    return loss, {}


@odd
def an_infinite_gradient():
    x = leaf([0.0, 1.0])

    def loss():
        with np.errstate(all="ignore"):
            return ops.sum(ops.sqrt(x))

    return loss, {}


@odd
def all_are_nan():
    x = leaf([np.nan, np.nan], np.float32)
    return lambda: ops.cross_entropy(ops.reshape(x, (1, 2)), np.array([1])), {}


@odd
def float16():
    x, w = leaf(dtype=np.float16), leaf(dtype=np.float16)
    return lambda: network(x, w), {}


@odd
def mixed_types():
    x, w = leaf(dtype=np.float16), leaf(dtype=np.float64)
    return lambda: ops.sum(ops.astype(x, np.float64) @ w), {}


@odd
def integer_and_boolean_constants():
    x = leaf()
    whole = np.array([[1, 2], [3, 2**60]])
    mask = np.array([[True, False], [True, True]])
    return lambda: ops.sum(ops.where(mask, x, 2) * whole * np.uint8(3)) + True, {}


@odd
def one_number():
    x = leaf(2.0)
    return lambda: x * x, {}


@odd
def one_operation():
    x = leaf(2.0)
    return ops.exp(x), {}


@odd
def a_loss_of_shape_one_one():
    x = leaf([[2.0]])
    return lambda: x * x, {}


@odd
def empty_tensors():
    x, w = leaf(np.zeros((0, 3))), leaf(np.ones((3, 2)))
    return lambda: ops.sum(ops.softmax(x @ w) * 2.0) + ops.sum(w), {}


@odd
def a_loss_of_empty_tensors():
    x, w = leaf(np.zeros((0, 3))), leaf(np.ones((3, 2)))
    return ops.sum(ops.tanh(x @ w)), {}


@odd
def gradients_of_zero():
    x = leaf()
    return lambda: ops.sum(x * 0.0) + ops.sum(ops.relu(-x * x)), {}


@odd
def broadcast_views():
    x = leaf([1.0])
    return lambda: ops.sum(ops.broadcast_to(x, (3, 4)) * np.broadcast_to(np.float64(2), (3, 4))), {}


@odd
def large_numbers():
    x = leaf([1e300, -1e300])
    return lambda: ops.sum(x * 1e5), {}


# --- names ----------------------------------------------------------------------------------------

MARKUP = '</script><img src=x onerror="alert(1)">&amp;{{DATA}}'


@odd
def names_with_markup():
    x, w, b = leaf(), leaf(), leaf(np.ones(2))
    names = {MARKUP: x, "größe & κ=1/2;#?%20 → \u202e\ud83c\udf32": w, "lone \udc80": b}
    return lambda: ops.sum(x @ w + b), {"names": names}


@odd
def long_and_empty_names():
    x, w, b = leaf(), leaf(), leaf(np.ones(2))
    return lambda: ops.sum(x @ w + b), {"names": {"x" * 5000: x, "": w, " ": b}}


@odd
def duplicate_names():
    x, w = leaf(), leaf()
    return lambda: network(x, w), {"names": {"loss": x, "tanh": w, "x#2": leaf()}}


@odd
def a_wrong_entry_in_names():
    x, w = leaf(), leaf()
    return lambda: network(x, w), {"names": {"x": x, "w": w, "none": None, "number": 3}}


# --- sizes and dependences ------------------------------------------------------------------------


@odd
def a_part_that_no_loss_depends_on():
    x, w = leaf(), leaf()

    def loss():
        ops.tanh(x @ w)
        side = ops.exp(w)  # noqa: F841
        return ops.sum(x * x)

    return loss, {}


@odd
def without_gradients_inside():
    x, w = leaf(), leaf()

    def loss():
        with no_grad():
            scale = ops.exp(w)
        return ops.sum(x * scale) + ops.sum(w.detach() * x)

    return loss, {}


@odd
def parameters_made_inside():
    def loss():
        x, w = leaf(), leaf()
        return network(x, w)

    return loss, {}


@odd
def a_loss_computed_outside():
    x, w = leaf(), leaf()
    y = ops.tanh(x @ w)
    return lambda: ops.sum(y * y), {}


@odd
def an_input_computed_outside():
    x = leaf()
    y = ops.exp(x)

    def loss():
        z = y * y
        return ops.sum(z * x)

    return loss, {}


@odd
def many_operations():
    x = leaf([1.0, 2.0])

    def loss():
        y = x
        for _ in range(1500):
            y = y * 0.999
        return ops.sum(y)

    return loss, {}


@odd
def many_inputs():
    leaves = [leaf([float(i)]) for i in range(300)]
    return lambda: ops.sum(ops.concatenate(leaves)), {}


@odd
def a_large_tensor():
    x = leaf(np.random.default_rng(0).standard_normal((700, 300)), np.float32)
    return lambda: ops.mean(ops.softmax(x) * ops.tanh(x)), {}


@odd
def a_leaf_that_was_changed_since():
    x = leaf()
    loss = ops.sum(x + 1.0)
    x.assign_(np.zeros((2, 2)))
    return loss, {"names": {"x": x}}


@odd
def a_leaf_that_shows_its_change():
    x = leaf()
    loss = ops.sum(ops.exp(x + np.float64(1.0)) * ops.exp(x))
    y = leaf()
    loss = ops.sum(y) + loss
    y.assign_(np.zeros((2, 2)))
    return loss, {"names": {"x": x, "y": y}}


@odd
def a_function_that_can_be_called_once():
    x, batches = leaf(), iter([np.ones((2, 2))])
    return lambda: ops.sum(x * next(batches)), {}


@odd
def recomputation_in_a_function_that_can_be_called_once():
    x, batches = leaf(), iter([np.ones((2, 2))])

    def loss():
        batch = next(batches)
        return ops.sum(recompute(lambda h: ops.tanh(h * batch), x))

    return loss, {}


@odd
def a_function_that_changes():
    x, calls = leaf(), []

    def loss():
        calls.append(1)
        y = x
        for _ in calls:
            y = ops.tanh(y)
        ops.exp(y)
        return ops.sum(y)

    return loss, {}


class Within(Op):
    """y = sqrt x, and no number below 1 is taken."""

    save_inputs = (0,)

    def forward(self, xp, x):
        if np.any(np.asarray(x) < 1.0):
            raise ValueError("below 1")
        return xp.sqrt(x)

    def backward(self, xp, g, x):
        return g * 0.5 / xp.sqrt(x)


@odd
def an_operation_that_refuses_other_numbers():
    x = leaf([1.0, 2.0])
    return lambda: ops.sum(Within()(x)), {}


class OnceBack(Op):
    """y = x, and backward runs only once."""

    def forward(self, xp, x):
        return xp.array(x)

    def backward(self, xp, g):
        if hasattr(self, "ran"):
            raise RuntimeError("no more")
        self.ran = True
        return g


@odd
def a_backward_that_runs_once():
    x = leaf()
    return lambda: ops.sum(OnceBack()(x) * x), {}


@odd
def a_loss_that_was_computed_outside():
    x, w = leaf(), leaf()
    loss = network(x, w)
    return lambda: loss, {}
