"""Solutions of chapter 10: top-p and min-p, beam search, and a cache past the window."""

import numpy as np
from attention import linear, log_softmax, merge_heads, part, softmax, split_heads
from engine import Tensor, no_grad, transpose, where
from generate import generate, sample
from model import GPT, Config, initial, layer_norm, mlp


def sample_cut(logits, u, temperature=1.0, top_p=1.0, min_p=0.0):
    """The id that u picks; first temperature, then top-p, then min-p."""
    if temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")  # likeliest first, of equal ones the lowest id
    x = logits[order].astype(np.float64) / temperature
    p = np.exp(x - x[0])
    p /= p.sum()
    before = np.cumsum(p) - p
    # Rounding can make `before` reach 1 while tokens remain, so top_p = 1 must not be compared.
    keep = np.ones(len(p), bool) if top_p >= 1 else before < top_p
    keep &= p >= min_p * p[0]  # the likeliest always stays
    kept = np.where(keep, p, 0.0)[np.argsort(order)]  # back in the order of the ids
    cdf = np.cumsum(kept)
    i = np.searchsorted(cdf, u * cdf[-1], side="right")
    return int(min(i, np.flatnonzero(kept)[-1]))


def test_exercise_10_1():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=50) * 3
    numbers = rng.random(300)
    for temperature in (0, 0.5, 1.0, 2.0):  # cuts that cut nothing
        found = [sample_cut(logits, u, temperature) for u in numbers]
        assert found == [sample(logits, u, temperature) for u in numbers]
    best = int(logits.argmax())
    for u in (0.0, 0.5, 1 - 2**-53):  # cuts that cut everything but the likeliest
        assert sample_cut(logits, u, top_p=1e-9) == best == sample_cut(logits, u, min_p=1.0)

    logits = np.log([0.05, 0.4, 0.15, 0.3, 0.1])
    # Top-p 0.8: 0.4 and 0.3 have 0.7, so a third token is needed. Min-p 0.3: at least 0.12.
    for options in ({"top_p": 0.8}, {"min_p": 0.3}):
        drawn = [sample_cut(logits, u, **options) for u in rng.random(20000)]
        shares = np.bincount(drawn, minlength=5) / 20000
        assert np.allclose(shares, np.array([0, 0.4, 0.15, 0.3, 0]) / 0.85, atol=0.02)


def beam(model, ids, n, width):
    """The likeliest n ids that were found after ids, and log p of them."""
    kept = [([], 0.0)]
    for _ in range(n):
        with no_grad():
            rows = np.array([[*ids, *new] for new, _ in kept])
            logp = log_softmax(model(rows)).data[:, -1]  # (width, V)
        longer = [
            ([*new, i], score + logp[row, i])
            for row, (new, score) in enumerate(kept)
            for i in range(logp.shape[-1])
        ]
        kept = sorted(longer, key=lambda each: -each[1])[:width]
    return kept[0]


def test_exercise_10_2():
    # A "model" that is a table: after 0 comes 1 (A) with 0.6 or 2 (B) with 0.4; after A there are
    # ten equal ids, after B one has 0.9. It answers as a GPT does: ids (B, T) -> (B, T, V).
    table = np.full((13, 13), 1e-12)
    table[0, 1], table[0, 2] = 0.6, 0.4
    table[1, 3:13] = 0.1
    table[2, 3:13] = 0.1 / 9
    table[2, 5] = 0.9

    def model(ids):
        return Tensor(np.log(table)[ids])

    greedy, score = beam(model, [0], 2, width=1)
    assert greedy[0] == 1 and np.isclose(np.exp(score), 0.06)
    best, score = beam(model, [0], 2, width=2)
    assert best == [2, 5] and np.isclose(np.exp(score), 0.36)

    config = Config(20, block_size=16, n_layer=1, n_head=2, n_embd=16)
    real = GPT(config, initial(config, np.random.default_rng(0), np.float64))
    rng = np.random.default_rng(0)
    assert beam(real, [3, 4], 8, width=1)[0] == generate(real, [3, 4], 8, rng, temperature=0)
    assert beam(real, [3, 4], 8, width=5)[1] >= beam(real, [3, 4], 8, width=1)[1]


class Cached:
    """As in the chapter: a model that is shown only what is new."""

    def __init__(self, model):
        self.model, self.t = model, 0
        self.memory = [None] * model.config.n_layer

    def __call__(self, ids):
        p, config, n = self.model.parameters, self.model.config, ids.shape[1]
        C, t = config.n_embd, self.t
        x = p["wte.weight"][ids] + p["wpe.weight"][t : t + n]
        for i in range(config.n_layer):
            h = part(p, f"h.{i}.")
            qkv = linear(layer_norm(x, part(h, "ln_1.")), part(h, "attn.c_attn."))
            q, k, v = (split_heads(qkv[..., j * C : (j + 1) * C], config.n_head) for j in range(3))
            new, old = np.stack([k.data, v.data]), self.memory[i]
            both = self.memory[i] = new if old is None else np.concatenate([old, new], axis=3)
            k, v = Tensor(both[0]), Tensor(both[1])
            scores = q @ transpose(k, (0, 1, 3, 2)) * q.shape[-1] ** -0.5
            past = np.tril(np.ones((n, t + n), bool), k=t)
            x = x + linear(
                merge_heads(softmax(where(past, scores, -np.inf)) @ v), part(h, "attn.c_proj.")
            )
            x = x + mlp(layer_norm(x, part(h, "ln_2.")), part(h, "mlp."))
        self.t = t + n
        return layer_norm(x, part(p, "ln_f.")) @ transpose(p["wte.weight"], (1, 0))


def generate_cached(model, ids, n, rng, temperature=1.0, top_k=None, end=None):
    """What `generate` gives, and how many positions were computed for it."""
    ids, new, cached, read, computed = list(ids), [], Cached(model), 0, 0
    with no_grad():
        while len(new) < n and (not new or new[-1] != end):
            text = ids + new
            if len(text) > model.config.block_size:
                # The window moves: each token gets another position, so no key is what it was.
                cached, text, read = Cached(model), text[-model.config.block_size :], 0
            logits = cached(np.array([text[read:]])).data[0, -1]
            computed += len(text) - read
            read = len(text)
            new.append(sample(logits, rng.random(), temperature, top_k))
    return new, computed


def test_exercise_10_3():
    config = Config(30, block_size=12, n_layer=2, n_head=2, n_embd=16)
    model = GPT(config, initial(config, np.random.default_rng(0), np.float64))
    for length in (1, 5, 12, 15):  # a prompt may be as long as the window, or longer
        ids = np.random.default_rng(length).integers(0, 30, length).tolist()
        plain = generate(model, ids, 20, np.random.default_rng(1))
        cached, computed = generate_cached(model, ids, 20, np.random.default_rng(1))
        assert cached == plain
        windows = [min(length + i, 12) for i in range(20)]  # what `generate` computes
        assert computed <= sum(windows)
    assert computed == sum(windows)  # past block_size (12) there is nothing left to save
