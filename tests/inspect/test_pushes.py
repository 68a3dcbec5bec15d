"""Where the loss pushes: the engine's gradients, token by token, and the closed form."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model, small_tokenizer

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.examples import IGNORE, Example, Pair, completed
from tinygrad_llm.finetune.lora import add_lora, disable_adapter
from tinygrad_llm.finetune.losses import DPO_LOSSES, sft_loss
from tinygrad_llm.finetune.packing import joined
from tinygrad_llm.finetune.preferences import Pairs, Preferences
from tinygrad_llm.finetune.reference import answer_logps
from tinygrad_llm.finetune.sft import SFT
from tinygrad_llm.inspect import closed_form
from tinygrad_llm.inspect.pushes import explain_pair, explain_sft, pieces
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.model.quantize import quantize_model

LOSSES = (*DPO_LOSSES, "orpo")
TOKENIZER = small_tokenizer()


def ids(text):
    return np.array(TOKENIZER.encode(text))


ROW = completed(ids("the cat sat"), ids(" on the mat."))
PAIR = Pair(ids("the cat"), ids(" sat on the mat."), ids(" sat on a log, and the dog"))
SHARED = len(ids(" sat on"))  # tokens with which both answers begin


def model_of(kind="llama", seed=2):
    return small_model(kind, seed).astype("float64")


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_sft_pushes_each_answer_token_by_p_minus_one_over_n(kind):
    model = model_of(kind)
    pushes = explain_sft(model, TOKENIZER, ROW)
    with no_grad():
        p = softmax(model(ROW.ids[None]).numpy()[0])  # (T, V)
    tokens = pushes.lines[0].tokens
    whole = [*ROW.ids.tolist(), int(ROW.labels[-1])]
    assert [token.id for token in tokens] == whole
    n = np.count_nonzero(ROW.labels != IGNORE)
    assert sum(token.counts for token in tokens) == n == len(whole) - len(ids("the cat sat"))
    for i, token in enumerate(tokens[1:], 1):
        one_hot = np.arange(VOCAB_SIZE) == token.id
        assert token.logp == pytest.approx(math.log(p[i - 1, token.id]), rel=1e-12)
        expected = (p[i - 1] - one_hot) / n if token.counts else np.zeros(VOCAB_SIZE)
        assert token.gradient == pytest.approx(expected[token.id], rel=1e-12)
        assert token.norm == pytest.approx(np.linalg.norm(expected), rel=1e-12)
        for other in token.others:
            assert other.gradient == pytest.approx(other.p / n, rel=1e-12) and other.text
    assert pushes.difference < 1e-12 < pushes.largest < 1 / n


def test_the_prompt_gets_exactly_nothing_at_its_logits_but_is_read():
    tokens = explain_sft(model_of(), TOKENIZER, ROW).lines[0].tokens
    prompt, answer = tokens[: len(ids("the cat sat"))], tokens[len(ids("the cat sat")) :]
    assert {(t.counts, t.gradient, t.norm, t.others) for t in prompt} == {(False, 0.0, 0.0, ())}
    assert all(t.counts and t.gradient < 0 and t.norm > 0 for t in answer)
    assert all(t.reach > 0 for t in tokens[:-1]) and tokens[-1].reach is None
    assert tokens[0].logp is None and all(t.logp < 0 for t in tokens[1:])


def test_a_packed_neighbour_gets_exactly_nothing():
    other = completed(ids("a dog"), ids(" ran on the log"))
    packed = joined([ROW, other, ROW])
    for document in range(3):
        pushes = explain_sft(model_of(), TOKENIZER, packed, document)
        tokens = pushes.lines[0].tokens
        for token in tokens:
            if token.document == document:
                assert token.reach is None or token.reach > 0
            else:
                assert (token.counts, token.norm, token.reach or 0.0) == (False, 0.0, 0.0)
        alone = explain_sft(model_of(), TOKENIZER, [ROW, other, ROW][document])
        assert pushes.loss == pytest.approx(alone.loss, rel=1e-12)
        own = [token for token in tokens if token.document == document]
        for a, b in zip(own, alone.lines[0].tokens, strict=True):
            assert (a.id, a.text, a.counts) == (b.id, b.text, b.counts)
            assert a.gradient == pytest.approx(b.gradient, rel=1e-9)


def test_a_neighbour_that_is_not_separated_gets_something():
    """The control: the same row as one text, in which the last labels count alone."""
    other = completed(ids("a dog"), ids(" ran on the log"))
    packed = joined([other, ROW])
    labels = np.where(packed.documents == 0, IGNORE, packed.labels)
    tokens = explain_sft(model_of(), TOKENIZER, Example(packed.ids, labels)).lines[0].tokens
    assert all(token.reach > 0 and token.norm == 0 for token in tokens[: len(other.ids)])


def test_the_loss_is_that_of_training():
    model = model_of()
    row = SFT(model, [ROW], [ROW])
    expected = row.loss(row.batch(np.array([0])).content)[0].item()
    assert explain_sft(model, TOKENIZER, ROW).loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_pairs_are_pushed_as_the_closed_form_says(loss_type):
    model, reference = model_of(), model_of(seed=5)
    smoothing = 0.1 if loss_type.startswith("sigmoid") else 0.0
    options = {"loss_type": loss_type, "beta": 0.3, "label_smoothing": smoothing}
    pushes = explain_pair(model, TOKENIZER, PAIR, reference=reference, **options)
    chosen, rejected = PAIR.examples()
    old = np.stack([answer_logps(reference, [row]) for row in (chosen, rejected)])
    pairs = Pairs([chosen], [rejected], None if loss_type == "orpo" else old)
    task = Preferences(model, pairs, pairs, **options)
    loss, metrics = task.loss(task.batch(np.array([0])).content)
    assert pushes.loss == pytest.approx(loss.item(), rel=1e-12)
    rewards = metrics["rewards/chosen"], metrics["rewards/rejected"]
    assert pushes.rewards == pytest.approx(rewards, rel=1e-12)
    assert pushes.difference < 1e-12 < pushes.largest
    for line, row in zip(pushes.lines, (chosen, rejected), strict=True):
        sign = 1 if line.name == "rejected" else -1
        assert [t.counts for t in line.tokens[1:]] == (row.labels != IGNORE).tolist()
        assert all(np.sign(t.gradient) == sign * t.counts for t in line.tokens)
        assert math.fsum(t.logp for t in line.tokens if t.counts) == pytest.approx(
            answer_logps(model, [row])[0], rel=1e-12
        )
        assert math.fsum(t.reference_logp for t in line.tokens if t.counts) == pytest.approx(
            answer_logps(reference, [row])[0], rel=1e-12
        )


def test_dpo_starts_at_ln_2_and_pushes_with_half_of_beta():
    pushes = explain_pair(model_of(), TOKENIZER, PAIR, beta=0.2)
    assert pushes.loss == pytest.approx(math.log(2), rel=1e-15) and pushes.rewards == (0.0, 0.0)
    assert [line.factor for line in pushes.lines] == pytest.approx([-0.1, 0.1], rel=1e-15)
    for line in pushes.lines:
        for token in line.tokens[1:]:
            assert token.logp == token.reference_logp
            expected = line.factor * (1 - math.exp(token.logp)) if token.counts else 0.0
            assert token.gradient == pytest.approx(expected, rel=1e-12)


def test_the_beginning_that_two_answers_share_cancels_and_the_fork_does_not():
    pushes = explain_pair(model_of(), TOKENIZER, PAIR)
    n = len(PAIR.prompt)
    for line in pushes.lines:
        assert all(token.both is None for token in line.tokens[:n])
        for token in line.tokens[n : n + SHARED]:
            assert abs(token.both) < 1e-15 and token.both_norm < 1e-15 and token.norm > 0.01
        fork = line.tokens[n + SHARED]
        assert fork.both == pytest.approx(line.factor, rel=1e-12)  # p is gone: c (e_chosen - e_rej)
        assert fork.both_norm == pytest.approx(math.sqrt(2) * abs(line.factor), rel=1e-12)
        assert all(token.both is None for token in line.tokens[n + SHARED + 1 :])


def test_where_one_answer_begins_like_the_other_ends():
    shorter = replace(PAIR, rejected=PAIR.chosen[:-1])
    for pair in (shorter, replace(shorter, chosen=shorter.rejected, rejected=shorter.chosen)):
        lines = explain_pair(model_of(), TOKENIZER, pair).lines
        shared = [[token.both for token in line.tokens if token.both is not None] for line in lines]
        assert len(shared[0]) == len(shared[1]) == len(PAIR.chosen) - 1
        assert np.abs(shared).max() < 1e-15


def test_the_reference_is_the_model_without_its_adapter():
    base, model = model_of(), add_lora(model_of(), 2)
    rng = np.random.default_rng(0)
    for _, parameter in trainable_parameters(model):
        parameter.assign_(0.1 * rng.standard_normal(parameter.shape))
    found = explain_pair(model, TOKENIZER, PAIR)
    expected = explain_pair(model, TOKENIZER, PAIR, reference=base)
    assert found == expected and found.loss != pytest.approx(math.log(2), rel=1e-3)
    with disable_adapter(model):
        assert explain_pair(model, TOKENIZER, PAIR).loss == pytest.approx(math.log(2))


def test_the_model_is_left_as_it_was():
    model = add_lora(small_model("gpt2"), 2).train()
    before = [(name, p.requires_grad) for name, p in model.named_parameters()]
    explain_pair(model, TOKENIZER, PAIR)
    explain_sft(model, TOKENIZER, ROW)
    assert [(name, p.requires_grad) for name, p in model.named_parameters()] == before
    assert model.training and all(p.grad is None for p in model.parameters())


def test_dropout_is_off():
    model = small_model("gpt2").train()
    assert explain_sft(model, TOKENIZER, ROW) == explain_sft(model, TOKENIZER, ROW)


def test_a_wrong_gradient_would_be_seen(monkeypatch):
    """A mask that is off by one: the engine differentiates another loss than the formula's."""
    late = "tinygrad_llm.inspect.pushes.sft_loss"
    monkeypatch.setattr(late, lambda logits, labels: sft_loss(logits, np.roll(labels, 1)))
    assert explain_sft(model_of(), TOKENIZER, ROW).difference > 0.01


def test_extreme_numbers():
    z = np.array([1e4, -1e4, 0.0], np.float32)
    np.testing.assert_array_equal(closed_form.closed_form(z, 1, 2.0), [-2.0, 2.0, 0.0])
    assert closed_form.sigmoid(-1e4) == 0.0 and closed_form.sigmoid(1e4) == 1.0
    assert closed_form.sft_factor(0) == 0.0


def test_a_token_table_that_is_quantized_is_refused():
    with pytest.raises(UserError, match="token table is stored quantized.*float32 weights"):
        explain_sft(quantize_model(small_model("llama, tied, with biases")), TOKENIZER, ROW)


def test_pieces_show_bytes_that_are_no_character():
    euro = TOKENIZER.encode("€")
    assert len(euro) == 3
    assert pieces(TOKENIZER, euro) == ["\\xe2", "\\x82", "\\xac"]
    assert pieces(TOKENIZER, [VOCAB_SIZE - 1]) == [f"<{VOCAB_SIZE - 1}>"]
    assert "".join(pieces(TOKENIZER, TOKENIZER.encode("the cat\n sat"))) == "the cat\n sat"
