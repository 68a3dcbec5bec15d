"""Solutions of chapter 13: a mask off by one, stories among the questions, merging."""

import numpy as np
from engine import Tensor, no_grad
from model import GPT, Config, initial
from sft import answer, example, fine_tune, pad, story_rows
from stories import stories
from tokenizer import train as train_tokenizer

ROWS = [(prompt, full) for prompt, full, _ in story_rows(12, seed=1)]
TOKENIZER = train_tokenizer([text for text, _ in ROWS] + stories(50), 512)


def small_model():
    config = Config(len(TOKENIZER.bytes), n_layer=1, n_head=2, n_embd=16)
    return GPT(config, initial(config, np.random.default_rng(0)))


def one_too_late(tokenizer, prompt, response):
    """The mask covers the first token of the response as well."""
    ids, labels = example(tokenizer, prompt, response)
    labels = labels.copy()
    labels[np.flatnonzero(labels != -100)[0]] = -100
    return ids, labels


def test_exercise_13_1(monkeypatch):
    prompt, response = ROWS[0]
    right = small_model()
    assert fine_tune(right, TOKENIZER, ROWS[:1], 60, 1, peak=2e-2)[-1] < 0.1
    assert answer(right, TOKENIZER, prompt) == response

    wrong = small_model()
    monkeypatch.setattr("sft.example", one_too_late)
    assert fine_tune(wrong, TOKENIZER, ROWS[:1], 60, 1, peak=2e-2)[-1] < 0.1
    found = answer(wrong, TOKENIZER, prompt)  # it never learned how an answer begins
    assert TOKENIZER.encode(found)[:1] != TOKENIZER.encode(response)[:1]


def mixed_loss(model, questions, texts, end):
    """Of both halves together: each half's mean, weighted by the tokens that count in it."""
    total, count = None, 0
    for examples in (questions, texts):
        x, y = pad(examples, end)
        n = np.count_nonzero(y != -100)
        part = model.loss(x, y) * n  # a sum of nats
        total, count = part if total is None else total + part, count + n
    return total / count


def test_exercise_13_2():
    model, end = small_model(), TOKENIZER.end
    questions = [example(TOKENIZER, *row) for row in ROWS[:4]]
    texts = []
    for text in stories(4, seed=3):
        ids = np.array([end, *TOKENIZER.encode(text), end])
        texts.append((ids[:-1], ids[1:]))  # all positions count

    loss = mixed_loss(model, questions, texts, end)
    together = model.loss(*pad(questions + texts, end))
    assert np.isclose(loss.data, together.data, rtol=1e-5)

    loss.backward()
    found = {name: p.grad for name, p in model.parameters.items()}
    for p in model.parameters.values():
        p.grad = None
    together.backward()
    for name, p in model.parameters.items():
        assert np.allclose(found[name], p.grad, rtol=1e-3, atol=1e-5), name
    # the mean of the two means is another number: a question's token would weigh more
    halves = [float(model.loss(*pad(half, end)).data) for half in (questions, texts)]
    assert not np.isclose(np.mean(halves), together.data, rtol=1e-3)


def test_exercise_13_3():
    rng, model = np.random.default_rng(0), small_model()
    ids = rng.integers(0, 300, size=(2, 10))
    with no_grad():
        at_first = model(ids).data
        kept, changes = {}, {}
        for name, p in model.parameters.items():
            if name.startswith("h.") and p.data.ndim == 2:
                a = rng.normal(0, 0.1, size=(p.shape[0], 4)).astype(np.float32)
                b = rng.normal(0, 0.1, size=(4, p.shape[1])).astype(np.float32)
                kept[name], changes[name] = p, (a, b)
        for name, (a, b) in changes.items():  # as in training: a sum that the engine makes
            model.parameters[name] = kept[name] + Tensor(a) @ Tensor(b)
        with_lora = model(ids).data
        assert np.abs(with_lora - at_first).max() > 0.01

        for name, (a, b) in changes.items():  # merged: plain arrays
            model.parameters[name] = Tensor(kept[name].data + a @ b)
        assert np.array_equal(model(ids).data, with_lora)

        for name, (a, b) in changes.items():  # taken off again: rounding stays
            model.parameters[name] = Tensor(model.parameters[name].data - a @ b)
        assert np.allclose(model(ids).data, at_first, atol=1e-4)

        model.parameters.update(kept)  # W was kept: nothing stays
        assert np.array_equal(model(ids).data, at_first)
