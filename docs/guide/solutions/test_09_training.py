"""Solutions of chapter 9: three rules, one batch learned by heart, micro-batches in the loop."""

import math

import numpy as np
import pytest
import train as training_loop
from model import GPT, Config, initial
from train import AdamW, clip, perplexity, train

END = 12


def words(n, seed):
    """A row of ids: END, six letters, the same six again, and so on."""
    letters = np.random.default_rng(seed).integers(0, 12, (n, 6))
    ends = np.full((n, 1), END)
    return np.append(np.concatenate([ends, letters, letters], axis=1).ravel(), END)


def small():
    config = Config(13, block_size=13, n_layer=2, n_head=4, n_embd=32)
    return GPT(config, initial(config, np.random.default_rng(0), np.float64))


class SGD:
    """Against the gradient; with momentum, against what the gradients have in common."""

    momentum = 0.0

    def __init__(self, parameters):
        self.parameters = parameters
        self.b = {name: np.zeros_like(p.data) for name, p in parameters.items()}

    def step(self, lr, scale=1.0):
        for name, p in self.parameters.items():
            b = self.b[name] = self.momentum * self.b[name] + p.grad * scale
            p.data = p.data - lr * b
            p.grad = None


class Momentum(SGD):
    momentum = 0.9


def test_exercise_9_1(monkeypatch):
    row, unseen = words(4000, 0), words(50, 1)

    def held_out_loss(rule, peak):
        monkeypatch.setattr(training_loop, "AdamW", rule)
        model = small()
        train(model, row, 150, peak=peak, end=END)
        return math.log(perplexity(model, unseen, END))

    # A rate belongs to its rule. AdamW's is the length of a step; SGD's turns the unit of a
    # gradient into that of a weight. At AdamW's rate SGD has not learned anything worth having:
    # equal chances for all ids are log 13 = 2.565, all but copying is 12 log 12 / 13 = 2.294.
    assert held_out_loss(SGD, 8e-3) > 2.29
    # At a rate a hundred times as large it copies, and momentum does with a tenth of that, since
    # it adds up ten gradients. In a model as small as this one, whose gradients are all of a
    # similar size, AdamW is no better; it is easier: its rate is nearly the same for all models.
    assert held_out_loss(SGD, 1.0) < 1.5
    assert held_out_loss(Momentum, 0.1) < 1.5
    assert held_out_loss(AdamW, 8e-3) < 1.5


class Forgetful(AdamW):
    """An optimizer with a mistake: the next backward adds to the gradients of this step."""

    def step(self, lr, scale=1.0):
        kept = {name: p.grad for name, p in self.parameters.items()}
        super().step(lr, scale)
        for name, p in self.parameters.items():
            p.grad = kept[name]


def test_exercise_9_2():
    # Each row begins with an id of its own, which is all that is needed to know the row by heart.
    # The other ids are random, so nothing but learning by heart lowers the loss: a model that
    # could not tell its rows or positions apart would be stuck at about log 13.
    letters = np.random.default_rng(3).integers(0, 12, (4, 13))
    letters[:, 0] = range(4)
    x, y = letters[:, :-1], letters[:, 1:]

    def by_heart(rule):
        model = small()
        optimizer = rule(model.parameters)
        for _ in range(150):
            loss = model.loss(x, y)
            loss.backward()
            optimizer.step(8e-3, clip(model.parameters))
        return float(loss.data)

    assert by_heart(AdamW) < 0.1
    assert by_heart(Forgetful) > 0.5


def train_in_parts(model, x, y, parts, optimizer, lr):
    """One step of a batch that is read in parts; gives the loss of the whole batch."""
    n = (y != -100).sum()
    whole = 0.0
    pieces = zip(np.array_split(x, parts), np.array_split(y, parts), strict=True)
    for x_part, y_part in pieces:
        share = float((y_part != -100).sum() / n)
        if share == 0:
            continue  # a part without targets has no gradient, and log_softmax would be wasted
        loss = model.loss(x_part, y_part) * share
        loss.backward()  # adds to grad
        whole += float(loss.data)
    optimizer.step(lr, clip(model.parameters))  # clips the whole gradient, once
    return whole


@pytest.mark.parametrize("parts", [2, 3])
def test_exercise_9_3(parts):
    row = words(30, 2)
    x, y = row[:-1].reshape(30, 13), row[1:].reshape(30, 13).copy()
    y[:7, :9] = -100
    y[10:15] = -100

    def trained(parts):
        model = small()
        optimizer = AdamW(model.parameters)
        losses = [train_in_parts(model, x, y, parts, optimizer, 1e-3) for _ in range(3)]
        return losses, model.parameters

    (losses, whole), (losses_in_parts, in_parts) = trained(1), trained(parts)
    assert np.allclose(losses, losses_in_parts, rtol=1e-9)
    for name in whole:
        assert np.allclose(whole[name].data, in_parts[name].data, atol=1e-7), name
