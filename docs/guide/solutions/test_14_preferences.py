"""Solutions of chapter 14: scores from comparisons, per token, labels that may be wrong."""

import numpy as np
from check import check
from dpo import dpo_loss
from engine import Tensor, log_sigmoid, mean, total


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_exercise_14_1():
    true = np.array([0.0, 0.5, 1.0, -1.0, 2.0])
    i, j = np.triu_indices(5, 1)
    games = 1000
    wins = np.random.default_rng(0).binomial(games, sigmoid(true[i] - true[j]))

    scores = Tensor(np.zeros(5), requires_grad=True)

    def loss():
        d = scores[i] - scores[j]
        nats = log_sigmoid(d) * wins + log_sigmoid(d * -1) * (games - wins)
        return total(nats) * (-1 / (games * len(i)))

    for _ in range(400):
        loss().backward()
        scores.data, scores.grad = scores.data - 4 * scores.grad, None

    predicted = sigmoid(scores.data[i] - scores.data[j])
    assert np.abs(predicted - wins / games).max() < 0.05  # a share of 1,000 is off by 0.016
    # scores are known up to a constant: compare them with their means taken off
    found = scores.data - scores.data.mean()
    assert np.abs(found - (true - true.mean())).max() < 0.15
    before = float(loss().data)
    scores.data = scores.data + 100
    assert np.isclose(float(loss().data), before, rtol=1e-12)


def per_token(chosen, rejected, reference_chosen, reference_rejected, n_c, n_r, beta=0.1):
    """The loss of DPO on log-probabilities per token; n_c and n_r count the tokens (B,)."""
    z = (chosen - reference_chosen) / n_c - (rejected - reference_rejected) / n_r
    return mean(log_sigmoid(z * beta), keepdims=False) * -1


def test_exercise_14_2():
    rng = np.random.default_rng(0)
    c, r, ref_c, ref_r = rng.normal(-8, 2, size=(4, 3))
    n_c, n_r = np.array([6.0, 6.0, 6.0]), np.array([3.0, 3.0, 3.0])
    check(lambda a, b: per_token(a, b, ref_c, ref_r, n_c, n_r), c, r)

    chosen, rejected = (Tensor(x, requires_grad=True) for x in (c, r))
    dpo_loss(chosen, rejected, ref_c, ref_r).backward()
    assert np.allclose(chosen.grad, -rejected.grad)  # summed: equal and opposite
    chosen.grad = rejected.grad = None
    per_token(chosen, rejected, ref_c, ref_r, n_c, n_r).backward()
    # per token: the long answer is pushed half as much as the short one
    assert np.allclose(chosen.grad / n_r, -rejected.grad / n_c)
    assert np.allclose(chosen.grad * 2, -rejected.grad)


def smoothed(chosen, rejected, reference_chosen, reference_rejected, s, beta=0.1):
    z = (chosen - reference_chosen) - (rejected - reference_rejected)
    right, wrong = log_sigmoid(z * beta), log_sigmoid(z * -beta)
    return mean(right * (1 - s) + wrong * s, keepdims=False) * -1


def test_exercise_14_3():
    rng = np.random.default_rng(0)
    c, r, ref_c, ref_r = rng.normal(-8, 2, size=(4, 3))
    check(lambda a, b: smoothed(a, b, ref_c, ref_r, 0.1), c, r)
    same = smoothed(Tensor(c), Tensor(r), ref_c, ref_r, 0.0).data
    assert np.isclose(same, dpo_loss(Tensor(c), Tensor(r), ref_c, ref_r).data)

    # dL/dz = -beta ((1 - s) sigmoid(-beta z) - s sigmoid(beta z)) is 0 where
    # sigmoid(beta z) = 1 - s: the model is as sure as the labels deserve
    s, beta = 0.1, 0.1
    z = np.log((1 - s) / s) / beta
    chosen = Tensor(np.array([z]), requires_grad=True)
    smoothed(chosen, Tensor(np.zeros(1)), 0.0, 0.0, s, beta).backward()
    assert np.abs(chosen.grad).max() < 1e-12
    # without smoothing it is never 0: z grows for ever
    chosen.grad = None
    dpo_loss(chosen, Tensor(np.zeros(1)), 0.0, 0.0, beta).backward()
    assert chosen.grad[0] < -1e-3
