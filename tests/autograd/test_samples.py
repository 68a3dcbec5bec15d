"""The same list of checks for every operation, on the inputs of autograd/samples."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, ops, use_kernels
from autograd.samples import SAMPLES
from autograd.testing import check_kernel

by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
FUSED = [s for s in SAMPLES if s.kernel]
WITH_DEFINITION = [s for s in SAMPLES if s.definition]


def tensors(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


def run(call, arrays, seed=1):
    """The output and the gradients for a random gradient of the output, as arrays."""
    xs = tensors(arrays)
    y = call(*xs)
    w = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    return [y.data, *(g.data for g in grad(y, xs, w))]


def test_every_operation_has_a_sample():
    def public(module):
        found = {name for name, value in vars(module).items() if inspect.isfunction(value)}
        return {name for name in found if not name.startswith("_")}

    constants = {*ops.constants.__all__, *ops.discrete.__all__}
    linalg = {f"linalg.{name}" for name in ops.linalg.__all__}
    assert (public(ops) - constants) | linalg == set(ops.DIFFERENTIABLE)
    assert {*ops.DIFFERENTIABLE, *ops.discrete.WITHOUT_GRADIENT} == {s.op for s in SAMPLES}


def test_samples_have_unique_names():
    names = [s.name for s in SAMPLES]
    assert sorted(names) == sorted(set(names))


@by_sample
def test_forward_is_numpys(sample):
    arrays = sample.inputs()
    expected = np.asarray(sample.numpy(*arrays))
    y = sample.call(*map(Tensor, arrays))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-14)


@by_sample
@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_gradients_to_second_order(sample, kernels):
    with use_kernels(kernels):
        check_grad(sample.call, *sample.inputs(), order=2)


@pytest.mark.parametrize("sample", WITH_DEFINITION, ids=lambda s: s.name)
def test_hand_written_backward_is_the_derivative_of_the_definition(sample):
    arrays = sample.inputs(seed=3)
    for hand, derived in zip(run(sample.call, arrays), run(sample.definition, arrays), strict=True):
        np.testing.assert_allclose(hand, derived, rtol=1e-11, atol=1e-13)


@by_sample
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept(sample, dtype):
    if dtype not in sample.dtypes:
        with pytest.raises(TypeError, match="takes float32 and float64 only"):
            run(sample.call, sample.inputs(dtype=dtype))
        return
    for result in run(sample.call, sample.inputs(dtype=dtype)):
        assert result.dtype == dtype


@by_sample
def test_layout_does_not_matter(sample):
    arrays = sample.inputs()
    expected = run(sample.call, arrays)
    for strided in (column_major, every_other):
        for a, b in zip(run(sample.call, [strided(x) for x in arrays]), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def column_major(x):
    return np.array(x, order="F")


def every_other(x):
    """The same values as every second element of a larger array."""
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]) if x.ndim else (2,), np.nan)
    view = wide[..., ::2] if x.ndim else wide[0, ...]
    view[...] = x
    return view


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.empty], ids=lambda s: s.name)
def test_empty_inputs(sample):
    arrays = sample.inputs(shapes=sample.empty)
    results = run(sample.call, arrays)
    assert any(a.size == 0 for a in [*arrays, results[0]])
    assert results[0].shape == np.shape(sample.numpy(*arrays)) or sample.op in EMPTY_BY_DEFINITION
    for g, a in zip(results[1:], arrays, strict=True):
        assert g.shape == a.shape
        assert np.isfinite(g).all()


EMPTY_BY_DEFINITION = {"softmax", "causal_attention", "log_softmax"}
"""Samples whose NumPy version takes the maximum of, or reshapes, an empty array."""


@by_sample
def test_inputs_are_not_modified(sample):
    arrays = sample.inputs()
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    run(sample.call, arrays)
    for a, b in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, b)


@by_sample
def test_gradients_share_no_memory(sample):
    arrays = sample.inputs()
    xs = tensors(arrays)
    y = sample.call(*xs)
    g = np.ones(y.shape)
    y.backward(g)
    held = [x.grad.data for x in xs]
    for i, a in enumerate(held):
        assert a.flags.writeable and a.flags.c_contiguous and a.dtype == np.float64
        for other in [g, y.data, *arrays, *held[:i]]:
            assert not np.shares_memory(a, other)


@by_sample
def test_backward_twice_gives_the_same(sample):
    xs = tensors(sample.inputs())
    y = sample.call(*xs)
    w = np.ones(y.shape)
    first = grad(y, xs, w, retain_graph=True)
    second = grad(y, xs, w)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def kept_bytes(y):
    """Bytes of the distinct arrays that the graph behind ``y`` keeps alive."""
    found, nodes, seen = {}, [y._node], set()
    while nodes:
        node = nodes.pop()
        if node is None or id(node) in seen or not hasattr(node, "saved"):
            continue
        seen.add(id(node))
        nodes.extend(node.inputs)
        for value in vars(node).values():
            for array in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                    base = array if array.base is None else array.base
                    found[id(base)] = min(array.nbytes, base.nbytes)  # a view may repeat it
    return sum(found.values())


@pytest.mark.parametrize(
    "sample",
    [s for s in SAMPLES if s.note not in ("several uses", "broadcast batches")],
    ids=lambda s: s.name,
)
@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_bytes_kept_for_backward(sample, kernels):
    arrays = sample.inputs()
    xs = tensors(arrays)
    with use_kernels(kernels):
        y = sample.call(*xs)
    expected = sum(arrays[k].nbytes if k != "y" else y.data.nbytes for k in sample.keeps)
    cache = sample.cache
    if sample.op == "linear_cross_entropy" and kernels == "reference":
        cache = 0  # the reference keeps no gradients, it computes them in backward
    assert kept_bytes(y) == expected + 8 * cache


def test_every_kernel_has_a_sample():
    folders = Path(ops.__file__).parent.parent / "kernels"
    others = {"adamw", "muon", "sgd", "product"}  # optimizers, and what operations multiply by
    fast = {f.parent.name for f in folders.glob("*/cpu.py")} - others
    of_folder = {"causal_attention": "attention", "swiglu": "glu", "geglu": "glu"}
    assert {of_folder.get(s.op, s.op) for s in FUSED} == fast


@pytest.mark.parametrize("sample", FUSED, ids=lambda s: s.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_equal_their_references(sample, dtype):
    for seed in range(2):
        check_kernel(sample.call, *sample.inputs(seed, dtype), mode="auto")
