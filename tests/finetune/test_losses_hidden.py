"""Log-probabilities and statistics from the last hidden state equal those from all the logits."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model

from autograd import Tensor, use_kernels
from tinygrad_llm.finetune import logps
from tinygrad_llm.finetune.logps import (
    hidden_sft_loss,
    hidden_statistics,
    hidden_token_logps,
    lengths,
    over_tokens,
    sequence_logps,
    token_logps,
    token_statistics,
)
from tinygrad_llm.finetune.losses import sft_loss
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.quantize import quantize_model
from tinygrad_llm.pretrained.llama_config import from_options

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, VOCAB_SIZE, (3, 9))
LABELS = np.roll(IDS, -1, axis=1)
LABELS[0, :4] = LABELS[1] = LABELS[:, -1] = -100
"""A prompt, a row without labels, and the last position, which nothing follows."""


def softcapped():
    options = {
        "model_type": "gemma2", "vocab_size": VOCAB_SIZE, "hidden_size": 32, "head_dim": 8,
        "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64, "query_pre_attn_scalar": 8,
        "final_logit_softcapping": 1.0,
    }  # fmt: skip
    return Llama(from_options(options), seed=1).eval()


MODELS = {
    "gpt2": lambda: small_model("gpt2"),
    "llama": lambda: small_model("llama"),
    "llama, tied": lambda: small_model("llama, tied, with biases"),
    "with a soft-cap": softcapped,
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]().astype("float64")


@pytest.fixture(params=[1, 16 << 20], ids=["a row at a time", "one block"])
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(logps, "BLOCK_BYTES", request.param)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.usefixtures("block_bytes")
def test_log_probabilities_and_their_gradients(model, temperature):
    g = RNG.standard_normal(LABELS.shape)
    one = hidden_token_logps(model.hidden(IDS), model, LABELS, temperature)
    other = token_logps(model(IDS) / temperature, LABELS)
    np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)
    assert not one.numpy()[LABELS == -100].any()
    same(gradients(model, (one * g).sum()), gradients(model, (other * g).sum()))


@pytest.mark.usefixtures("block_bytes")
def test_the_loss_of_sft(model):
    one = hidden_sft_loss(model.hidden(IDS), model, LABELS)
    other = sft_loss(model(IDS), LABELS)
    assert abs(one.item() - other.item()) < 1e-12
    assert abs(one.item() - model.loss(IDS, LABELS).item()) < 1e-12
    same(gradients(model, one), gradients(model, other))


def test_the_matrix_may_be_passed_for_the_model():
    model = small_model("llama")
    h = model.hidden(IDS)
    one, other = (hidden_token_logps(h, head, LABELS).numpy() for head in (model, model.head))
    np.testing.assert_array_equal(one, other)


def test_a_batch_without_labels(model):
    nothing = np.full(IDS.shape, -100)
    h = model.hidden(IDS)
    assert not hidden_token_logps(h, model, nothing).numpy().any()
    assert hidden_sft_loss(h, model, nothing).item() == 0
    for loss in (hidden_token_logps(h, model, nothing).sum(), hidden_sft_loss(h, model, nothing)):
        loss.backward(retain_graph=True)
    assert not any(p.grad.numpy().any() for p in model.parameters() if p.grad is not None)
    assert not hidden_statistics(h, model, nothing).entropy.any()


@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.usefixtures("block_bytes")
def test_over_weights_of_8_bits(kernels):
    """The weights have no gradient, but what was trained before them does."""
    model = small_model("llama")
    head = quantize_model(model).lm_head.weight
    table = head.dequantize(slice(None))
    h = RNG.standard_normal((*IDS.shape, table.shape[1])).astype(np.float32)
    with use_kernels(kernels):
        found, expected = Tensor(h, requires_grad=True), Tensor(h, requires_grad=True)
        one = hidden_token_logps(found, head, LABELS)
        other = token_logps(expected @ Tensor(table).T, LABELS)
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-4)
        one.sum().backward()
        other.sum().backward()
    g = expected.grad.numpy()
    np.testing.assert_allclose(found.grad.numpy(), g, atol=1e-4 * np.abs(g).max())


def test_only_rows_that_count_are_multiplied():
    """What the masked positions hold is never read: not even NaN does harm."""
    model = small_model("llama")
    h = model.hidden(IDS).numpy().copy()
    clean = hidden_token_logps(Tensor(h), model, LABELS).numpy()
    h[LABELS == -100] = np.nan
    dirty = Tensor(h, requires_grad=True)
    found = hidden_token_logps(dirty, model, LABELS)
    np.testing.assert_array_equal(found.numpy(), clean)
    found.sum().backward()
    assert not dirty.grad.numpy()[LABELS == -100].any()


def test_sums_and_averages_over_sequences():
    np.testing.assert_array_equal(lengths(LABELS), [4, 0, 8])
    model = small_model("llama").astype("float64")
    for average in (False, True):
        one = over_tokens(hidden_token_logps(model.hidden(IDS), model, LABELS), LABELS, average)
        other = sequence_logps(model(IDS), LABELS, average)
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10)


def test_labels_must_fit():
    model = small_model("llama")
    with pytest.raises(ValueError, match=r"labels have shape \(3, 8\), expected \(3, 9\)"):
        hidden_token_logps(model.hidden(IDS), model, LABELS[:, 1:])


# --- statistics ----------------------------------------------------------------------------------


def test_statistics_by_their_definitions():
    logits = RNG.standard_normal((3, 9, 5))
    labels = np.where(LABELS == -100, -100, LABELS % 5)
    found = token_statistics(logits, labels)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    counts = labels != -100
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.entropy, -(p * np.log(p)).sum(axis=-1) * counts)
    np.testing.assert_allclose(found.mean_logit, logits.mean(axis=-1) * counts)
    np.testing.assert_array_equal(found.correct, (p.argmax(axis=-1) == labels) & counts)
    assert found.mean(found.correct) == found.correct.sum() / 12
    assert found.mean(found.correct, slice(2, 3)) == found.correct[2].sum() / 8
    assert found.mean(found.entropy, slice(1, 2)) == 0


def test_of_equal_logits_the_lowest_id_is_the_prediction():
    logits = np.array([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]])
    assert token_statistics(logits, [[0, 1]]).correct.tolist() == [[True, False]]


def test_entropy_of_certainty_and_of_chance():
    logits = np.array([[[1000.0, 0.0, -1000.0], [3.0, 3.0, 3.0]]])
    np.testing.assert_allclose(token_statistics(logits, [[0, 0]]).entropy, [[0, np.log(3)]])


@pytest.mark.usefixtures("block_bytes")
def test_statistics_from_hidden_states(model):
    one = hidden_statistics(model.hidden(IDS), model, LABELS, 0.7)
    other = token_statistics(model(IDS) / 0.7, LABELS)
    for name in ("counts", "correct"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("entropy", "mean_logit"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)
