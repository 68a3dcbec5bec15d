"""Every operation on arrays that are not NumPy's: values and gradients are those on NumPy's.

NumPy computes with the references too, as other libraries do; fast kernels are compared with their
references elsewhere.
"""

import numpy as np
import pytest

from autograd import Tensor, grad, no_grad, ops, use_kernels
from autograd.device import namespace_on, to_numpy
from autograd.samples import SAMPLES

ON_ANY_DEVICE = [s for s in SAMPLES if "long double" not in s.note]  # which only CPUs have
by_sample = pytest.mark.parametrize("sample", ON_ANY_DEVICE, ids=lambda s: s.name)


def derivatives(call, arrays, xp, order):
    """The output and the derivatives of that order, in random directions, as arrays of ``xp``."""
    rng = np.random.default_rng(5)

    def draw(shape, dtype):
        return Tensor(xp.asarray(rng.standard_normal(shape).astype(dtype)), requires_grad=True)

    xs = [Tensor(xp.asarray(a), requires_grad=True) for a in arrays]
    y = call(*xs)
    w = draw(y.shape, y.dtype)
    if order == 1:
        return [y.data, *(g.data for g in grad(y, xs, w))]
    first = grad(y, xs, w, create_graph=True)
    weighted = [(g * draw(g.shape, g.dtype).detach()).sum() for g in first]
    total = sum(weighted[1:], weighted[0])
    second = grad(total, [*xs, w], allow_unused=True)
    return [total.data, *(None if g is None else g.data for g in second)]


def check(sample, device, order, dtype=np.float64, rtol=1e-12):
    xp, arrays = namespace_on(device), sample.inputs(dtype=dtype)
    with use_kernels("reference"):
        expected = derivatives(sample.call, arrays, np, order)
    found = derivatives(sample.call, arrays, xp, order)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert type(a) is xp.array_type and a.dtype == b.dtype
            np.testing.assert_allclose(to_numpy(a), b, rtol=rtol, atol=rtol * np.abs(b).max())


@by_sample
def test_values_and_gradients(sample, device):
    check(sample, device, order=1)


@by_sample
def test_second_derivatives(sample, device):
    check(sample, device, order=2)


@by_sample
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float16, 1e-2)])
def test_other_types(sample, device, dtype, rtol):
    if dtype in getattr(sample, "dtypes", (dtype,)):
        check(sample, device, order=1, dtype=dtype, rtol=rtol)


@pytest.mark.parametrize("sample", [s for s in ON_ANY_DEVICE if s.empty], ids=lambda s: s.name)
def test_empty_inputs(sample, device):
    xp, arrays = namespace_on(device), sample.inputs(shapes=sample.empty)
    with use_kernels("reference"):
        expected = derivatives(sample.call, arrays, np, order=1)
    for a, b in zip(derivatives(sample.call, arrays, xp, order=1), expected, strict=True):
        np.testing.assert_array_equal(to_numpy(a), b)


@pytest.mark.parametrize("where", ["cpu", "there"])
def test_the_logsumexp_of_nothing(where, device):
    x = Tensor(np.zeros((2, 0)), requires_grad=True)
    y = ops.logsumexp(x.to("cpu" if where == "cpu" else device), axis=1)
    np.testing.assert_array_equal(y.numpy(), [-np.inf, -np.inf])
    y.backward(np.ones(2))
    assert x.grad.shape == (2, 0)


@by_sample
def test_what_lands_in_grad(sample, device):
    xp = namespace_on(device)
    xs = [Tensor(xp.asarray(a), requires_grad=True) for a in sample.inputs()]
    for _ in range(2):  # the second time it is added to what is there
        y = sample.call(*xs)
        y.backward(np.ones(y.shape))
    for x in xs:
        assert type(x.grad.data) is xp.array_type
        assert x.grad.data.flags.c_contiguous and x.grad.shape == x.shape
        assert x.grad.data.base is None


