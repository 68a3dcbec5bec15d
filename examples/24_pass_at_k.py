"""pass@k: the estimator that is right on average, and the one that is not.

What it teaches. pass@k is the probability that at least one of k samples solves a problem. The
probability p that one sample does is unknown; there are n samples, of which c are right. It is
tempting to put c/n in p's place: 1 - (1 - c/n)^k. This is too low on average, because (1 - x)^k is
convex: by Jensen's inequality the mean of (1 - c/n)^k is more than (1 - p)^k. The right question is
another: of all choices of k of the n samples, how many contain a right one?

    pass@k  =  1 - C(n - c, k) / C(n, k)

Part 1 counts choices. Part 2 simulates models whose p is known, and compares both estimators with
1 - (1 - p)^k. Part 3 computes the bias exactly, summing over c, as n grows. Part 4 is why the
binomials are not computed: C(n, k) is too large for a float.

    python examples/24_pass_at_k.py

Before: 23_gsm8k_extraction.py. Next: 25_space_before_the_letter.py. The page to read is
tinygrad_llm/evals/humaneval.py.

Exercises, answered in solutions/24_pass_at_k.py. Try first.

1. What more samples are for. The estimator is right on average for any n >= k. Compute its standard
   deviation for one problem with p = 0.1, k = 10 and n = 10, 20, 50, 200.
2. Two sets with the same pass@1. Half of the problems have p = 0 and half p = 0.2; or all have 0.1.
   What is pass@10 of each set?
3. The naive formula at its worst. Of 10 samples one is right. Compare both formulas for k = 1, 5
   and 10, and explain the last.
"""

import math
from itertools import combinations

import numpy as np

from tinygrad_llm.evals.humaneval import pass_at_k


def naive(n, c, k):
    return 1 - (1 - c / n) ** k


def part_1_choices():
    print("1. Five samples, two of them right, k = 2\n")
    samples = ["right", "right", "wrong", "wrong", "wrong"]
    choices = list(combinations(range(5), 2))
    good = [c for c in choices if any(samples[i] == "right" for i in c)]
    print(f"   {len(good)} of the {len(choices)} pairs contain a right one.")
    print(f"   pass@2 = {pass_at_k(5, 2, 2):.2f}, naive = {naive(5, 2, 2):.2f}\n")
    assert math.isclose(len(good) / len(choices), pass_at_k(5, 2, 2))


def part_2_simulation(n=20, k=10, runs=20_000):
    print(f"2. {runs:,} problems for each p, n = {n} samples, k = {k}\n")
    print(f"   {'p':>5s}   {'true':>6s}   {'pass@k':>15s}   {'naive':>15s}")
    rng = np.random.default_rng(0)
    tables = [np.array([f(n, c, k) for c in range(n + 1)]) for f in (pass_at_k, naive)]
    for p in (0.02, 0.05, 0.1, 0.2, 0.5):
        c = rng.binomial(n, p, runs)
        true = 1 - (1 - p) ** k
        found = []
        for table in tables:
            estimates = table[c]
            found.append((estimates.mean() - true, estimates.std() / math.sqrt(runs)))
        (error, noise), (bias, naive_noise) = found
        print(f"   {p:5.2f}   {true:6.4f}   {true + error:6.4f} {error:+8.4f}", end="")
        print(f"   {true + bias:6.4f} {bias:+8.4f}")
        assert abs(error) < 4 * noise
        assert bias < -10 * naive_noise
    print("\n   The first is off by the noise of the simulation, the second is always too low.\n")


def part_3_exactly(p=0.1, k=10):
    true = 1 - (1 - p) ** k
    print(f"3. The bias at p = {p}, k = {k}, where the truth is {true:.4f}\n")
    print(f"   {'n':>5s}   {'pass@k':>8s}   {'naive':>8s}")
    biases = []
    for n in (10, 20, 50, 200, 1000):
        weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
        means = [
            math.fsum(w * f(n, c, k) for c, w in enumerate(weights)) for f in (pass_at_k, naive)
        ]
        biases.append(means[1] - true)
        print(f"   {n:5d}   {means[0] - true:+8.4f}   {biases[-1]:+8.4f}")
        assert abs(means[0] - true) < 1e-9
    assert all(a < b < 0 for a, b in zip(biases, biases[1:], strict=False))
    print("\n   The naive bias shrinks like 1/n: it would take 1,000 samples to hide it.\n")


def part_4_large_numbers(n=2000, c=10, k=1000):
    print("4. Large numbers\n")
    digits = len(str(math.comb(n, k)))
    exact = 1 - math.comb(n - c, k) / math.comb(n, k)  # Python's integers have no limit
    error = abs(pass_at_k(n, c, k) - exact)
    print(f"   C({n}, {k}) has {digits} digits; a float ends at 309.")
    print(f"   A product of {c} factors gives {pass_at_k(n, c, k):.6f}, off by {error:.0e}.")
    assert digits > 309 and error < 1e-12


if __name__ == "__main__":
    part_1_choices()
    part_2_simulation()
    part_3_exactly()
    part_4_large_numbers()
