"""The gradient ledger: every contribution, its line, its share, and the check that they add up."""

import threading

import numpy as np
import pytest

from autograd import Tensor, accumulate, ops
from autograd.debug import Ledger, LedgerError, record_gradients
from autograd.observe import Observer


def leaf(*shape, seed=0, dtype=np.float64):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(values, requires_grad=True)


def line_of(function, offset):
    return function.__code__.co_firstlineno + offset


def test_tied_weights_have_two_contributions_with_their_lines():
    table, ids = leaf(7, 4), np.array([0, 3, 3])
    h = ops.embedding(table, ids)
    logits = ops.matmul(h, ops.transpose(table))
    loss = ops.cross_entropy(logits, np.array([3, 3, 1]))
    ledger = record_gradients(loss, keep_arrays=True)
    found = ledger.explain(table, "wte")
    assert [c.op for c in found.contributions] == ["Transpose", "Embedding"]
    first = test_tied_weights_have_two_contributions_with_their_lines
    assert [c.place.line for c in found.contributions] == [line_of(first, 3), line_of(first, 2)]
    assert all(c.place.file.endswith("test_debug_ledger.py") for c in found.contributions)
    assert found.contributions[1].place.source == "h = ops.embedding(table, ids)"
    total = sum(c.gradient for c in found.contributions)
    np.testing.assert_allclose(total, table.grad.data, rtol=1e-14, atol=1e-16)
    assert found.norm == pytest.approx(np.linalg.norm(table.grad.data))
    assert sum(c.share for c in found.contributions) == pytest.approx(1.0)
    for c in found.contributions:
        flat, whole = c.gradient.ravel(), table.grad.data.ravel()
        cosine = flat @ whole / np.linalg.norm(flat) / np.linalg.norm(whole)
        assert c.cosine == pytest.approx(cosine) and c.norm == pytest.approx(np.linalg.norm(flat))
    text = str(found)
    assert "gradient of wte, shape (7, 4) float64" in text and "2 contributions" in text
    assert "Embedding, input 0" in text and "h = ops.embedding(table, ids)" in text


def test_the_same_tensor_on_both_sides_counts_twice():
    x = leaf(3)
    ledger = record_gradients((x * x).sum())
    assert [(c.op, c.input) for c in ledger.explain(x).contributions] == [
        ("Multiply", 0),
        ("Multiply", 1),
    ]


def test_intermediates_are_explained_too_and_the_loss_starts_at_one():
    x = leaf(2, 3)
    h = ops.tanh(x)
    loss = (h * h).sum() + h[0].sum()
    ledger = record_gradients(loss)
    found = ledger.explain(h)
    assert sorted(c.op for c in found.contributions) == ["GetItem", "Multiply", "Multiply"]
    assert {c.shape for c in found.contributions} == {(2, 3)}  # a slice's is made whole
    (start,) = ledger.explain(loss).contributions
    assert (start.op, start.norm, start.place) == ("backward()", 1.0, None)
    assert len(ledger) == 7


def test_the_gradient_lands_as_without_the_ledger():
    a, b = leaf(7, 4), leaf(7, 4)
    ids = np.array([0, 3, 3])
    for table, run in ((a, record_gradients), (b, lambda loss: loss.backward())):
        h = ops.embedding(table, ids)
        run((ops.matmul(h, ops.transpose(table)) ** 2.0).mean())
    np.testing.assert_array_equal(a.grad.data, b.grad.data)


def test_broadcasting_is_undone_before_the_ledger_sees_it():
    b = leaf(3)
    ledger = record_gradients((leaf(5, 3, seed=1) + b).sum())
    (only,) = ledger.explain(b).contributions
    assert only.shape == (3,) and only.norm == pytest.approx(5 * 3**0.5)


def test_float32_rounding_is_not_an_error():
    x = leaf(1000, dtype=np.float32)
    total = x * 0.1
    for i in range(30):
        total = total + x * (0.01 * i)
    assert len(record_gradients(total.sum()).explain(x).contributions) == 31


@pytest.mark.parametrize(
    "wrong",
    [
        lambda total, gradient: gradient,  # the last one wins: = instead of +=
        lambda total, gradient: total,  # the first one wins
        lambda total, gradient: total + 1.001 * gradient,
    ],
)
def test_it_refuses_contributions_that_do_not_sum(monkeypatch, wrong):
    def add(total, owned, gradient, fresh):
        return wrong(total, gradient), False

    monkeypatch.setattr(accumulate, "_sum", add)
    x = leaf(4)
    loss = (ops.sin(x) + ops.exp(x)).sum()
    with pytest.raises(LedgerError, match=r"the 2 contributions .* do not add up"):
        record_gradients(loss)


def test_a_nan_is_reported_and_not_mistaken_for_a_wrong_sum():
    x = Tensor(np.array([1.0, np.nan]), requires_grad=True)
    found = record_gradients((x * x).sum()).explain(x)
    assert "not finite: detect_anomaly" in str(found)


def test_a_zero_gradient_has_no_direction():
    x = leaf(3)
    found = record_gradients((x * np.zeros(3)).sum()).explain(x)
    assert found.norm == 0.0 and np.isnan(found.contributions[0].cosine)
    assert " - " in str(found)


def test_hooks_are_mentioned():
    x = leaf(3)
    x.register_hook(lambda g: g * 2.0)
    found = record_gradients((x * 3.0).sum()).explain(x)
    assert found.norm == pytest.approx(3 * 3**0.5) and "hooks of this tensor" in str(found)
    np.testing.assert_array_equal(x.grad.data, np.full(3, 6.0))


def test_what_cannot_be_explained():
    x, other = leaf(3), leaf(3)
    ledger = record_gradients(x.sum())
    with pytest.raises(ValueError, match="no gradient reached this tensor"):
        ledger.explain(other)
    with pytest.raises(ValueError, match="requires no gradient"):
        ledger.explain(Tensor(np.ones(3)))


def test_another_thread_is_not_recorded():
    x = leaf(3)
    ledger_size = []

    def elsewhere():
        y = leaf(3)
        (y * 2.0).sum().backward()
        ledger_size.append(len(ledger))

    with Ledger() as ledger:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert ledger_size == [0]
        (x * 2.0).sum().backward()
    assert len(ledger) == 3


def test_a_call_over_several_lines_is_shown_whole():
    x = leaf(3)
    y = ops.multiply(
        x,
        2.0,
    ).sum()
    (only,) = record_gradients(y).explain(x).contributions
    assert only.place.source == "y = ops.multiply( x, 2.0, ).sum()"
    assert only.place.line == line_of(test_a_call_over_several_lines_is_shown_whole, 2)


def test_an_observer_may_use_the_earlier_name_of_needs_every_contribution():
    class Old(Observer):
        separate = True

    assert Old.needs_every_contribution and not Observer.needs_every_contribution