# --- what comes up from main memory, and what does not -------------------------------------------


def test_ids_targets_masks_and_indices_may_be_numpys(device):
    xp = namespace_on(device)
    table = Tensor(xp.asarray(np.arange(12.0).reshape(4, 3)), requires_grad=True)
    ids, targets, mask = np.array([[1, 3]]), np.array([[0, 2]]), np.array([True, False, True])
    y = ops.where(mask, ops.embedding(table, ids), 0)  # (1, 2, 3)
    picked = ops.take_along_axis(table, np.array([[1], [0], [2], [2]]), axis=1)  # (4, 1)
    parts = y[:, np.array([0, 0])], table[np.array([True, False, True, False])]
    loss = ops.cross_entropy(y, targets) + picked.sum() + sum(p.sum() for p in parts)
    loss.backward()
    same = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    with use_kernels("reference"):
        y = ops.where(mask, ops.embedding(same, ids), 0)
        picked = ops.take_along_axis(same, np.array([[1], [0], [2], [2]]), axis=1)
        parts = y[:, np.array([0, 0])], same[np.array([True, False, True, False])]
        (ops.cross_entropy(y, targets) + picked.sum() + sum(p.sum() for p in parts)).backward()
    np.testing.assert_allclose(table.grad.numpy(), same.grad.numpy(), rtol=1e-12)


def test_ids_and_targets_may_be_there_already(device):
    xp = namespace_on(device)
    table, ids = Tensor(xp.asarray(np.eye(3))), xp.asarray(np.array([2, 0]))
    np.testing.assert_array_equal(ops.embedding(table, ids).numpy(), np.eye(3)[[2, 0]])
    logits = ops.embedding(table, Tensor(ids))
    expected = ops.cross_entropy(Tensor(np.eye(3)[[2, 0]]), np.array([2, 1])).item()
    assert ops.cross_entropy(logits, xp.asarray(np.array([2, 1]))).item() == pytest.approx(expected)
    with pytest.raises(IndexError, match="id 3 is outside"):
        ops.embedding(table, ids + 1)


def test_a_dropout_mask_is_the_same_on_every_device(device):
    x = np.ones((4, 5))
    there = ops.dropout(Tensor(x).to(device), 0.4, rng=np.random.default_rng(2))
    here = ops.dropout(Tensor(x), 0.4, rng=np.random.default_rng(2))
    np.testing.assert_array_equal(there.numpy(), here.numpy())


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: there * here,
        lambda here, there: here * there,
        lambda here, there: there @ here.data,
        lambda here, there: here.data + there,
        lambda here, there: ops.concatenate([there, here]),
        lambda here, there: ops.linear(there, here),
    ],
)
def test_numbers_on_two_devices_are_refused_with_a_sentence(device, mix):
    here = Tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(TypeError, match=r"cpu.*Tensor\.to\(device\)") as caught:
        mix(here, Tensor(np.ones((2, 2))).to(device))
    assert device in str(caught.value)


def test_other_errors_are_told_as_they_are(device):
    with pytest.raises(ValueError, match="(?i)matmul"):
        ops.matmul(Tensor(np.ones((2, 3))).to(device), Tensor(np.ones((2, 3))).to(device))


# --- Tensor ---------------------------------------------------------------------------------------


def test_to_moves_the_values_and_the_gradient_back(device):
    x = Tensor(np.arange(3.0), requires_grad=True)
    there = x.to(device)
    assert (x.device, there.device) == ("cpu", device)
    assert there.to(device) is there and x.to("cpu") is x
    y = (there * there).to("cpu")
    assert type(y.data) is np.ndarray
    (y * x).sum().backward()  # d x^3 / dx, half of it on the device
    np.testing.assert_array_equal(x.grad.numpy(), 3 * np.arange(3.0) ** 2)
    assert x.grad.device == "cpu"


