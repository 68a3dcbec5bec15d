"""The order of the rows: shuffled epochs, balanced ones, and continuing in the middle of one."""

import numpy as np
import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.order import Order


def test_every_row_once_in_each_epoch():
    order = Order(10, seed=1)
    epochs = [order.next(10).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert Order(10, seed=2).next(10).tolist() != epochs[0]


def test_a_batch_may_belong_to_two_epochs():
    whole, order = Order(10, seed=1).next(30), Order(10, seed=1)
    assert np.concatenate([order.next(n) for n in (4, 9, 17)]).tolist() == whole.tolist()


def test_balanced_epochs():
    classes = np.array([0] * 20 + [1] * 3 + [2] * 1)
    order = Order(24, seed=0, classes=classes)
    epochs = [order.next(24) for _ in range(4)]
    for epoch in epochs:
        assert np.bincount(classes[epoch]).tolist() == [8, 8, 8]
        assert set(epoch[classes[epoch] == 1]) == {20, 21, 22}  # a rare class: all its rows
        assert len(set(epoch[classes[epoch] == 0])) == 8  # a common one: none twice
    common = [set(epoch[classes[epoch] == 0]) for epoch in epochs]
    assert common[0] != common[1]


def test_balanced_when_the_rows_do_not_divide():
    classes = np.array([0] * 8 + [1] * 2)
    for seed in range(20):
        counts = np.bincount(classes[Order(10, seed, classes).next(10)])
        assert counts.tolist() == [5, 5]
    classes = np.array([0, 0, 0, 0, 0, 1, 2])
    counts = [np.bincount(classes[Order(7, seed, classes).next(7)]) for seed in range(30)]
    assert all(sorted(count.tolist()) == [2, 2, 3] for count in counts)
    assert len({tuple(count) for count in counts}) == 3  # who gets one more is random


@pytest.mark.parametrize("classes", [None, np.arange(7) % 2])
@pytest.mark.parametrize("done", [1, 3, 7, 16])
def test_it_continues_where_it_was(classes, done):
    order = Order(7, 5, classes)
    order.next(done)
    other = Order(7, 5, classes)
    other.load_state_dict(order.state_dict())
    assert other.next(20).tolist() == order.next(20).tolist()


def test_a_state_of_other_data():
    with pytest.raises(UserError, match="of a run over 7 rows, but there are 8"):
        Order(8, 0).load_state_dict(Order(7, 0).state_dict())


LENGTHS = np.random.default_rng(0).integers(1, 1000, 61)


def test_rows_of_similar_lengths_come_together():
    order = Order(61, 3, lengths=LENGTHS, group=4)
    epochs = [order.next(61) for _ in range(5)]
    assert all(sorted(epoch) == list(range(61)) for epoch in epochs)
    groups = np.concatenate(epochs)[:304].reshape(76, 4)
    spreads = np.ptp(LENGTHS[groups], axis=1)  # groups over the end of an epoch are mixed
    assert (
        np.median(spreads) < 150 < np.median(np.ptp(LENGTHS[Order(61, 3).next(60)].reshape(15, 4)))
    )
    longest = LENGTHS[groups[:15]].max(axis=1)
    assert (np.diff(longest) > 0).any() and (np.diff(longest) < 0).any()  # they are shuffled
    sets = [{frozenset(group) for group in groups[i : i + 15].tolist()} for i in (0, 16)]
    assert len(sets[0] & sets[1]) < 5  # and made anew


def test_an_order_by_length_continues_where_it_was():
    whole = Order(61, 3, lengths=LENGTHS, group=4).next(400)
    order = Order(61, 3, lengths=LENGTHS, group=4)
    order.next(172)
    other = Order(61, 3, lengths=LENGTHS, group=4)
    other.load_state_dict(order.state_dict())
    np.testing.assert_array_equal(other.next(228), whole[172:])
