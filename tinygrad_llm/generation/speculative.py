"""Speculative decoding: a cheap guess at the next tokens, checked by the model all at once.

A model that generates reads all its weights for every token. It can score several tokens in one
pass, for little more than the price of one. So a draft proposes the next few tokens, the model
computes in one pass what it would have said at each of them, and the proposals that it agrees with
stand. The text has exactly the distribution that the model alone would give it (Leviathan et al.
2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318).

The rule. Let q be the distribution that the draft drew the token x from, and p the model's, after
penalties, temperature and all other rules. Accept x with probability min(1, p(x) / q(x)). If it is
rejected, draw from the residual r(x) = max(0, p(x) - q(x)) / R, with R = sum_x max(0, p(x) - q(x)).

Why it is exact. A token x comes out if it is proposed and accepted, or if the proposal is rejected
and the residual gives x:

    proposed and accepted   q(x) min(1, p(x) / q(x)) = min(q(x), p(x))
    any proposal rejected   1 - sum_x min(q(x), p(x)) = sum_x (p(x) - min(q(x), p(x))) = R
    rejected, then x        R r(x) = max(0, p(x) - q(x)) = p(x) - min(q(x), p(x))

The first and the last line add up to p(x). After a rejection the later proposals continue a text
that does not exist, and are dropped; when all are accepted, the model's last distribution gives one
more token for nothing.

A draft that does not draw, because it looks its proposal x up or takes the most likely token, has
q(x) = 1: x is accepted with probability p(x), and the residual is p without x. At temperature 0, p
too is 1 for one token: a proposal stands if it is that token, and the text is the model's own
greedy text, token for token.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.generation.contexts import Context, context_of
from tinygrad_llm.generation.rows import Ending, Row, report
from tinygrad_llm.generation.sampling import Sampler, draw

Distribution = tuple[np.ndarray, np.ndarray]
"""Ids (K,), ascending, and their probabilities (K,) but for a common factor."""


class Proposal(NamedTuple):
    """A proposed id, and the distribution that it was drawn from."""

    id: int
    q: Distribution


@dataclass
class Counts:
    """How well a draft guessed during one call of ``generate``."""

    passes: int = 0
    """How often the model ran; without a draft, once for each new id."""
    proposed: int = 0
    """Proposed ids."""
    accepted: int = 0
    """Those of them that the model accepted."""


class Draft(Protocol):
    """What proposes tokens."""

    counts: Counts

    def begin(self, longest: int) -> None:
        """Get ready for a new sequence of up to ``longest`` ids, with new counts."""
        ...

    def propose(
        self, row: Row, at_most: int, sampler: Sampler, uniform: Callable[[], float], V: int
    ) -> list[Proposal]:
        """Up to ``at_most`` ids below V that may follow ``row.ids``. The row stays unchanged."""
        ...


class DraftModel:
    """Proposes what a smaller model, with the same tokenizer, would say.

    model, block_size, cache: as in ``generate``. n_tokens: how many ids it proposes at a time.
    """

    def __init__(
        self,
        model: Any,
        n_tokens: int = 4,
        block_size: int | None = None,
        cache: KVCache | None = None,
    ) -> None:
        _check_count(n_tokens)
        self._context, self._n_tokens = context_of(model, block_size, cache), n_tokens
        self.counts = Counts()

    def begin(self, longest: int) -> None:
        self._context.begin(1, longest)
        self.counts = Counts()

    def propose(
        self, row: Row, at_most: int, sampler: Sampler, uniform: Callable[[], float], V: int
    ) -> list[Proposal]:
        ids, proposals = row.ids.copy(), list[Proposal]()
        self._context.rewind(len(ids) - 1)
        for _ in range(min(at_most, self._n_tokens)):
            (logits,) = self._context.next_logits([ids])
            q = sampler.distribution(row.penalties.apply(_with_length(logits, V)))
            token = draw(*q, uniform())
            proposals.append(Proposal(token, q))
            ids.append(token)
            row.penalties.add(token)
        for proposal in proposals:
            row.penalties.add(proposal.id, -1)
        return proposals


class PromptLookup:
    """Proposes what followed when the last few ids occurred before, in prompt or answer.

    This needs no second model (Saxena 2023, "prompt lookup decoding"). It guesses well where an
    answer repeats its prompt: summaries, corrections, code. n_tokens: how many ids it proposes at a
    time. longest, shortest: how many of the last ids must have occurred before; the longest match
    counts, and of several the latest.
    """

    def __init__(self, n_tokens: int = 8, longest: int = 3, shortest: int = 2) -> None:
        _check_count(n_tokens)
        if not 1 <= shortest <= longest:
            raise UserError(
                f"prompt lookup's shortest match is {shortest} and its longest {longest}, but they "
                "must be at least 1 and in this order"
            )
        self._n_tokens, self._lengths = n_tokens, range(longest, shortest - 1, -1)
        self.begin(0)

    def begin(self, longest: int) -> None:
        self.counts = Counts()
        self._followed: dict[tuple[int, ...], int] = {}  # ids -> where what followed them begins
        self._n_seen = 1

    def propose(
        self, row: Row, at_most: int, sampler: Sampler, uniform: Callable[[], float], V: int
    ) -> list[Proposal]:
        ids = row.ids
        for end in range(self._n_seen, len(ids)):
            for n in self._lengths:
                if n <= end:
                    self._followed[tuple(ids[end - n : end])] = end
        self._n_seen = len(ids)
        for n in self._lengths:
            begin = self._followed.get(tuple(ids[-n:])) if n <= len(ids) else None
            if begin is not None:
                follow = ids[begin : begin + min(at_most, self._n_tokens)]
                return [Proposal(i, (np.array([i]), np.ones(1))) for i in follow]
        return []


@no_grad()
def speculative_steps(
    context: Context,
    row: Row,
    draft: Draft,
    sampler: Sampler,
    rng: np.random.Generator,
    max_new_tokens: int,
    ending: Ending,
    logprobs: int | None,
) -> Iterator[Any]:
    """What ``generate`` does for one row with a draft."""

    def uniform() -> float:
        return rng.random() if sampler.temperature > 0 else 0.0

    V, last = None, len(row.ids) + max_new_tokens
    draft.begin(last)
    while len(row.ids) < last and not row.done:
        proposals: list[Proposal] = []
        at_most = min(last - len(row.ids) - 1, context.room(row.ids))
        if V is not None and at_most > 0:  # the first pass finds out V
            proposals = draft.propose(row, at_most, sampler, uniform, V)
        scored = row.ids + [proposal.id for proposal in proposals]
        logits = context.last_logits(scored, len(proposals) + 1)  # (proposals + 1, V)
        V = len(logits[0])
        draft.counts.passes += 1
        draft.counts.proposed += len(proposals)
        for i, following in enumerate(logits):
            p = sampler.distribution(row.penalties.apply(following))
            if accepted := i < len(proposals) and accepts(p, proposals[i], uniform()):
                token = proposals[i].id
                draft.counts.accepted += 1
            elif i < len(proposals):
                token = draw(*residual(p, proposals[i].q), uniform())
            else:
                token = draw(*p, uniform())
            ending.append(row, 0, token)
            yield report([row], np.array([token]), [following], logprobs)
            if row.done or not accepted:
                break
        context.rewind(len(row.ids) - 1)  # forget the proposals that were dropped


def accepts(p: Distribution, proposal: Proposal, u: float) -> bool:
    """Whether a proposal x stands, for u uniform in [0, 1): with probability min(1, p(x)/q(x))."""
    return u * probability(proposal.q, proposal.id) < probability(p, proposal.id)


def residual(p: Distribution, q: Distribution) -> Distribution:
    """What a rejected proposal is replaced from: max(0, p - q), but for a factor."""
    (ids, p_values), (q_ids, q_values) = p, q
    q_dense = np.zeros(1 + max(ids[-1], q_ids[-1]))
    q_dense[q_ids] = q_values / q_values.sum()
    p_values = p_values / p_values.sum()
    left = np.maximum(p_values - q_dense[ids], 0)  # (K,)
    return ids, left if left.any() else p_values  # all 0: p equals q but for rounding


def probability(p: Distribution, token: int) -> float:
    """The probability of one id."""
    ids, values = p
    i = np.searchsorted(ids, token)
    return values[i] / values.sum() if i < len(ids) and ids[i] == token else 0.0


def _with_length(logits: np.ndarray, V: int) -> np.ndarray:
    """Logits of ids 0 to V - 1: models of one tokenizer may differ in unused ids at the end."""
    missing = np.full(max(0, V - len(logits)), -np.inf, dtype=logits.dtype)
    return np.concatenate((logits[:V], missing)) if len(missing) else logits[:V]


def _check_count(n_tokens: int) -> None:
    if n_tokens < 1:
        raise UserError(f"a draft of {n_tokens} tokens proposes nothing: use at least 1")