def test_to_can_be_differentiated_twice(device):
    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    y = x.to(device)
    (first,) = grad((y * y * y).sum().to("cpu"), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    np.testing.assert_array_equal(second.numpy(), 6 * x.numpy())


def test_numbers_and_text(device):
    x = Tensor(np.array([[1.5, -2.0]]), requires_grad=True).to(device)
    assert x[0, 0].item() == 1.5 and float(x[0, 1].detach()) == -2.0 and int(x[0, 0].detach()) == 1
    assert bool(x[0, 0] > 1) and len(x) == 1 and [row.shape for row in x] == [(2,)]
    assert repr(x) == f"Tensor([[ 1.5, -2. ]], device={device}, op=Move)"
    assert type(x.numpy()) is np.ndarray
    for compared in (x > 0, x <= 0, x == x, x != 1, x.detach() < x):
        assert type(compared) is namespace_on(device).array_type and compared.dtype == bool
    with pytest.raises(TypeError):
        np.asarray(x.detach())  # the library's own refusal to copy silently


def test_assigning_takes_values_of_any_library(device):
    xp = namespace_on(device)
    there, here = Tensor(xp.zeros((2, 2))), Tensor(np.zeros((2, 2)))
    for target in (there, here):
        for value in (np.eye(2), xp.asarray(np.eye(2)), Tensor(np.eye(2)), [[1, 0], [0, 1]]):
            target.assign_(target.numpy() * 0).assign_(value)
            np.testing.assert_array_equal(target.numpy(), np.eye(2))
    assert there.device == device and here.device == "cpu"
    with pytest.raises(ValueError, match=r"shape \(3,\) to shape \(2, 2\)"):
        there.assign_(xp.zeros(3))


def test_constants_of_a_second_derivative_are_of_its_library(device):
    xp = namespace_on(device)
    like = ops.constants.namespace_like(Tensor(xp.zeros(2)))
    for made in (
        like.zeros((2, 1)), like.ones(3), like.full((2,), 7.0), like.arange(1, 4),
        like.asarray([1.0, 2.0]), like.asarray(Tensor(xp.ones(2)), dtype=np.float32),
    ):  # fmt: skip
        assert made.device == device
    assert like.arange(3).dtype == ops.arange(3).dtype
    assert like.zeros(2, np.float32).dtype == np.float32
    assert like.exp is ops.exp
    assert ops.constants.namespace_like(Tensor(np.zeros(2))) is ops


def test_no_grad_and_views(device):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True).to(device)
    with no_grad():
        y = x[1:].T
    assert not y.requires_grad and y.device == device
    np.testing.assert_array_equal(y.numpy(), [[3], [4], [5]])


def test_places_and_truth_are_found_where_the_numbers_are(device):
    xp, array = namespace_on(device), np.array([[0.0, 2.0, 2.0], [0.0, -1.0, 0.0]])
    x = Tensor(xp.asarray(array), requires_grad=True)
    for y, expected in [
        (x.argmax(1), array.argmax(1)), (x.argsort(), array.argsort(kind="stable")),
        (x.argsort(descending=True), [[1, 2, 0], [0, 2, 1]]), (x.nonzero()[1], [1, 2, 1]),
        (ops.topk(x, 1, sorted=False)[1], [[1], [0]]), (x // 2, array // 2),
    ]:  # fmt: skip
        assert type(y.data) is xp.array_type and not y.requires_grad
        np.testing.assert_array_equal(y.numpy(), expected)
    for y, expected in [(x.any(0), [False, True, True]), (x.all(axis=(0, 1)), False)]:
        assert type(y) is xp.array_type
        np.testing.assert_array_equal(to_numpy(y), expected)
    assert x.tolist() == array.tolist() and x.nbytes == array.nbytes
    ours, reference = ops.diff(x, prepend=1.0, append=2), np.diff(array, prepend=1.0, append=2)
    np.testing.assert_array_equal(ours.numpy(), reference)
