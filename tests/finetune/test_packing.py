"""Packed rows: no example is lost or split, and each counts as in a row of its own."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from small_models import KINDS, small_model

from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import Example, completed
from tinygrad_llm.finetune.packing import best_fit, pack

LENGTHS = [5, 30, 17, 9, 1, 33, 20, 40, 12]  # of whole texts: one id more than is read


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 70))
def test_every_item_is_in_one_row_and_rows_are_not_too_long(lengths, capacity):
    rows = best_fit(lengths, capacity)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    sums = [sum(lengths[i] for i in row) for row in rows]
    assert all(0 < total <= capacity for total in sums)
    if len(rows) > 1:  # the least full row does not fit into what another one has left
        least = sorted(sums)[:2]
        assert sum(least) > capacity


def test_the_fullest_row_with_room_is_taken():
    assert best_fit([3, 6, 7, 4], 10) == [[2, 0], [1, 3]]
    assert best_fit([8, 7, 2, 3], 10) == [[0, 2], [1, 3]]  # first fit would put both into row 0
    assert best_fit([5, 5, 5], 10) == [[0, 1], [2]]
    assert best_fit([], 10) == []
    with pytest.raises(ValueError, match="an item of length 11 does not fit into 10"):
        best_fit([1, 11], 10)


def examples():
    rng = np.random.default_rng(3)
    texts = [rng.integers(0, 280, n + 1) for n in LENGTHS]
    return [completed(ids[: len(ids) // 3], ids[len(ids) // 3 :]) for ids in texts]


def test_a_row_is_its_examples_and_where_they_begin():
    a, b = (
        Example(np.array(x), np.array(y)) for x, y in [([1, 2], [2, 3]), ([4, 5, 6], [-100, 6, 7])]
    )
    (row,) = pack([a, b], 5)
    assert row.ids.tolist() == [4, 5, 6, 1, 2]
    assert row.labels.tolist() == [-100, 6, 7, 2, 3]
    assert row.documents.tolist() == [0, 0, 0, 3, 3]
    assert [len(row.ids) for row in pack([a, b], 4)] == [3, 2]
    batch = collate(pack([a, b], 4))
    assert batch.documents.tolist() == [[0, 0, 0], [0, 0, 2]]  # padding is a document of its own
    assert batch.labels.tolist() == [[-100, 6, 7], [2, 3, -100]]


def loss_and_gradients(model, batch):
    model.zero_grad()
    loss = model.loss(batch.ids, batch.labels, reduction="sum", documents=batch.documents)
    loss.backward()
    return loss.item(), {n: p.grad.data.copy() for n, p in model.named_parameters()}


def difference(model, packed, alone):
    """The largest relative difference of packed and single examples, in loss and gradients."""
    (loss, gradients), (expected, wanted) = (
        loss_and_gradients(model, batch) for batch in (packed, alone)
    )
    scale = max(np.abs(g).max() for g in wanted.values())
    gradient = max(np.abs(g - wanted[n]).max() for n, g in gradients.items()) / scale
    return max(abs(loss / expected - 1), gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_examples_have_the_loss_and_gradients_of_single_ones(kind):
    """In both families; gemma3 has windows of 8 tokens, fewer than most examples."""
    model = small_model(kind).astype(np.float64)
    packed, alone = collate(pack(examples(), 60)), collate(examples())
    assert len(packed.ids) == 3 and len(alone.ids) == 9 and alone.documents is None
    assert packed.terms == alone.terms and packed.tokens == alone.tokens
    assert difference(model, packed, alone) < 1e-12


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3"])
def test_examples_that_see_their_neighbours_are_noticed(kind):
    model, rows = small_model(kind).astype(np.float64), pack(examples(), 60)
    seeing = [row._replace(documents=np.zeros_like(row.documents)) for row in rows]
    assert difference(model, collate(seeing), collate(examples())) > 1e-4
    late = [row._replace(documents=np.maximum(row.documents - 1, 0)) for row in rows]
    assert difference(model, collate(late), collate(examples())) > 1e-4
