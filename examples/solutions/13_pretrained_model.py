"""Solutions to the exercises of 13_pretrained_model.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.model.llama import Llama

lab = example_of(__file__)
CONFIG = LlamaConfig(
    vocab_size=384, block_size=256, n_layer=2, n_head=4, n_kv_head=2, n_embd=64, n_hidden=128,
    tied=True,
)  # fmt: skip


def exercise_1():
    """The parameters of a configuration.

    Each of L layers has queries (H D, C) and the output (C, H D), keys and values (G D, C) each,
    gate, up and down of C K each, and two norms of C. Then there are the table of V rows, once
    where it is tied, and the last norm. Rotary embedding has no parameters, nor has attention
    itself. For a large model the table is small, and about three quarters of all numbers are in
    MLPs: 3 C K, with K around 3 to 4 times C, against at most 4 C C.
    """
    L, H, G, D = CONFIG.n_layer, CONFIG.n_head, CONFIG.n_kv_head, CONFIG.head_dim
    C, K, V = CONFIG.n_embd, CONFIG.n_hidden, CONFIG.vocab_size
    attention, mlp, norms = 2 * H * D * C + 2 * G * D * C, 3 * C * K, 2 * C
    by_hand = L * (attention + mlp + norms) + V * C + C
    counted = sum(p.size for p in Llama(CONFIG).parameters())
    print(f"   {by_hand:,} by the formula, {counted:,} counted")
    assert by_hand == counted


def exercise_2():
    """Only the distance counts.

    Turning q by t angles and k by s angles changes their product like turning one of them by the
    difference: a rotation keeps products, so both may be turned back by s. Shift a text by five
    places, and all scores stay as they are. A learned table of positions (GPT-2) has no such
    property: there, place 5 and place 105 are unrelated. It is also why a cache may store keys that
    are turned already: a key's angle depends on its own place, not on who asks.
    """
    T, D, shift = 6, 8, 5
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 1, T, D))  # one head
    later = np.zeros((2, 1, T + shift, D))
    later[:, :, shift:] = q, k

    def scores(q, k):
        return lab.turn(q, 10_000.0) @ lab.turn(k, 10_000.0).swapaxes(1, 2)

    here, there = scores(q, k), scores(*later)[:, shift:, shift:]
    print(f"   scores at places 0 to 5 and 5 to 10 differ by {np.abs(here - there).max():.0e}")
    assert np.abs(here - there).max() < 1e-13
    assert np.abs(here - q @ k.swapaxes(1, 2)).max() > 0.1  # but turning does change them


def exercise_3():
    """Almost the right model.

    A wrong eps moves the logits a little, and the text stays the same: a reader cannot see it.
    Heads that share the wrong keys, or places that do not turn, change the logits by a good part of
    their size, and still most choices, or all of them, are those of the right model: a short text
    can come out the same. So a model of one's own is compared with its source in numbers, position
    by position. A text that looks right proves little, and one that looks poor does not say where
    to search.
    """
    tokenizer = lab.make_tokenizer()
    model = lab.train_small_model(tokenizer, steps=60)
    ids = np.array(tokenizer.encode(lab.PROMPT))
    weights = {name: p.data.astype(np.float64) for name, p in model.named_parameters()}
    right, turn = lab.by_hand(weights, model.config, ids), lab.turn

    def no_turn():
        lab.turn = lambda x, theta: x
        return lab.by_hand(weights, model.config, ids)

    def wrong_keys():
        """The keys' and values' heads in the order 0 1 0 1, in place of 0 0 1 1."""
        D, n = model.config.head_dim, model.config.n_kv_head
        order = np.arange(n * 2).reshape(n, 2).T.ravel()
        swapped = dict(weights)
        for name, w in weights.items():
            if "q_proj" in name:
                swapped[name] = w.reshape(n * 2, D, -1)[order].reshape(w.shape)
            if "o_proj" in name:
                swapped[name] = w.reshape(-1, n * 2, D)[:, order].reshape(w.shape)
        return lab.by_hand(swapped, model.config, ids)

    def wrong_eps():
        wrong = model.config.__class__(**{**vars(model.config), "norm_eps": 1e-5})
        return lab.by_hand(weights, wrong, ids)

    errors = {}
    for mistake in (wrong_eps, wrong_keys, no_turn):
        logits = mistake()
        lab.turn = turn
        errors[mistake] = np.abs(logits - right).max() / np.abs(right).max()
        same = (logits.argmax(-1) == right.argmax(-1)).mean()
        name = mistake.__name__.replace("_", " ")
        print(f"   {name:<12s} logits off by {errors[mistake]:.1e}, {same:.0%} of the choices same")
    assert 0 < errors[wrong_eps] < 1e-3 and min(errors[wrong_keys], errors[no_turn]) > 0.05


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
