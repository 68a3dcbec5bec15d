"""Sampling: one prompt, one model, and eight ways to choose the next token.

What it teaches. A model does not write, it gives every token a probability; a rule then chooses
one. Always the likeliest token gives text that is safe and repeats itself; drawing from all of them
gives, sooner or later, one of the thousands that are unlikely one by one and not together. The
rules in between cut off this tail, each at another place.

Part 1 shows the distribution at three temperatures. Part 2 lists which tokens each rule keeps, by
NumPy in the example and by ``sample``. Part 3 writes texts with the same random numbers under each
rule. Part 4 draws 20,000 times, and the shares are the probabilities.

    python examples/15_sampling.py            # a small model, trained here within seconds
    python examples/15_sampling.py MODEL      # such as smollm2-135m-instruct

Before: 14_kv_cache.py. Next: 16_speculative_decoding.py. The page to read is
tinygrad_llm/generation/sampling.py.

Exercises, answered in solutions/15_sampling.py. Try first.

1. Which rule feels the heat. At temperature 0.5, 1 and 1.5, how many tokens do top-k, top-p and
   min-p keep? Try logits that fall like -1.2 log n. Which rules should come before temperature?
2. Greedy does not find the likeliest text. Make up a model of three tokens for which the likeliest
   text of two tokens does not begin with the likeliest first token.
3. A draw as a race. Add -log(-log(u)) to each logit, u uniform in (0, 1), and take the largest. Of
   which distribution is that a draw? Measure it, and explain.
"""

import sys

from _small_model import make_tokenizer, np, train_small_model

from autograd import no_grad
from tinygrad_llm.generation import Sampler, generate, sample
from tinygrad_llm.pretrained import load_pretrained

PROMPT = "Now is better than"
N_NEW = 24
STRATEGIES = {
    "greedy": {"temperature": 0},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 1": {},
    "temperature 1.5": {"temperature": 1.5},
    "top-k 5": {"top_k": 5},
    "top-p 0.8": {"top_p": 0.8},
    "min-p 0.1": {"min_p": 0.1},
    "1.5, then min-p 0.1": {"temperature": 1.5, "min_p": 0.1},
}


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def part_1_the_distribution(logits, tokenizer):
    print(f"1. What may follow {PROMPT!r}\n")
    columns = [softmax(logits / t) for t in (0.5, 1, 1.5)]
    print(f"   {'token':<12s}   {'temperature 0.5':<22s}{'1':<22s}1.5")
    order = np.argsort(-logits)
    for i in order[:8]:
        bars = (f"{p[i]:6.1%} {'#' * round(14 * p[i]):<15s}" for p in columns)
        print(f"   {tokenizer.decode([i])!r:<12s}   {''.join(bars).rstrip()}")
    rest = "".join(f"{p[order[8:]].sum():6.1%} {'':15s}" for p in columns)
    print(f"   {f'{len(order) - 8:,} others':<12s}   {rest.rstrip()}\n")


def kept_by_hand(p, top_k=None, top_p=None, min_p=None, **_):
    """The ids that one rule keeps, from the probabilities (V,) of all: the textbook's way."""
    order = np.argsort(-p)  # most likely first
    if top_k is not None:
        return order[:top_k]
    if top_p is not None:
        return order[: 1 + np.searchsorted(np.cumsum(p[order]), top_p)]
    if min_p is not None:
        return order[p[order] >= min_p * p.max()]
    return order


def part_2_what_each_rule_keeps(logits):
    print("2. What each rule keeps\n")
    print(f"   {'rule':<22s}{'tokens':>8s}   {'of the probability':>18s}")
    for name, options in STRATEGIES.items():
        if options.get("temperature") == 0:
            continue  # one token
        p = softmax(logits / options.get("temperature", 1.0))
        kept = kept_by_hand(p, **options)
        ids, q = Sampler(**options).distribution(logits)
        assert sorted(ids) == sorted(kept)
        np.testing.assert_allclose(q / q.sum(), p[ids] / p[ids].sum(), rtol=1e-9)
        print(f"   {name:<22s}{len(kept):8,d}   {p[kept].sum():18.1%}")
    print()


def part_3_texts(model, tokenizer, ids):
    print("3. Texts from the same random numbers\n")
    for name, options in STRATEGIES.items():
        for seed in (0, 1) if options.get("temperature") != 0 else (0,):
            steps = generate(model, np.array([ids]), N_NEW, seed=seed, **options)
            text = tokenizer.decode([int(token) for (token,) in steps])
            print(f"   {name if seed == 0 else '':<20s} {repr(PROMPT + text)[1:-1][:75]}")
    print()


def part_4_the_shares_are_the_probabilities(logits):
    print("4. 20,000 draws\n")
    n, rng = 20_000, np.random.default_rng(0)
    p = softmax(logits)
    drawn = np.bincount([sample(logits, u) for u in rng.random(n)], minlength=len(p))
    error, expected = np.abs(drawn / n - p), np.sqrt(p * (1 - p) / n)
    assert (error <= 5 * expected + 5 / n).all()
    print(
        f"   The share of each of the {len(p):,} tokens is its probability, to {error.max():.4f}."
    )
    print(
        f"   The standard deviation of a share is sqrt(p (1 - p) / n), up to {expected.max():.4f}."
    )


def main():
    if len(sys.argv) > 1:
        model, tokenizer = load_pretrained(sys.argv[1])
    else:
        print("No MODEL is named, so this is a small one that has half learned a page.\n")
        tokenizer = make_tokenizer()
        model = train_small_model(tokenizer, steps=90)
    ids = tokenizer.encode(PROMPT)
    with no_grad():
        logits = model.next_token_logits(np.array([ids])).data[0].astype(np.float64)  # (V,)
    part_1_the_distribution(logits, tokenizer)
    part_2_what_each_rule_keeps(logits)
    part_3_texts(model, tokenizer, ids)
    part_4_the_shares_are_the_probabilities(logits)


if __name__ == "__main__":
    main()
