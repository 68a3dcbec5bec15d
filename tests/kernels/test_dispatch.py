"""The dispatcher: which implementation runs, why a fast one is refused, and forced modes."""

import threading
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, check_grad, ops, use_kernels
from autograd.device import numpy_namespace as xp
from autograd.kernels import gelu, layer_norm, linear


@pytest.fixture
def which(monkeypatch):
    """Record which implementation of gelu.forward runs."""
    ran = []

    def spy(kind):
        real = gelu.forward.implementation(kind)

        def run(*args):
            ran.append(kind)
            return real(*args)

        monkeypatch.setitem(gelu.forward._implementations, kind, run)

    spy("reference")
    spy("cpu")
    return ran


def test_auto_takes_the_kernel_where_the_arrays_suit_it(which):
    x = np.ones((4, 6))
    for array in (x, x.astype(np.float32), x[:, ::2], x.T, x.astype(np.float16)):
        ops.gelu(array)
    assert which == ["cpu", "cpu", "reference", "reference", "reference"]


def test_reference_mode_is_scoped_and_nested(which):
    x = np.ones(3)
    with use_kernels("reference"):
        ops.gelu(x)
        with use_kernels("auto"):
            ops.gelu(x)
        ops.gelu(x)
    ops.gelu(x)
    assert which == ["reference", "cpu", "reference", "cpu"]


def test_only_the_named_ops_run_otherwise(which):
    x, w = np.ones((4, 6)), np.ones(6)
    with use_kernels("reference", only={"layer_norm"}):
        ops.gelu(x)
        ops.layer_norm(x, w, w)
    assert which == ["cpu"]
    with use_kernels("reference", only=["layer_norm", "gelu"]):
        ops.gelu(x)
    ops.gelu(x)
    assert which == ["cpu", "reference", "cpu"]


def test_the_inner_of_nested_contexts_wins_for_what_it_names(which):
    x, w = np.ones((4, 6)), np.ones(6)
    with use_kernels("cuda", only={"layer_norm"}), use_kernels("reference", only={"gelu"}):
        ops.gelu(x)
        with pytest.raises(RuntimeError, match="layer_norm.forward cannot run its cuda kernel"):
            ops.layer_norm(x, w, w)  # still as the outer context says
        with use_kernels("cpu", only={"gelu"}):
            ops.gelu(x)
        ops.gelu(x)
        with use_kernels("auto"):  # without names it means all
            ops.gelu(x)
            ops.layer_norm(x, w, w)
        ops.gelu(x)
    with use_kernels("reference"), use_kernels("cpu", only={"gelu"}):
        ops.gelu(x)
        ops.softmax(x.T)  # its kernel would refuse this layout: the outer reference runs
    assert which == ["reference", "cpu", "reference", "cpu", "reference", "cpu"]


def test_a_context_can_be_entered_again(which):
    x, only_gelu = np.ones(3), use_kernels("reference", only={"gelu"})
    with only_gelu, use_kernels("cpu"), only_gelu:
        ops.gelu(x)
    with use_kernels("cpu"):
        with only_gelu:
            ops.gelu(x)
        ops.gelu(x)
    assert which == ["reference", "reference", "cpu"]


def test_only_knows_the_folders():
    folders = {p.parent.name for p in Path(gelu.__file__).parents[1].glob("*/cpu.py")}
    use_kernels("reference", only=folders)
    with pytest.raises(ValueError, match="called 'conv': choose among adamw, attention, cross"):
        use_kernels("reference", only={"gelu", "conv"})


def test_another_thread_keeps_its_own_mode(which):
    with use_kernels("reference"):
        thread = threading.Thread(target=lambda: ops.gelu(np.ones(3)))
        thread.start()
        thread.join()
    assert which == ["cpu"]


def test_a_forced_mode_that_cannot_run_raises():
    x = np.ones((4, 6))
    with use_kernels("cpu"):
        ops.gelu(x)
        with pytest.raises(RuntimeError, match="gelu.forward cannot run its cpu kernel.*strides"):
            ops.gelu(x.T)
        with pytest.raises(RuntimeError, match="float16"):
            ops.gelu(x.astype(np.float16))
    with use_kernels("cuda"), pytest.raises(RuntimeError, match="arrays belong to numpy"):
        ops.gelu(x)
    with pytest.raises(ValueError, match="unknown kernels 'gpu'"):
        use_kernels("gpu")


def test_refusals_say_why():
    x = np.ones((4, 6), np.float32)
    assert gelu.forward.refusal(xp, x, "none") is None
    assert "array (6, 4) with the strides (4, 24)" in gelu.forward.refusal(xp, x.T, "none")
    w = np.ones(6)
    assert "mix float32 and float64" in layer_norm.forward.refusal(xp, x, w, w, 1e-5)
    assert "only for float32 and float64" in gelu.forward.refusal(xp, x.astype("f2"), "none")
    if linear.forward.implementation("cpu") is None:
        assert "has no cpu kernel" in linear.forward.refusal(xp, x, x, None)


def test_byte_swapped_arrays_take_the_reference():
    x = np.linspace(-2, 2, 5)
    swapped = x.astype(x.dtype.newbyteorder())
    assert gelu.forward.refusal(xp, swapped, "none") is not None
    np.testing.assert_allclose(ops.gelu(swapped).data, ops.gelu(x).data)


def test_tensors_take_the_reference():
    with use_kernels("cpu"):
        check_grad(ops.softmax, np.random.default_rng(0).standard_normal((2, 3)), order=2)


def test_kernels_from_two_threads_at_once():
    x = np.random.default_rng(0).standard_normal((512, 256)).astype(np.float32)
    w, b = np.ones(256, np.float32), np.zeros(256, np.float32)
    expected = ops.gelu(ops.layer_norm(x, w, b)).data
    wrong = []

    def work():
        for _ in range(20):
            t = Tensor(x, requires_grad=True)
            y = ops.gelu(ops.layer_norm(t, w, b))
            y.sum().backward()
            if not np.array_equal(y.data, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
