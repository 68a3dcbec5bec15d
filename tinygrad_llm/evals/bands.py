"""How certain a score is, and whether two scores differ.

A score of n right or wrong answers is the mean of n draws. Its band says which true rates are
compatible with it: with 40 documents and a score of 50 %, anything from 35 % to 65 %.

Two models that answered the same documents are compared document by document, since most of the
chance lies in the documents: only those count that one has right and the other wrong.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, pvariance

import numpy as np

CONFIDENCE = 0.95


def wilson_band(right: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The rates p at which ``right`` of ``n`` lies within z standard deviations of n p.

    Wilson (1927). Unlike p +- z sqrt(p (1 - p) / n) it is never empty or outside [0, 1], even if
    everything or nothing is right. Raises ValueError unless 0 <= right <= n and n > 0.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"{right} of {n} are right, expected a number from 0 to n, and n > 0")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 0.0 if right == 0 else middle - half, 1.0 if right == n else middle + half


def share_band(values: Sequence[float], draws: float = 1.0) -> tuple[float, float]:
    """The band of the mean of shares, such as pass@k of several problems.

    Right and wrong answers vary by p (1 - p) around their mean p. Shares vary less, by s^2, so n of
    them say as much as n p (1 - p) / s^2 right and wrong answers: Wilson's band for that many
    (Kish's effective sample size). Since equal shares do not make it certain, they count as no more
    than n times ``draws``, the independent draws that each of them comes from. If all are 0 or 1,
    this is ``wilson_band``. The problems count as drawn, too: the band is that of other problems
    like them.
    """
    n, right = len(values), math.fsum(values)
    if {*values} <= {0, 1}:
        return wilson_band(right, n)
    p = right / n
    variance = pvariance(values, p)
    worth = min(draws, p * (1 - p) / variance) if variance else draws
    return wilson_band(right * worth, n * worth)


def standard_error(values: Sequence[float]) -> float:
    """That of the mean, as lm-evaluation-harness computes it: the sample's standard deviation (with
    n - 1) over sqrt(n). NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """The probability of a difference at least as large as this, if neither model were better.

    a, b: whether each document was right. Of the documents on which they differ, each is a's with
    probability 1/2 then: the exact binomial test, two-sided (McNemar 1947).
    """
    only_a = sum(bool(x and not y) for x, y in zip(a, b, strict=True))
    only_b = sum(bool(y and not x) for x, y in zip(a, b, strict=True))
    n, k = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, i) for i in range(k + 1))
    return min(1.0, 2 * tail / 2**n)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], seed: int = 0, rounds: int = 10_000
) -> tuple[float, float]:
    """A 95 % band of mean(b) - mean(a), from documents drawn with replacement (Efron 1979).

    It takes any values, where McNemar's test takes right and wrong alone.
    """
    differences = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    n, rng = len(differences), np.random.default_rng(seed)
    means = np.empty(rounds)
    step = max(1, (1 << 22) // n)  # 32 MB of indices
    for i in range(0, rounds, step):
        count = min(step, rounds - i)
        means[i : i + count] = differences[rng.integers(0, n, (count, n))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
