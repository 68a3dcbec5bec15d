"""Hooks on tensors and ops, retain_grad, and the forward line in every error of backward."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from leaves import leaf

from autograd import Op, Parameter, Tensor, grad, ops
from autograd.debug import keep_outputs, register_op_hook

# --- tensor hooks ---------------------------------------------------------------------------------


def test_hooks_run_in_order_on_the_complete_gradient():
    x = leaf(3)
    y = x * 1.0
    seen = []
    y.register_hook(lambda g: seen.append(("first", g.data.copy())))
    y.register_hook(lambda g: g * 10.0)
    y.register_hook(lambda g: seen.append(("third", g.data.copy())))
    (y * 2.0 + y * 3.0).sum().backward()
    assert [name for name, _ in seen] == ["first", "third"]
    np.testing.assert_array_equal(seen[0][1], np.full(3, 5.0))  # both uses, added up
    np.testing.assert_array_equal(seen[1][1], np.full(3, 50.0))
    np.testing.assert_array_equal(x.grad.data, np.full(3, 50.0))


def test_a_leaf_hook_sees_this_pass_only_and_may_replace_it():
    x = leaf(2)
    seen = []

    def halve(g):
        seen.append(g.data.copy())
        return g * 0.5

    handle = x.register_hook(halve)
    (x * 4.0).sum().backward()
    (x * 4.0).sum().backward()
    np.testing.assert_array_equal(seen, np.full((2, 2), 4.0))
    np.testing.assert_array_equal(x.grad.data, np.full(2, 4.0))
    handle.remove()
    handle.remove()
    (x * 4.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full(2, 8.0))


def test_a_hook_that_keeps_the_gradient_does_not_share_it_with_grad():
    x = leaf(2)
    kept = []
    x.register_hook(kept.append)
    for _ in range(2):
        (x * 2.0 + x).sum().backward()
    np.testing.assert_array_equal(kept[0].data, np.full(2, 3.0))
    np.testing.assert_array_equal(x.grad.data, np.full(2, 6.0))


def test_hooks_act_in_grad_and_under_create_graph():
    x = Tensor(np.array(3.0), requires_grad=True)
    y = x * x
    y.register_hook(lambda g: g * 2.0)
    (first,) = grad(y * x, x, create_graph=True)  # y + (2 x) 2 x: the hook doubled y's gradient
    assert first.item() == 5 * 9.0
    (second,) = grad(first, x)  # 8 x, and of y 2 (2 x): it is y's gradient once more
    assert second.item() == 12 * 3.0
    z = Tensor(np.array(2.0), requires_grad=True)
    z.register_hook(lambda g: g + 1.0)
    assert grad(z * 3.0, z)[0].item() == 4.0


def test_a_removed_hook_may_remove_itself_while_running():
    x = leaf(2)
    calls = []

    def once(g):
        calls.append(1)
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        x.sum().backward()
    assert calls == [1]
    with x.register_hook(lambda g: g * 0.0):
        pass
    x.zero_grad()
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones(2))


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda g: g.data, TypeError, "returned ndarray: return a Tensor, or None"),
        (lambda g: g.sum(), ValueError, r"returned a gradient of shape \(\) .*expected \(3,\)"),
        (lambda g: g.astype(np.float32), ValueError, "type float32, expected .* float64"),
    ],
)
def test_a_wrong_replacement_is_refused_with_the_forward_line(function, error, message):
    y = leaf(3) * 2.0
    y.register_hook(function)
    with pytest.raises(error, match=message) as caught:
        y.sum().backward()
    (note,) = caught.value.__notes__
    assert "in the backward of Multiply (made at " in note and "test_debug_hooks.py:" in note


def test_hooks_need_a_gradient():
    with pytest.raises(RuntimeError, match="a hook needs a tensor that requires a gradient"):
        Tensor(np.ones(2)).register_hook(print)
    with pytest.raises(RuntimeError, match="retain_grad needs a tensor that requires"):
        Tensor(np.ones(2)).retain_grad()


def test_a_parameter_that_gets_an_array_of_another_shape_keeps_its_hooks():
    p = Parameter(np.ones(2))
    p.register_hook(lambda g: g * 3.0)
    p.data = np.ones(5)
    p.sum().backward()
    np.testing.assert_array_equal(p.grad.data, np.full(5, 3.0))


# --- retain_grad ----------------------------------------------------------------------------------


def test_retain_grad_fills_grad_of_a_computed_tensor():
    x = leaf(3)
    y = x * 2.0
    y.retain_grad()
    y.register_hook(lambda g: g * 10.0)  # later than retain_grad, and yet seen by it
    loss = (y * y).sum()
    loss.backward(retain_graph=True)
    np.testing.assert_allclose(y.grad.data, 20.0 * y.data)
    np.testing.assert_allclose(x.grad.data, 2.0 * y.grad.data)
    loss.backward()
    np.testing.assert_allclose(y.grad.data, 40.0 * y.data)  # it adds up, as a leaf's does
    x.retain_grad()  # has it anyway
    assert x.is_leaf and not y.is_leaf


def test_retain_grad_does_not_keep_the_tensor_alive():
    x = leaf(3)
    y = x * 2.0
    y.retain_grad()
    gone, loss = weakref.ref(y), (y * 3.0).sum()
    gc.disable()
    try:
        del y
        assert gone() is None
    finally:
        gc.enable()
    loss.backward()
    np.testing.assert_array_equal(x.grad.data, np.full(3, 6.0))


def test_hooks_and_retain_grad_agree_with_pytorch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values = np.array([1.0, -2.0, 3.0])
    results = []
    for x in (
        Tensor(values.copy(), requires_grad=True),
        torch.tensor(values, requires_grad=True),
    ):
        y = x * x
        y.retain_grad()
        y.register_hook(lambda g: g * 3.0)
        x.register_hook(lambda g: g + 1.0)
        x.register_hook(lambda g: g * 2.0)
        (y * y + x).sum().backward()
        results.append((y.grad.detach().numpy(), x.grad.detach().numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs)


# --- op hooks -------------------------------------------------------------------------------------


def test_op_hooks_see_forward_and_backward_in_order():
    x, b = leaf(4, 3), leaf(3, seed=1)
    log = []
    first = register_op_hook(
        "Add",
        forward=lambda op, inputs, output: log.append(("forward", inputs[1] is b, output.shape)),
        backward=lambda op, g, gradients: log.append(
            ("backward", g.shape, [t.shape for t in gradients])
        ),
    )
    second = register_op_hook(type((x + b)._node), forward=lambda *a: log.append("second"))
    log.clear()
    (x + b).sum().backward()
    assert log == [("forward", True, (4, 3)), "second", ("backward", (4, 3), [(4, 3), (3,)])]
    first.remove()
    second.remove()
    second.remove()
    (x + b).sum().backward()
    assert len(log) == 3


def test_an_op_hook_on_everything_may_compute_without_seeing_itself():
    names, norms = [], []

    def forward(op, inputs, output):
        names.append(type(op).__name__)
        norms.append((output * output).sum().item())

    x = leaf(3)
    with register_op_hook(forward=forward):
        ops.exp(x) + 1.0
    assert names == ["Exp", "Add"] and len(norms) == 2
    ops.exp(x)
    assert len(names) == 2


def test_an_op_hook_gives_none_for_inputs_without_gradient():
    seen = []
    with register_op_hook("Multiply", backward=lambda op, g, gradients: seen.append(gradients)):
        (leaf(3) * np.ones(3)).sum().backward()
    assert seen[0][0].shape == (3,) and seen[0][1] is None


def test_op_hooks_stay_in_their_thread():
    calls = []
    with register_op_hook(forward=lambda *a: calls.append(threading.current_thread().name)):
        thread = threading.Thread(target=lambda: ops.exp(leaf(2)), name="other")
        thread.start()
        thread.join()
        ops.exp(leaf(2))
    assert calls == [threading.current_thread().name]


def test_wrong_registrations():
    with pytest.raises(TypeError, match="must be an Op subclass"):
        register_op_hook(int, forward=print)
    with pytest.raises(ValueError, match="needs a forward function"):
        register_op_hook("Add")


# --- every error of backward names the forward line -----------------------------------------------


class Faulty(Op):
    """An op whose backward goes wrong in the way that is chosen."""

    def __init__(self, result):
        self.result = result

    def forward(self, xp, x):
        return x * 1.0

    def backward(self, xp, g):
        return self.result(g)


def _raise(g):
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize(
    "result, error",
    [
        (_raise, ZeroDivisionError),
        (lambda g: None, RuntimeError),
        (lambda g: (g, g), RuntimeError),
        (lambda g: g[:1], RuntimeError),
        (lambda g: 3, (AttributeError, TypeError)),
        (lambda g: "no gradient", (AttributeError, TypeError)),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_every_error_of_backward_names_the_forward_line(result, error, create_graph):
    y = Faulty(result)(leaf(3))  # the line
    with pytest.raises(error) as caught:
        y.sum().backward(create_graph=create_graph)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert text.count("Faulty (made at ") == 1
    source = open(__file__).read().splitlines()
    number = int(text.split("test_debug_hooks.py:")[1].split(")")[0])
    assert source[number - 1].endswith("# the line")


def test_an_error_at_a_leaf_says_so():
    x = leaf(3)
    x.register_hook(_raise)
    with pytest.raises(ZeroDivisionError) as caught:
        x.sum().backward()
    assert caught.value.__notes__ == ["in the backward of a leaf tensor of shape (3,)"]


def test_an_op_called_at_the_top_of_a_program_has_a_line_too(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import numpy as np\n"
        "from autograd import Tensor, ops\n"
        "x = Tensor(np.ones(2), requires_grad=True)\n"
        "print(ops.exp(x)._node)\n"
        "print(type((x * x)._node)()(x, x)._node)\n"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.splitlines() == [f"<Exp {script}:4>", f"<Multiply {script}:5>"], done.stderr


def test_a_hook_may_run_a_backward_of_its_own():
    table, other = leaf(4, 2), leaf(4, 2, seed=1)
    ids = np.array([0, 0, 3])

    def hook(g):
        (ops.embedding(other, ids) + ops.embedding(other, ids)).sum().backward()

    y = ops.embedding(table, ids)
    y.register_hook(hook)
    (y * 2.0 + ops.embedding(table, ids)).sum().backward()
    counts = np.array([2.0, 0.0, 0.0, 1.0])[:, None] * np.ones(2)
    np.testing.assert_array_equal(table.grad.data, 3.0 * counts)
    np.testing.assert_array_equal(other.grad.data, 2.0 * counts)


@pytest.mark.parametrize(
    "name, near",
    [
        ("Sofmax", "Softmax"),
        ("softmax", "Softmax"),
        ("layer_norm", "LayerNorm"),
        ("matmul", "MatMul"),
    ],
)
def test_an_unknown_op_is_an_error_that_lists_near_names(name, near):
    with pytest.raises(ValueError, match=f"there is no op '{name}' .*{near}"):
        register_op_hook(name, forward=print)


def test_a_name_like_no_other_is_an_error_too():
    with pytest.raises(ValueError, match="there is no op 'xyzzy'"):
        register_op_hook("xyzzy", forward=print)


def test_a_custom_op_has_a_name():
    seen = []
    with register_op_hook("Faulty", forward=lambda *args: seen.append(args)):
        Faulty(None)(leaf(3))
    assert len(seen) == 1


def test_a_hook_is_a_function():
    with pytest.raises(TypeError, match="a hook is a function of the gradient, not int"):
        leaf(3).register_hook(3)


# --- tensors inside a model -----------------------------------------------------------------------


def test_the_gradient_of_a_tensor_that_no_variable_names():
    x = leaf(3)
    with keep_outputs("Exp") as outputs:
        loss = (ops.exp(2 * x) * ops.exp(x)).sum()
    ops.exp(x)
    assert len(outputs) == 2
    first, second = outputs
    g_first, g_second = grad(loss, outputs)
    np.testing.assert_array_equal(g_first.data, second.data)
    np.testing.assert_array_equal(g_second.data, first.data)


def test_kept_outputs_of_frozen_parts_require_a_gradient():
    table = Parameter(np.arange(6.0).reshape(3, 2), requires_grad=False)
    with keep_outputs("Embedding") as outputs:
        loss = (ops.embedding(table, np.array([2, 0])) * np.array([[1.0, 2.0], [3.0, 4.0]])).sum()
    assert outputs[0].is_leaf and not table.requires_grad
    (g,) = grad(loss, outputs)
    np.testing.assert_array_equal(g.data, [[1.0, 2.0], [3.0, 4.0]])


def test_only_known_ops_are_kept():
    with pytest.raises(ValueError, match="there is no op 'Embeding'.*Embedding"):
        with keep_outputs("Embeding"):
            pass
