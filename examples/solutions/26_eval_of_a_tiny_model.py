"""Solutions to the exercises of 26_eval_of_a_tiny_model.py."""

import math

import numpy as np
from _solutions import answer

from tinygrad_llm.evals.bands import wilson_band


def exercise_1():
    """None of twenty.

    The textbook's band, p +- 1.96 sqrt(p (1 - p) / n), is 0 +- 0: twenty questions would prove that
    a model can never be right. It puts the observed rate in the place of the true one, and at the
    ends that is worst. Wilson asks which true rates are compatible with what was seen: up to 16 %
    for none of 20. For a model that is right in 5 % of all cases, the textbook's band "of 95 %"
    contains the truth in 64 % of all trials, and Wilson's in 92 %.
    """

    def textbook(right, n):
        p = right / n
        half = 1.96 * math.sqrt(p * (1 - p) / n)
        return p - half, p + half

    n, p, covered = 20, 0.05, {}
    for band in (textbook, wilson_band):
        low, high = band(0, n)
        chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        inside = [band(k, n)[0] <= p <= band(k, n)[1] for k in range(n + 1)]
        covered[band] = sum(c for c, i in zip(chances, inside, strict=True) if i)
        print(f"   {band.__name__:<12s} 0 of 20: {low:.1%} to {high:.1%};  ", end="")
        print(f"contains a true 5 % in {covered[band]:.0%} of all trials")
    assert textbook(0, n) == (0, 0) and 0.16 < wilson_band(0, n)[1] < 0.17
    assert covered[textbook] < 0.7 and covered[wilson_band] > 0.9


def exercise_2():
    """The best of twenty.

    Twenty models that guess among four answers, 200 questions: the best of them scores about 31 %,
    and in one trial of three at least one has a band above 25 %, though none knows anything. A band
    of 95 % is meant for one score that was chosen before it was seen. If you try twenty
    checkpoints, prompts or rules and report the best one, you report luck. Choose on some questions
    and report on others: there, the best of twenty is back at 25 %.
    """
    rng, n, models, trials = np.random.default_rng(0), 200, 20, 2000
    right = rng.binomial(n, 0.25, (trials, models))
    best = right.max(axis=1)
    above = np.array([wilson_band(k, n)[0] > 0.25 for k in range(n + 1)])
    again = rng.binomial(n, 0.25, trials)  # the chosen one, on other questions
    alone, any_of_them = above[right].mean(), above[best].mean()
    print(f"   the best scores {best.mean() / n:.1%}; on other questions {again.mean() / n:.1%}")
    print(f"   a band above 25 %: {alone:.1%} of all models, and one or more of 20 in ", end="")
    print(f"{any_of_them:.0%} of all trials")
    assert best.mean() / n > 0.30 and abs(again.mean() / n - 0.25) < 0.01
    assert alone < 0.05 and any_of_them > 0.3


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
