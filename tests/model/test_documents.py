"""Several documents in a row are each what it is in a row of its own, in both model families."""

import numpy as np
import pytest
from small_models import KINDS, small_model

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.model import gpt, llama
from tinygrad_llm.model.layers import positions_in

ROWS = [[5, 17, 9, 1, 20], [30, 22], [52]]  # lengths of the documents
T = 52


def model_of(kind):
    """In float64; most layers of gemma3 have a window of 8 tokens, fewer than a document."""
    return small_model(kind).astype(np.float64)


def batch():
    """ids, targets and documents, (3, T) each; every seventh target does not count."""
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, 280, (2, len(ROWS), T))
    targets[:, ::7] = -100
    documents = [np.repeat(np.cumsum([0, *row[:-1]]), row) for row in ROWS]
    return ids, targets, np.stack(documents)


def loss_and_gradients(model, *arrays):
    model.zero_grad()
    ids, targets, *documents = arrays
    loss = model.loss(ids, targets, reduction="sum", documents=documents[0] if documents else None)
    loss.backward()
    return loss.item(), {n: p.grad.data.copy() for n, p in model.named_parameters()}


def one_at_a_time(model, ids, targets, documents):
    """The same, each document in a row of its own."""
    total, gradients = 0.0, {}
    for b, row in enumerate(ROWS):
        for start, length in zip(np.cumsum([0, *row]), row, strict=False):
            part = slice(b, b + 1), slice(start, start + length)
            loss, found = loss_and_gradients(model, ids[part], targets[part])
            total += loss
            gradients = {n: g + gradients.get(n, 0) for n, g in found.items()}
    return total, gradients


def difference(model):
    """The largest relative difference, in loss and gradients, of packed and single documents."""
    arrays = batch()
    (loss, gradients), (expected, wanted) = (
        f(model, *arrays) for f in (loss_and_gradients, one_at_a_time)
    )
    scale = max(np.abs(g).max() for g in wanted.values())
    assert scale > 0 and gradients.keys() == wanted.keys()
    gradient = max(np.abs(g - wanted[n]).max() for n, g in gradients.items()) / scale
    return max(abs(loss / expected - 1), gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_every_gradient_are_those_of_single_documents(kind):
    assert difference(model_of(kind)) < 1e-13


@pytest.mark.parametrize("kind", ["gpt2", "gemma3"])
def test_so_they_are_with_blocks_computed_again(kind):
    model = model_of(kind)
    model.recompute = True
    assert difference(model) < 1e-13


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3"])
def test_a_document_that_sees_its_neighbour_is_noticed(kind, monkeypatch):
    attend = llama.ops.grouped_query_attention

    def one_key_too_many(*args, documents):
        first = None if documents is None else np.maximum(documents - 1, 0)
        return attend(*args, documents=first)

    monkeypatch.setattr(llama.ops, "grouped_query_attention", one_key_too_many)
    assert difference(model_of(kind)) > 1e-4


def test_positions_that_do_not_restart_are_noticed(monkeypatch):
    def of_the_row(documents, ids, cache=None):
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)

    monkeypatch.setattr(gpt, "positions_in", of_the_row)
    assert difference(model_of("gpt2")) > 1e-4


def test_the_angles_restart(monkeypatch):
    """Scores depend on distances alone, so the results would not show angles that do not."""
    model, (ids, _, documents) = model_of("gemma3"), batch()
    tables, seen = model.rotary.tables, []
    monkeypatch.setattr(model.rotary, "tables", lambda p, d: seen.append(p) or tables(p, d))
    with no_grad():
        model(ids, documents=documents)
    (positions,) = seen
    expected = [np.concatenate([np.arange(n) for n in row]) for row in ROWS]
    np.testing.assert_array_equal(positions, expected)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_documents_that_do_not_fit_get_a_sentence(kind):
    model, (ids, _, documents) = model_of(kind), batch()
    late, negative = documents.copy(), documents.copy()
    late[0, 3], negative[1, 2] = 4, -1
    for wrong, sentence in [
        (documents[0], r"documents are int64 \(52,\), expected integers \(3, 52\)"),
        (documents.astype(float), "documents are float64"),
        (late, "at or before each of its tokens"),
        (negative, "at or before each of its tokens"),
    ]:
        with pytest.raises(UserError, match=sentence):
            model(ids, documents=wrong)
    with no_grad(), pytest.raises(UserError, match="documents and a cache cannot be combined"):
        model(ids, KVCache(model.config, 3), documents)
    np.testing.assert_array_equal(positions_in(documents, ids)[0, 3:7], [3, 4, 0, 1])
