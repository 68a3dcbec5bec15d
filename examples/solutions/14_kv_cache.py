"""Solutions to the exercises of 14_kv_cache.py."""

import numpy as np
from _solutions import answer, example_of

from autograd import no_grad
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.generation import KVCache
from tinygrad_llm.model.llama import Llama

lab = example_of(__file__)
CONFIG = LlamaConfig(
    vocab_size=100, block_size=64, n_layer=2, n_head=4, n_kv_head=2, n_embd=32, n_hidden=64
)


def exercise_1():
    """A window.

    With a window of W tokens, position t sees t - W + 1 to t. So the cache throws away the oldest
    key and value as soon as it has W, and gives the same result as the whole product with a band as
    its mask. Time and memory of a token no longer grow with the text. The price is that this layer
    sees no further back. (Over many layers information still travels, W - 1 tokens per layer.)
    """
    T, D, W = 9, 4, 3
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, T, D))
    t, s = np.indices((T, T))
    band = np.where((s <= t) & (s > t - W), 0.0, -np.inf)
    all_at_once = lab.softmax(q @ k.T / np.sqrt(D) + band) @ v
    keys, values = np.zeros((0, D)), np.zeros((0, D))
    for t in range(T):
        keys, values = np.vstack([keys, k[t]])[-W:], np.vstack([values, v[t]])[-W:]
        y = lab.softmax(q[t] @ keys.T / np.sqrt(D)) @ values
        assert np.abs(y - all_at_once[t]).max() < 1e-14
    print(f"   {T} tokens with {len(keys)} keys in the cache: the same as with the band")
    assert len(keys) == W


def exercise_2():
    """A changed token.

    What stands before it stays valid, what stands after it does not: in the first layer only its
    own key and value are new, but the outputs of all later positions have seen them, so their keys
    in the second layer are stale. Cut the cache at the changed token and read on from there. To
    replace only that token's entry gives wrong logits. This is why a program that edits the front
    of a long prompt pays for all of it, and one that only appends pays for what is new.
    """

    def same(a, b, places):
        """For each layer, whether two caches have the same keys at these places."""
        pairs = zip(a.keys, b.keys, strict=True)
        return [np.array_equal(k[:, :, places], other[:, :, places]) for k, other in pairs]

    model = Llama(CONFIG).eval()
    ids = np.random.default_rng(0).integers(0, 100, (1, 12))
    changed, at = ids.copy(), 4
    changed[0, at] = (ids[0, at] + 1) % 100
    cache, of_changed = KVCache(CONFIG), KVCache(CONFIG)
    with no_grad():
        model(ids, cache)
        expected = model(changed, of_changed).data[0, -1]
        before, after = (
            same(cache, of_changed, places) for places in (slice(at), slice(at + 1, 12))
        )
        for stored, right in ((cache.keys, of_changed.keys), (cache.values, of_changed.values)):
            for layer in range(CONFIG.n_layer):
                stored[layer][:, :, at] = right[layer][:, :, at]  # only this token's entries
        cache.truncate(11)
        patched = model(changed[:, 11:], cache).data[0, -1]
        cache.truncate(at)
        read_again = model(changed[:, at:], cache).data[0, -1]
    size = np.abs(expected).max()
    wrong, right = (np.abs(x - expected).max() / size for x in (patched, read_again))
    print(f"   keys before it the same in layers 0 and 1: {before}, after it: {after}")
    print(f"   logits off by {wrong:.0e} with its entry replaced, {right:.0e} read on from there")
    assert before == [True, True] and after == [True, False]
    assert right < 1e-5 < 1e-3 < wrong


def exercise_3():
    """The price of a long text.

    2 L G D numbers a token: with 32 layers, 8 key heads of 128 and two bytes each that is 128 KiB,
    and 128 K tokens take 16 GiB, about as much as the weights (8 G numbers of two bytes).
    And that is one conversation. With a key head for each of 32 query heads it would be four times
    as much, which is why models share them. A batch of conversations shares the weights, but not
    the caches: long contexts are often limited by memory before they are limited by arithmetic.
    """
    large = LlamaConfig(
        vocab_size=128_256, block_size=131_072, n_layer=32, n_head=32, n_kv_head=8, n_embd=4096,
        n_hidden=14_336,
    )  # fmt: skip
    a_token = KVCache(large, max_length=1, dtype=np.float16).nbytes
    whole = a_token * large.block_size
    print(f"   {a_token:,} bytes a token, {whole / 2**30:.0f} GiB for {large.block_size:,} tokens")
    assert a_token == 2 * 32 * 8 * 128 * 2 == 128 * 2**10 and whole == 16 * 2**30


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
