"""Attention: each position gathers from those before it what it asks for."""

import numpy as np

from engine import Tensor, exp, log, reshape, total, transpose, where

def shifted(x):
    """x minus the largest number of each row: the same softmax, without overflow."""
    return x - x.data.max(axis=-1, keepdims=True)

def softmax(x):
    """exp(x_i) / sum_j exp(x_j) along the last axis."""
    e = exp(shifted(x))
    return e / total(e, axis=-1, keepdims=True)

def log_softmax(x):
    x = shifted(x)
    return x - log(total(exp(x), axis=-1, keepdims=True))

def linear(x, p):
    """x W + b: the weight is (in, out), as GPT-2 stores it."""
    return x @ p["weight"] + p["bias"]

def part(parameters, prefix):
    """The parameters whose names begin with the prefix, without it."""
    n = len(prefix)
    return {name[n:]: p for name, p in parameters.items() if name.startswith(prefix)}

def split_heads(x, n_head):
    B, T, C = x.shape
    x = reshape(x, (B, T, n_head, C // n_head))
    return transpose(x, (0, 2, 1, 3))  # (B, H, T, D)

def merge_heads(x):
    B, H, T, D = x.shape
    return reshape(transpose(x, (0, 2, 1, 3)), (B, T, H * D))

def attention_weights(q, k):
    """How much each position (row) takes from each position (column): (B, H, T, T)."""
    T, D = q.shape[-2:]
    scores = q @ transpose(k, (0, 1, 3, 2)) * D**-0.5  # (B, H, T, T)
    past = np.tril(np.ones((T, T), dtype=bool))  # row i sees columns 0 to i
    return softmax(where(past, scores, -np.inf))

def causal_self_attention(x, p, n_head):
    """(B, T, C) -> (B, T, C): q, k and v; weights; weighted averages of v; a mix."""
    C = x.shape[-1]
    qkv = linear(x, part(p, "c_attn."))  # (B, T, 3 C)
    q, k, v = (split_heads(qkv[..., i * C : (i + 1) * C], n_head) for i in range(3))
    y = attention_weights(q, k) @ v  # (B, H, T, D)
    return linear(merge_heads(y), part(p, "c_proj."))

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    q, k = (Tensor(rng.normal(size=(1, 1, 5, 4))) for _ in range(2))
    print(attention_weights(q, k).data[0, 0].round(2))
