"""The KV cache: why a model need not read its own text again, proven and timed.

What it teaches. Position t of a causal model depends on the tokens up to t alone. So when a token
is appended, everything computed at the earlier positions stays as it was, and of that the new token
needs only the keys and values of each layer: attention is the one place where positions meet.
Without a cache, n tokens cost 1 + 2 + ... + n positions; with one, n.

Part 1 shows this for one head in NumPy. Part 2 compares a model's logits with and without its
cache, at every position. Part 3 generates a text both ways: the same ids, and the time of each
token as the text grows. Part 4 is the price, which is memory.

    python examples/14_kv_cache.py            # a model with random weights: they cost as much time
    python examples/14_kv_cache.py MODEL      # such as smollm2-135m-instruct

Before: 13_pretrained_model.py. Next: 15_sampling.py. The page to read is
tinygrad_llm/generation/cache.py.

Exercises, answered in solutions/14_kv_cache.py. Try first.

1. A window. In part 1, let each token see only the last W. What may the cache throw away? Compare
   with the whole product and the right mask.
2. A changed token. A text of 12 tokens is in the cache, and token 4 changes. Which keys of which
   layers are still right? What happens if only that token's keys and values are replaced?
3. The price of a long text. How large is the cache of 131,072 tokens in float16, for 32 layers with
   8 key heads of 128? Compare it with the weights, 8 G numbers of two bytes.
"""

import sys
import time

from _small_model import np

from autograd import no_grad
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.generation import KVCache, generate
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import load_pretrained

SMALL = LlamaConfig(
    vocab_size=1000, block_size=1024, n_layer=4, n_head=8, n_kv_head=2, n_embd=256, n_hidden=512
)
N_NEW = 48
PROMPT = 160  # tokens


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def part_1_one_head():
    print("1. One head\n")
    T, D = 6, 4
    rng = np.random.default_rng(0)
    x, w_q, w_k, w_v = rng.standard_normal((T, D)), *rng.standard_normal((3, D, D))

    scores = (x @ w_q) @ (x @ w_k).T / np.sqrt(D)  # (T, T)
    all_at_once = softmax(scores + np.triu(np.full((T, T), -np.inf), 1)) @ (x @ w_v)  # (T, D)

    keys, values = np.zeros((0, D)), np.zeros((0, D))
    for t in range(T):
        keys = np.vstack([keys, x[t] @ w_k])  # (t + 1, D)
        values = np.vstack([values, x[t] @ w_v])
        y = softmax((x[t] @ w_q) @ keys.T / np.sqrt(D)) @ values  # (D,)
        error = np.abs(y - all_at_once[t]).max()
        print(f"   token {t}: 1 query, {t + 1} keys; from the full product by {error:.0e}")
        assert error < 1e-14
    print(
        "\n   A row of the softmax needs one query, but all keys and values so far: store those.\n"
    )


def part_2_a_model(model, ids):
    print("2. A model, token by token\n")
    cache = KVCache(model.config, max_length=len(ids))
    with no_grad():
        whole = model(np.array([ids])).data[0]  # (T, V): all positions, no cache
        parts = [model(np.array([[i]]), cache).data[0, 0] for i in ids]  # T times (V,)
    error = np.abs(np.array(parts) - whole).max() / np.abs(whole).max()
    assert error < 1e-4 and cache.ids == [list(ids)]
    print(f"   {len(ids)} positions: the logits differ by {error:.0e} of the largest, rounding.\n")


def timed(steps):
    """The ids that a generator yields, and the seconds of each."""
    ids, seconds, start = [], [], time.perf_counter()
    for (token,) in steps:
        ids.append(int(token))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return ids, np.array(seconds)


def part_3_with_and_without(model, ids):
    print("3. With and without\n")

    def without(ids):
        return model.next_token_logits(ids)

    prompt, block_size = np.array([ids]), model.config.block_size
    for n in (2, N_NEW):  # the first time compiles kernels, or loads them
        plain, slow = timed(generate(without, prompt, n, temperature=0, block_size=block_size))
        cached, fast = timed(generate(model, prompt, n, temperature=0))
    assert cached == plain
    print(
        f"   {N_NEW} tokens after a prompt of {len(ids)}, at temperature 0: the same ids both ways"
    )
    print(f"\n   {'tokens':>12s}   {'without, ms':>12s}   {'with, ms':>12s}")
    print(f"   {'prompt':>12s}   {1e3 * slow[0]:12.1f}   {1e3 * fast[0]:12.1f}")
    for begin in range(1, N_NEW, 12):
        part = slice(begin, min(begin + 12, N_NEW))
        a, b = np.median(slow[part]), np.median(fast[part])
        print(f"   {len(ids) + begin:5d} to {len(ids) + part.stop - 1:3d}", end="")
        print(f"   {1e3 * a:12.1f}   {1e3 * b:12.1f}")
    read = sum(len(ids) + n for n in range(N_NEW)), len(ids) + N_NEW - 1
    print(f"\n   positions computed: {read[0]:,} without, {read[1]:,} with")
    print(f"   seconds: {slow.sum():.2f} without, {fast.sum():.2f} with\n")


def part_4_the_price(model):
    print("4. The price\n")
    config = model.config
    L, G, D, H = config.n_layer, config.n_kv_head, config.head_dim, config.n_head
    cache = KVCache(config, max_length=1000)
    windows = sum(window is not None for window in cache.windows)
    print(
        f"   2 L G D = 2 x {L} x {G} x {D} numbers for each token: keys and values of every layer."
    )
    print(f"   1,000 tokens in float32: {cache.nbytes / 1e6:.1f} MB", end="")
    print(f", {windows} layers with a window keep fewer." if windows else ".")
    if not windows:
        assert cache.nbytes == 1000 * 2 * L * G * D * 4
    if G < H:
        print(f"   {H} query heads share {G} key heads; with a key head each, {H // G} times that.")


def main():
    if len(sys.argv) > 1:
        model, _ = load_pretrained(sys.argv[1])
    else:
        print("No MODEL is named, so this is a small one with random weights.\n")
        model = Llama(SMALL).eval()
    ids = np.random.default_rng(1).integers(0, model.config.vocab_size, PROMPT).tolist()
    part_1_one_head()
    part_2_a_model(model, ids[:40])
    part_3_with_and_without(model, ids)
    part_4_the_price(model)


if __name__ == "__main__":
    main()
