"""Solutions to the exercises of 22_perplexity_three_ways.py."""

import numpy as np
from _solutions import answer, example_of

lab = example_of(__file__)


def three_ways(documents):
    """Perplexity from nats per token: over tokens, over documents' means, of perplexities."""
    means = np.array([np.mean(nats) for nats in documents])
    return np.exp(np.mean(np.concatenate(documents))), np.exp(means.mean()), np.exp(means).mean()


def exercise_1():
    """When all three agree.

    The first two agree when every document has the same number of tokens: then each token has the
    same weight either way. (Also when all documents are equally hard.) The third agrees only when
    all documents have the same mean, because exp is convex: two documents of 1 and 3 nats have a
    mean of e^1 and e^3 that is larger than e^2. A set of equal lengths is no protection.
    """
    rng = np.random.default_rng(0)

    def made(sizes, means):
        nats = [rng.random(n) for n in sizes]
        return [x - x.mean() + mean for x, mean in zip(nats, means, strict=True)]

    for name, sizes, means, first, second in (
        ("different lengths and means", (5, 50), (3.0, 1.0), False, False),
        ("equal lengths", (20, 20), (3.0, 1.0), True, False),
        ("equal means", (5, 50), (2.0, 2.0), True, True),
    ):
        right, of_means, of_perplexities = three_ways(made(sizes, means))
        print(f"   {name:<28s} {right:7.3f} {of_means:7.3f} {of_perplexities:7.3f}")
        assert np.isclose(right, of_means) == first
        assert np.isclose(of_means, of_perplexities) == second


def exercise_2():
    """Models that know nothing.

    A uniform model over V tokens has perplexity V, on any text. So the vocabulary alone makes
    perplexities of 256 and 512 that say nothing. In bits per byte, log2(V) x tokens / bytes: a
    uniform model over bytes needs 8 bits, and one over whole words far less, because few tokens
    cover the text. The tokenizer has already learned something from the corpus, which strings are
    frequent, and part of every language model's compression is its work.
    """
    texts = lab.training_texts(n=200)
    held_out = "".join(lab.document(5, np.random.default_rng(1)) for _ in range(20))
    n_bytes, found = len(held_out.encode()), {}
    for vocab_size in (258, 280, 512):
        tokenizer = lab.make_tokenizer(texts, vocab_size)
        V, tokens = tokenizer.vocab_size, len(tokenizer.encode(held_out))
        nats = np.full(tokens, np.log(V))
        found[vocab_size] = nats.sum() / np.log(2) / n_bytes
        print(f"   V = {V}: {tokens:5,d} tokens, perplexity {np.exp(nats.mean()):.0f}, ", end="")
        print(f"{found[vocab_size]:.2f} bits per byte")
        assert np.isclose(np.exp(nats.mean()), V)
    bits = list(found.values())
    assert bits == sorted(bits, reverse=True) and bits[-1] < 0.5 * bits[0]


def exercise_3():
    """One token that could not be.

    Perplexity is the geometric mean of 1 / p. One token of 100 with p = 1e-30 multiplies it by
    10^(30 / 100), so it doubles, and p = 0 makes it infinite whatever the others are. So a figure
    that is strangely high may come from a handful of tokens: a character the model has never seen,
    or a wrong first token. Look at the largest losses before you compare means. In training it is
    the same: such tokens own the mean, and clipping is there for the gradient that they give.
    """
    p = np.full(100, 0.25)
    before = np.exp(-np.log(p).mean())
    p[7] = 1e-30
    after = np.exp(-np.log(p).mean())
    share = -np.log(p[7]) / -np.log(p).sum()
    print(
        f"   perplexity {before:.2f}, and {after:.2f} with one p = 1e-30: {share:.0%} of all nats"
    )
    assert np.isclose(after / before, (0.25 / 1e-30) ** (1 / 100)) and 1.9 < after / before < 2
    with np.errstate(divide="ignore"):
        p[7] = 0
        assert np.exp(-np.log(p).mean()) == np.inf


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
