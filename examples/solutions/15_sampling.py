"""Solutions to the exercises of 15_sampling.py."""

from itertools import product

import numpy as np
from _solutions import answer, example_of

lab = example_of(__file__)
LOGITS = -1.2 * np.log(np.arange(1, 1001))  # probabilities as of words: 1, 1/2, 1/3, ... to the 1.2


def exercise_1():
    """Which rule feels the heat.

    Temperature divides the logits, so it keeps their order: top-k keeps the same tokens at every
    temperature. Top-p counts probability, and a high temperature moves probability into the tail:
    the same 0.8 lets in far more tokens. Min-p compares with the largest, p / p_max =
    e^((z - z_max) / T), so it lets in more, too, but where one token towers above the others it
    keeps few. So the order of the rules matters: cut first and heat afterwards, and the tail stays
    out at every temperature.
    """
    print(f"   {'temperature':>14s}{'top-k 5':>10s}{'top-p 0.8':>12s}{'min-p 0.1':>12s}")
    counts = []
    for temperature in (0.5, 1.0, 1.5):
        p = lab.softmax(LOGITS / temperature)
        rules = ({"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1})
        counts.append([len(lab.kept_by_hand(p, **rule)) for rule in rules])
        print(f"   {temperature:14.1f}{counts[-1][0]:10d}{counts[-1][1]:12d}{counts[-1][2]:12d}")
    top_k, top_p, min_p = np.array(counts).T
    assert len(set(top_k)) == 1 and top_p[2] > 5 * top_p[1] and top_p[2] > 10 * min_p[2]
    # min-p's number by hand: n^(-1.2 / T) >= 0.1, so n <= 10^(T / 1.2)
    assert min_p.tolist() == [int(10 ** (t / 1.2)) for t in (0.5, 1.0, 1.5)]


def exercise_2():
    """Greedy does not find the likeliest text.

    It takes the best token now, and cannot know what that costs later. Here "a" is likelier than
    "b" at first, but after "a" the model is undecided among three, and after "b" it is sure: "b a"
    is likelier than anything that begins with "a". To find the likeliest text for certain one has
    to look at all V^n of them; beam search looks at a few. But with language models the likeliest
    text is not the best one either: it is short, or repeats itself.
    """
    first = {"a": 0.5, "b": 0.4, "c": 0.1}
    then = {"a": (0.4, 0.3, 0.3), "b": (0.9, 0.05, 0.05), "c": (0.4, 0.3, 0.3)}
    p = {x + y: first[x] * then[x]["abc".index(y)] for x, y in product("abc", repeat=2)}
    x = max(first, key=first.get)
    greedy, best = x + "abc"[int(np.argmax(then[x]))], max(p, key=p.get)
    print(f"   greedy writes {greedy!r}, {p[greedy]:.2f}; the likeliest is {best!r}, {p[best]:.2f}")
    assert (greedy, best) == ("aa", "ba") and p[best] > p[greedy]


def exercise_3():
    """A draw as a race.

    Add to each logit an independent -log(-log(u)), u uniform in (0, 1), and take the largest: that
    is a draw from the softmax (Gumbel's trick). Why: with e = -log(u), which is exponentially
    distributed, z - log(e) is largest where e / exp(z) is smallest. These are waiting times with
    rates exp(z), and which of them rings first has probability exp(z_i) / sum exp(z). No sum has to
    be computed. And if the noise is kept fixed, temperature only scales the logits: 0 is greedy.
    """
    z, n = LOGITS[:8], 50_000
    noise = -np.log(-np.log(np.random.default_rng(0).random((n, 8))))
    shares = np.bincount((z + noise).argmax(axis=1), minlength=8) / n
    p = lab.softmax(z)
    print(f"   softmax {p.round(3)}\n   shares  {shares.round(3)}")
    assert (np.abs(shares - p) < 5 * np.sqrt(p * (1 - p) / n)).all()


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
