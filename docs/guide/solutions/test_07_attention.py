"""Solutions of chapter 7: positions that change places, one pass, grouped queries."""

import attention
import numpy as np
from attention import attention_weights, causal_self_attention, softmax
from check import check
from engine import Tensor, reshape, transpose


def parameters(rng, C):
    return {
        "c_attn.weight": Tensor(rng.normal(size=(C, 3 * C))),
        "c_attn.bias": Tensor(rng.normal(size=3 * C)),
        "c_proj.weight": Tensor(rng.normal(size=(C, C))),
        "c_proj.bias": Tensor(rng.normal(size=C)),
    }


def weights_without_mask(q, k):
    return softmax(q @ transpose(k, (0, 1, 3, 2)) * q.shape[-1] ** -0.5)


def test_exercise_7_1(monkeypatch):
    rng = np.random.default_rng(0)
    p, x, order = parameters(rng, 8), rng.normal(size=(2, 5, 8)), rng.permutation(5)

    def permuted_like_its_input():
        y = causal_self_attention(Tensor(x), p, n_head=2).data
        return np.allclose(causal_self_attention(Tensor(x[:, order]), p, 2).data, y[:, order])

    assert not permuted_like_its_input()  # the mask knows what is earlier
    monkeypatch.setattr(attention, "attention_weights", weights_without_mask)
    assert permuted_like_its_input()  # without it nothing does


def in_one_pass(q, k, v):
    """softmax(q k^T) v for one query q (D,), reading each key k (T, D) and value once."""
    largest, below, above = -np.inf, 0.0, np.zeros(v.shape[1])
    for key, value in zip(k, v, strict=True):
        score = q @ key
        new = max(largest, score)
        correction = np.exp(largest - new)  # what was summed was relative to the old maximum
        below = below * correction + np.exp(score - new)
        above = above * correction + np.exp(score - new) * value
        largest = new
    return above / below


def test_exercise_7_2():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=4), rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    for scale in (1, 1000):  # exp(1000) has no float
        expected = softmax(Tensor(k @ q * scale)).data @ v
        assert np.allclose(in_one_pass(q * scale, k, v), expected, rtol=1e-12)
    # whatever the order in which the keys come
    order = rng.permutation(7)
    assert np.allclose(in_one_pass(q, k[order], v[order]), in_one_pass(q, k, v))


def grouped_attention(q, k, v):
    """q (B, H, T, D), k and v (B, G, T, D), where G divides H: query head h uses h // (H / G)."""
    B, H, T, D = q.shape
    G = k.shape[1]
    # the queries of one group are put below one another: they meet the same keys
    q = reshape(q, (B * G, H // G, T, D))
    k, v = (reshape(x, (B * G, 1, T, D)) for x in (k, v))  # broadcast over the group
    return reshape(attention_weights(q, k) @ v, (B, H, T, D))


def test_exercise_7_3():
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 4, 3, 2))
    k, v = rng.normal(size=(2, 2, 2, 3, 2))
    check(grouped_attention, q, k, v)

    # the same as ordinary attention whose key heads are repeated
    tensors = [Tensor(x) for x in (q, np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1))]
    ordinary = (attention_weights(tensors[0], tensors[1]) @ tensors[2]).data
    assert np.allclose(grouped_attention(Tensor(q), Tensor(k), Tensor(v)).data, ordinary)

    # as many key heads as query heads: nothing is shared
    same = [Tensor(rng.normal(size=(2, 4, 3, 2))) for _ in range(3)]
    expected = (attention_weights(same[0], same[1]) @ same[2]).data
    assert np.allclose(grouped_attention(*same).data, expected)
