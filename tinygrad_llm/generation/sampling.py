"""From logits to one id: the rules that choose among tokens.

A model's logits l_i stand for the distribution p_i = exp(l_i) / sum_j exp(l_j), which these rules
change:

    temperature t   p_i becomes proportional to exp(l_i / t)
    top-k           only the k most likely ids stay
    top-p           only the most likely ids stay whose probabilities add up to p
    min-p           only ids stay that are at least m times as likely as the most likely one

Then one number u, uniform in [0, 1), picks an id from what is left. There is no state and no
randomness in this file, so its rules can be tested one by one. ``penalties.py`` has the rules that
depend on earlier tokens; ``generate.py`` calls the model and this file in turn.

A vocabulary may have 262,144 ids and this runs for every token, so no rule sorts all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinygrad_llm.errors import UserError

SAMPLER_ORDER = ("temperature", "top_k", "top_p", "min_p")
"""The usual order of the rules. llama.cpp applies temperature last, which makes top-p and min-p
independent of it."""

Kept = slice | np.ndarray
"""What a rule returns: the positions that it keeps, in ascending order."""


def sample(
    logits: np.ndarray,
    u: float,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    order: Sequence[str] = SAMPLER_ORDER,
) -> int:
    """The id that the uniform number ``u`` in [0, 1) picks from ``logits`` (V,).

    - temperature 0 picks the largest logit (the lowest id among equals), whatever the other
      options; otherwise logits are divided by it: below 1 sharpens the distribution, above 1
      flattens it.
    - top_k keeps exactly the k largest logits; of equal ones it keeps the lowest ids. 0 and None
      keep all (Hugging Face's convention).
    - top_p keeps the fewest ids, most likely first, whose share of the probability that is left
      reaches p: at least one (Holtzman et al. 2020).
    - min_p keeps the ids whose probability is at least min_p times the largest (Nguyen et al.
      2024). 0 and None keep all.
    - order: these four names, in the order in which the rules apply.

    Raises UserError for an option out of range and for logits that are NaN or infinite (-inf is
    allowed for some ids: it excludes them).
    """
    return Sampler(temperature, top_k, top_p, min_p, tuple(order)).sample(np.asarray(logits), u)


@dataclass(frozen=True)
class Sampler:
    """The options of ``sample``, checked once."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    order: tuple[str, ...] = SAMPLER_ORDER

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise UserError(
                f"the temperature is {self.temperature}, but must be a finite number of at least 0 "
                "(0 always takes the most likely token)"
            )
        if self.top_k is not None and self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}, but must be at least 0 (0 keeps all ids)")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}, but must be above 0 and at most 1")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UserError(f"min_p is {self.min_p}, but must be between 0 and 1")
        if sorted(self.order) != sorted(SAMPLER_ORDER):
            raise UserError(
                f"the sampler order is {', '.join(map(str, self.order))}, but must name each of "
                f"{', '.join(SAMPLER_ORDER)} once"
            )

    def sample(self, logits: np.ndarray, u: float) -> int:
        """The id that ``u`` in [0, 1) picks from ``logits`` (V,)."""
        return draw(*self.distribution(logits), u)

    def distribution(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids that the rules keep, ascending, and their probabilities but for a common factor.

        Both (K,), int64 and float64. Probabilities may be 0. At temperature 0 there is one id.
        """
        best = logits.max()
        if not math.isfinite(best):
            raise UserError(
                f"the model's largest logit is {best}: its weights are damaged, or its training "
                "diverged; use an earlier checkpoint"
            )
        if self.temperature == 0:
            return np.array([logits.argmax()]), np.ones(1)
        ids, temperature = _all_ids(len(logits)), 1.0
        for rule in self.order:
            keep: Kept = slice(None)
            if rule == "temperature":
                temperature = self.temperature
            elif rule == "top_k" and self.top_k:
                keep = keep_top_k(logits, self.top_k)
            elif rule == "top_p" and self.top_p is not None:
                keep = keep_top_p(logits, self.top_p, temperature)
            elif rule == "min_p" and self.min_p:
                keep = keep_min_p(logits, self.min_p, temperature)
            ids, logits = ids[keep], logits[keep]  # (K,)
        return ids, relative_probabilities(logits, temperature)


def relative_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """p_i / max_j p_j = exp((l_i - max_j l_j) / t), (K,) -> (K,) in float64."""
    exponents = logits - np.float64(logits.max())
    with np.errstate(over="ignore"):  # -1 / 1e-320 is -inf, as it should be
        exponents /= temperature
    return np.exp(exponents, out=exponents)


def keep_top_k(logits: np.ndarray, k: int) -> Kept:
    """The k largest of ``logits`` (K,), and of equal ones those that come first."""
    if k >= len(logits):
        return slice(None)
    candidates = np.flatnonzero(logits >= _at_most_the_kth_largest(logits, k))
    values = logits[candidates]
    kth_largest = np.partition(values, -k)[-k]
    keep = values > kth_largest  # fewer than k
    equals = np.flatnonzero(values == kth_largest)
    keep[equals[: k - np.count_nonzero(keep)]] = True
    return candidates[keep]


def _at_most_the_kth_largest(logits: np.ndarray, k: int, n_rows: int = 64) -> float:
    """A lower bound of the k-th largest logit, close to it, for a fraction of a sort's cost.

    Cut into rows and stacked, the logits form columns. The k-th largest of the columns' maxima is
    such a bound: each of k columns has a logit that is at least as large.
    """
    n_columns = len(logits) // n_rows
    if n_columns < k:
        return -np.inf
    maxima = logits[: n_rows * n_columns].reshape(n_rows, n_columns).max(axis=0)  # (columns,)
    return np.partition(maxima, -k)[-k]


def keep_top_p(logits: np.ndarray, p: float, temperature: float) -> Kept:
    """The fewest ids, most likely first, whose probabilities add up to at least p.

    K ids that each have less than (1 - p) / K have less than 1 - p together, so those that have
    more already reach p. Only these are sorted.
    """
    if p == 1:  # rounding in the sum could drop the last ids
        return slice(None)
    q = relative_probabilities(logits, temperature)  # (K,)
    total = q.sum()
    candidates = np.flatnonzero(q >= (1 - p) * total / len(q))
    mass = np.cumsum(np.sort(q[candidates])[::-1])
    n = int(np.searchsorted(mass, p * total, side="left")) + 1  # the n most likely reach p
    return candidates[keep_top_k(logits[candidates], n)]


def keep_min_p(logits: np.ndarray, m: float, temperature: float) -> Kept:
    """The ids that are at least m times as likely as the most likely one.

    p_i / max p = exp((l_i - max l) / t) >= m  <=>  l_i - max l >= t log m
    """
    return np.flatnonzero(logits - np.float64(logits.max()) >= temperature * math.log(m))


def draw(ids: np.ndarray, p: np.ndarray, u: float, block: int = 1024) -> int:
    """The id that ``u`` in [0, 1) picks: ids (K,) with probabilities p (K,) but for a factor.

    The cumulative sum, in float64, is inverted: the first id whose sum exceeds u times the last
    sum. Scaled like this, rounding in the sum cannot make u miss it. An id of probability 0 is
    never the answer, even for u = 1, to which uniforms in float32 may round.

    The sum is taken over blocks of ids first, and then over the ids of the block that u falls into:
    additions that wait for one another are the slowest part of a large vocabulary.
    """
    starts = np.arange(0, len(p), block)
    sums = np.cumsum(np.add.reduceat(p, starts))  # (blocks,)
    target = u * sums[-1]
    b = _first_above(sums, target)
    begin, before = starts[b], sums[b - 1] if b else 0.0
    cdf = np.cumsum(p[begin : begin + block])
    return int(ids[begin + _first_above(cdf, target - before)])


def _first_above(sums: np.ndarray, target: float) -> int:
    """The first position whose cumulative sum exceeds the target, but none that adds nothing."""
    last = np.searchsorted(sums, sums[-1], side="left")
    return int(min(np.searchsorted(sums, target, side="right"), last))


@lru_cache(maxsize=2)
def _all_ids(n: int) -> np.ndarray:
    """0, 1, ..., n - 1, read-only: made once for a vocabulary, not for every token."""
    ids = np.arange(n)
    ids.flags.writeable = False
    return ids
