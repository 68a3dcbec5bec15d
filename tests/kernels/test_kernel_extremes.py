"""Every kernel at the ends of the float range, and on rows where nothing counts.

Kernels are compared with their references, and with three facts: exp does not overflow, a bad
number in one row stays in that row, and a row where everything is masked is zeros.
"""

import numpy as np
import pytest
from kernel_cases import CASES
from kernel_checks import (
    INF,
    NAN,
    REDUCTIONS,
    assert_same,
    both_dtypes,
    compared,
    fast,
    flat,
    normal,
    special_numbers,
    xp,
)

from autograd import Tensor, grad, ops, use_kernels

pytestmark = pytest.mark.usefixtures("quiet")

modes = pytest.mark.parametrize("mode", ["auto", "reference"])


def run(call, arrays, g=None):
    """The output and the gradients, for an upstream gradient of ones, or ``g``."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = call(*xs)
    g = np.ones(y.shape, y.dtype) if g is None else g
    return [y.data, *(found.data for found in grad(y, xs, g))]


# --- One special number ---------------------------------------------------------------------------


ATTENTION = ("attention", "grouped_query_attention")
ANYWHERE = ["NaN", "infinity", "minus infinity", "zero", "minus zero"]
ENDS = ["largest", "most negative", "smallest normal", "smallest"]


def inputs_and_numbers():
    """Which number is put into which input: the ends of the range only into the main input.

    The other inputs are factors, and it depends on the order whether a product of three overflows.
    In attention this holds for all inputs; test_attention_of_far_scores has the certain cases.
    """
    for case in CASES:
        for k, name in enumerate(case.shapes((1, 1), 1)):
            numbers = ANYWHERE + (ENDS if k == 0 and case.op not in ATTENTION else [])
            if case.op == "linear_cross_entropy" and name == "g":
                numbers = ["NaN", "zero"]  # infinity times a sum, or a sum of infinities
            for number in numbers:
                yield pytest.param(case, name, number, id=f"{case.name}-{name}-{number}")


@pytest.mark.parametrize("case, name, number", list(inputs_and_numbers()))
@both_dtypes
def test_special_numbers_as_in_the_reference(case, name, number, dtype):
    # a weight that is NaN reaches ignored rows in one (0 times NaN) and not in the other: one row
    rows = 1 if case.op == "linear_cross_entropy" and name != "h" else 5
    inputs = case.inputs(rows, 7, dtype)
    array = inputs[name].reshape(-1)
    array[array.size // 2] = special_numbers(dtype)[number]
    case.run(compared(case.op, dtype), **inputs)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.op not in (*ATTENTION, "embedding", "muon")],
    ids=lambda case: case.name,
)
@both_dtypes
def test_what_is_special_in_a_row_stays_in_it(case, dtype):
    rows, spoiled = 11, 5  # no other axis is 11 long
    others = np.arange(rows) != spoiled
    inputs, f = case.inputs(rows, 7, dtype), fast(case.op)
    expected = [a for a in flat(case.run(f, **inputs)) if np.shape(a)[:1] == (rows,)]
    assert expected
    for name in (name for name, a in inputs.items() if a.shape[:1] == (rows,)):
        for number in special_numbers(dtype).values():
            changed = inputs[name].copy()
            changed[spoiled] = number
            found = flat(case.run(f, **{**inputs, name: changed}))
            found = [a for a in found if np.shape(a)[:1] == (rows,)]
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a[others], b[others])


@both_dtypes
@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_what_is_special_in_a_head_stays_in_it(dtype, part):
    B, T, H, D = 2, 70, 3, 4
    qkv, g = normal(B, T, 3 * H * D, dtype=dtype), normal(B, T, H * D, dtype=dtype, seed=1)
    (case,) = (case for case in CASES if case.op == "attention")

    def other_heads(qkv):
        """The results without the head that is spoiled below."""
        found = flat(case.run(fast("attention"), qkv, g, H))
        found = [a.reshape(B, T, -1, H, D).swapaxes(1, 3) for a in found]  # (B, H, 3 or 1, T, D)
        return [a.reshape(B * H, -1)[np.arange(B * H) != H + 1] for a in found]

    expected, place = other_heads(qkv), ["query", "key", "value"].index(part)
    for number in special_numbers(dtype).values():
        changed = qkv.copy()
        changed.reshape(B, T, 3, H, D)[1, 33, place, 1] = number  # sequence 1, head 1
        for a, b in zip(other_heads(changed), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@both_dtypes
def test_what_is_special_in_a_gradient_stays_with_its_id(dtype):
    ids, g = np.array([0, 3, 3, 1]), normal(4, 7, dtype=dtype)
    expected = fast("embedding").backward(xp, g, ids, (5, 7))
    for number in special_numbers(dtype).values():
        changed = g.copy()
        changed[1] = number
        found = fast("embedding").backward(xp, changed, ids, (5, 7))
        np.testing.assert_array_equal(np.delete(found, 3, axis=0), np.delete(expected, 3, axis=0))


# --- exp does not overflow ------------------------------------------------------------------------

FAR = [1000, 1e30, "largest"]  # exp overflows at 88.8 in float32 and at 709.8 in float64


@pytest.fixture(params=FAR, ids=str)
def far(request, dtype):
    """A number far beyond the range of exp; NumPy raises if anything overflows."""
    number = special_numbers(dtype).get(request.param, request.param)
    with np.errstate(over="raise", invalid="raise"):
        yield np.array(number, dtype)


@modes
@both_dtypes
def test_softmax_of_far_scores(far, dtype, mode):
    x = np.array([[0, far], [-far, 0], [far, far], [-far, -far], [0, 0]], dtype)
    with use_kernels(mode):
        y, g_x = run(ops.softmax, [x], np.array([[3, 5]] * 5, dtype))
    np.testing.assert_array_equal(y, [[0, 1], [0, 1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(g_x, [[0, 0], [0, 0]] + [[-0.5, 0.5]] * 3)


@modes
@both_dtypes
def test_losses_of_far_logits(far, dtype, mode):
    logits, targets = np.array([[0, far], [0, far], [-far, 0]], dtype), np.array([0, 1, 0])
    with use_kernels(mode):
        losses, g = run(lambda x: ops.cross_entropy(x, targets, reduction="none"), [logits])
    np.testing.assert_array_equal(losses, [far, 0, far])
    np.testing.assert_array_equal(g, [[-1, 1], [0, 0], [-1, 1]])


@modes
@both_dtypes
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_far_hidden_states(far, dtype, mode, reduction):
    h, weight, targets = np.array([[far], [far]]), np.array([[0], [1]], dtype), np.array([1, 0])
    with use_kernels(mode):
        loss, g_h, _ = run(
            lambda h, w: ops.linear_cross_entropy(h, w, targets, reduction=reduction), [h, weight]
        )
    expected = {"mean": far / 2, "sum": far, "none": [0, far]}
    np.testing.assert_array_equal(loss, expected[reduction])
    np.testing.assert_array_equal(g_h, [[0], [0.5 if reduction == "mean" else 1]])


@modes
@both_dtypes
def test_attention_of_far_scores(far, dtype, mode):
    # the second query meets two keys, with the scores 0 and far, and then 0 and -far
    qkv = np.array([[[0, 0, 3], [far, 1, 5]], [[0, 0, 3], [-far, 1, 5]]], dtype)
    g = np.array([[[1], [2]], [[1], [2]]], dtype)
    with use_kernels(mode):
        y, g_qkv = run(lambda x: ops.causal_attention(x, 1), [qkv], g)
    np.testing.assert_array_equal(y[..., 0], [[3, 5], [3, 3]])
    np.testing.assert_array_equal(g_qkv[..., 2], [[1, 2], [3, 0]])
    assert not g_qkv[..., :2].any()


@both_dtypes
@pytest.mark.parametrize("op", ATTENTION)
def test_attention_of_scores_far_apart(dtype, op):
    (case,) = (case for case in CASES if case.op == op and not case.note)
    inputs = case.inputs(70, 4 if op == "attention" else 1, dtype)
    for name, x in inputs.items():
        if name != "g":  # few bits, so that scores from -6400 to 6400 have no rounding errors
            x[:] = np.clip(np.round(x * 20), -80, 80)
    case.run(compared(op, dtype, typical=80), **inputs)


@both_dtypes
def test_a_weight_of_attention_that_would_be_denormal_is_zero(dtype):
    tiny = np.finfo(dtype).tiny
    near, far, value = np.log(tiny) + 10, np.log(tiny) - 3, 1 / tiny / 8
    qkv = np.array([[[0, 0, 0], [1, near, value]], [[0, 0, 0], [1, far, value]]], dtype)
    y, _ = fast("attention").forward(xp, qkv, 1)
    assert y[1, 1] == 0 and abs(y[0, 1] / (np.exp(10.0) / 8) - 1) < 1e-3


@modes
@both_dtypes
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_of_far_numbers(far, dtype, mode, approximate):
    with use_kernels(mode):
        y, g_x = run(lambda x: ops.gelu(x, approximate), [np.array([far, -far], dtype)])
    np.testing.assert_array_equal(y, [far, 0])
    np.testing.assert_array_equal(g_x, [1, 0])


@both_dtypes
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_all_the_way_to_where_it_is_straight(dtype, approximate):
    x = np.concatenate([np.linspace(-45, 45, 3001), np.linspace(-6, 6, 3001)]).astype(dtype)
    (case,) = (case for case in CASES if (case.op, case.note) == ("gelu", approximate))
    case.run(compared("gelu", dtype), x, np.ones_like(x))


# --- Rows where everything is masked --------------------------------------------------------------


@modes
@both_dtypes
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_batch_of_ignored_targets(dtype, mode, reduction):
    x, weight = normal(4, 5, dtype=dtype), normal(6, 5, dtype=dtype)
    x[0], x[1, 2], targets = NAN, INF, np.full(4, -100)
    g = np.array([NAN, INF, 1, 0], dtype) if reduction == "none" else None
    with use_kernels(mode):
        for call, inputs in (
            (lambda x: ops.cross_entropy(x, targets, reduction=reduction), [x]),
            (lambda *xs: ops.linear_cross_entropy(*xs, targets, reduction=reduction), [x, weight]),
        ):
            for result in run(call, inputs, g):
                assert result.dtype == dtype and not result.any()


@modes
@both_dtypes
def test_softmax_of_a_row_of_minus_infinity(dtype, mode):
    x = normal(3, 70, dtype=dtype)
    with use_kernels(mode):
        expected = run(ops.softmax, [x])
        x[1] = -INF
        for a, b in zip(run(ops.softmax, [x]), expected, strict=True):
            assert np.isnan(a[1]).all()  # as in PyTorch: no weights sum to 1
            np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])


@both_dtypes
@pytest.mark.parametrize("kind", ["boolean", "added"])
def test_attention_of_a_query_that_may_see_no_key(dtype, kind):
    q, k, v = (normal(2, 5, 3, dtype=dtype, seed=i) for i in range(3))
    mask, g = normal(5, 5) < 0.5, normal(2, 5, 3, dtype=dtype, seed=3)
    mask[2], others = False, [0, 1, 3, 4]
    assert mask[others].any(axis=1).all()
    if kind == "added":
        mask = np.where(mask, 0, -INF).astype(dtype)

    def attend(mask):
        return lambda *qkv: ops.scaled_dot_product_attention(*qkv, mask)

    y, g_q, g_k, g_v = run(attend(mask), [q, k, v], g)
    assert not y[:, 2].any() and not g_q[:, 2].any()
    expected = run(attend(mask[others]), [q[:, others], k, v], g[:, others])
    assert_same((y[:, others], g_q[:, others], g_k, g_v), tuple(expected), dtype)


@both_dtypes
def test_attention_where_a_mask_adds_the_most_negative_number(dtype):
    # the other usual way to write "no key": every score becomes this number, and all weights equal
    q, k, v = (normal(2, 5, 3, dtype=dtype, seed=i) for i in range(3))
    mask = np.zeros((5, 5), dtype)
    mask[2] = np.finfo(dtype).min / 2
    results = run(lambda *qkv: ops.scaled_dot_product_attention(*qkv, mask), [q, k, v])
    assert all(np.isfinite(a).all() for a in results)
    assert_same(results[0][:, 2], v.mean(axis=1), dtype)


@both_dtypes
def test_attention_without_keys_is_zeros(dtype):
    q, k, v = (
        normal(2, 3, 4, dtype=dtype),
        normal(2, 0, 4, dtype=dtype),
        normal(2, 0, 5, dtype=dtype),
    )
    y, g_q, *_ = run(ops.scaled_dot_product_attention, [q, k, v])
    assert y.shape == (2, 3, 5) and not y.any() and not g_q.any()
