"""Solutions to the exercises of 16_speculative_decoding.py."""

import numpy as np
from _solutions import answer

P, Q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])  # the model and the draft, as in part 2


def written(accept, replacement):
    """The distribution of the token: proposed and accepted, or rejected and drawn anew."""
    accepted = Q * accept
    return accepted + (1 - accepted.sum()) * replacement


def exercise_1():
    """Two rules that look right.

    Drawing the replacement from p, and not from what is missing of it, counts twice: the tokens
    that the draft favors have already had their share. Accepting only where p(x) >= q(x) throws
    away proposals that were needed: the draft's favorite, c, would come only from the replacement,
    where it has no part, so never. Both give sensible text, and neither is the model's own
    distribution. In samples one would hardly see it; in a sum over three tokens it is plain.
    """
    residual = np.maximum(P - Q, 0) / np.maximum(P - Q, 0).sum()
    ratio = np.minimum(1, P / Q)
    rules = {
        "the right rule": written(ratio, residual),
        "replaced from p": written(ratio, P),
        "accepted only if p >= q": written(P >= Q, residual),
    }
    print(f"   {'p':<26s}{P}")
    for name, found in rules.items():
        print(f"   {name:<26s}{found.round(3)}")
        assert np.isclose(found.sum(), 1)
        assert np.allclose(found, P) == (name == "the right rule")
    assert rules["accepted only if p >= q"][2] == 0


def exercise_2():
    """How often a proposal stands.

    With probability sum q min(1, p / q) = sum min(p, q). That is 1 minus half of sum |p - q|, their
    total variation distance: the part of the two distributions that overlaps. Nothing could accept
    more often and keep p exact. It also says what to train a draft for: not for its own perplexity,
    but for overlap with the model. So drafts are often distilled from the model itself.
    """
    rng = np.random.default_rng(0)
    for spread in (0.1, 1.0, 3.0):
        z = rng.standard_normal(50)
        p, q = (np.exp(x) / np.exp(x).sum() for x in (z, z + spread * rng.standard_normal(50)))
        overlap, distance = np.minimum(p, q).sum(), np.abs(p - q).sum() / 2
        x = rng.choice(50, size=20_000, p=q)
        stood = (rng.random(20_000) < p[x] / q[x]).mean()
        print(
            f"   sum min(p, q) {overlap:.3f}   1 - distance {1 - distance:.3f}   drawn {stood:.3f}"
        )
        assert np.isclose(overlap, 1 - distance) and abs(stood - overlap) < 0.02


def exercise_3():
    """How many to propose.

    k proposals cost k c + 1 passes and yield (1 - a^(k + 1)) / (1 - a) tokens. The yield levels
    off, since a proposal counts only if all before it stand; the cost does not. So there is a best
    k, and it is small: 6 for a good, cheap draft (a = 0.8, c = 0.1), 3 for one that costs a third
    of a pass. A draft pays only if a > c: the first proposal multiplies the cost by 1 + c and the
    yield by 1 + a. Only one that costs nothing, like a look-up in the text, may propose as many as
    there are.
    """

    def speed(k, a, c):
        return sum(a**i for i in range(k + 1)) / (1 + k * c)

    best = {}
    for a, c in ((0.8, 0.1), (0.8, 1 / 3), (0.3, 1 / 3), (0.8, 0.0)):
        best[a, c] = max(range(31), key=lambda k, a=a, c=c: speed(k, a, c))
        k = best[a, c]
        print(f"   a = {a:.1f}, c = {c:.2f}: best k = {k:2d}, {speed(k, a, c):.2f} times as fast")
    assert list(best.values()) == [6, 3, 0, 30]
    assert speed(1, 0.34, 1 / 3) > 1 > speed(1, 0.33, 1 / 3)


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
