"""Solutions to the exercises of 24_pass_at_k.py."""

import math

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.evals.humaneval import pass_at_k

lab = example_of(__file__)


def moments(n, k, p):
    """Mean and standard deviation of the estimator for one problem, exactly."""
    weights = np.array([math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)])
    values = np.array([pass_at_k(n, c, k) for c in range(n + 1)])
    mean = weights @ values
    return mean, math.sqrt(weights @ (values - mean) ** 2)


def exercise_1():
    """What more samples are for.

    With n = k samples the estimator is 1 if any is right and 0 if none is: right on average, and as
    noisy as a coin. More samples leave the mean where it is and shrink the noise, roughly like
    1 / sqrt(n) once n is several times k. So n is not a matter of bias, as it would be with the
    naive formula, but of how many problems one has: noise also averages out over problems.
    """
    p, k, before = 0.1, 10, math.inf
    for n in (10, 20, 50, 200):
        mean, deviation = moments(n, k, p)
        print(f"   n = {n:3d}: mean {mean:.4f}, standard deviation {deviation:.4f}")
        assert math.isclose(mean, 1 - (1 - p) ** k) and deviation < before
        before = deviation
        if n == k:
            assert math.isclose(deviation, math.sqrt(mean * (1 - mean)))


def exercise_2():
    """Two sets with the same pass@1.

    Half of the problems never solved and half of them with p = 0.2 is a pass@1 of 0.1, and so is
    p = 0.1 for each. pass@10 is 0.45 and 0.65. It is the same inequality as before, in the other
    place: 1 - (1 - p)^k is concave in p, so spread among problems lowers its mean. Hence pass@k
    cannot be computed from pass@1, and the ratio of the two says how a model's ability is spread:
    solving a few problems always, or many sometimes.
    """
    found = []
    for name, rates in (("0 and 0.2", (0.0, 0.2)), ("0.1 each", (0.1, 0.1))):
        p1, p10 = (np.mean([1 - (1 - p) ** k for p in rates]) for k in (1, 10))
        found.append((p1, p10))
        print(f"   {name:<10s} pass@1 {p1:.2f}, pass@10 {p10:.2f}")
    (a, spread), (b, even) = found
    assert math.isclose(a, b) and spread < 0.7 * even


def exercise_3():
    """The naive formula at its worst.

    For k = 1 both are c / n. For k = n the right one is 1 as soon as c > 0, and the naive one
    1 - (1 - c / n)^n, about 1 - e^-c: 0.63 for one right sample. It draws with replacement, so it
    may draw the same wrong sample ten times, which ten samples never do. The fewer samples there
    are beyond k, the more that matters.
    """
    n = 10
    for k in (1, 5, 10):
        print(f"   k = {k:2d}: {pass_at_k(n, 1, k):.3f}, naive {lab.naive(n, 1, k):.3f}")
    assert math.isclose(pass_at_k(n, 1, 1), lab.naive(n, 1, 1))
    assert pass_at_k(n, 1, n) == 1 and abs(lab.naive(n, 1, n) - (1 - math.exp(-1))) < 0.02


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
