"""The loop of generation: logits, penalties, one id, and again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.contexts import Context, Uncached, in_main_memory
from tinygrad_llm.generation.penalties import Penalties, PenaltyOptions
from tinygrad_llm.generation.sampling import SAMPLER_ORDER, Sampler, keep_top_k
from tinygrad_llm.model.module import Module

FINISHED = -1
"""What ``generate`` yields for a row that has ended before."""


class Step(NamedTuple):
    """What ``generate`` yields for each step if ``logprobs`` is given; R is the number of rows.

    Log-probabilities are natural logarithms and those of the model: before penalties, temperature
    and the other rules. Rows that have ended before have id FINISHED and log-probability NaN.
    """

    ids: np.ndarray
    """The new ids (R,), int64."""
    done: np.ndarray
    """Whether each row has ended, with this id or before (R,), bool."""
    logprobs: np.ndarray
    """The log-probability of each new id (R,), float64."""
    top_ids: np.ndarray
    """The most likely ids, most likely first (R, logprobs), int64."""
    top_logprobs: np.ndarray
    """Their log-probabilities (R, logprobs), float64."""


def generate(
    model: Module | Callable[[np.ndarray], Any],
    ids: np.ndarray | Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    rng: np.random.Generator | None = None,
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    sampler_order: Sequence[str] = SAMPLER_ORDER,
    repetition_penalty: float = 1.0,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    logit_bias: Mapping[int, float] | None = None,
    unused_ids: Sequence[int] | np.ndarray = (),
    stop_ids: Sequence[int] = (),
    stop: Callable[[int, int], bool] | None = None,
    n: int = 1,
    attention_mask: np.ndarray | None = None,
    logprobs: int | None = None,
    block_size: int | None = None,
) -> Iterator[Any]:
    """Continue the prompts ``ids`` (B, T); yields the new ids (R,), int64, after each step.

    Which model:

    - model: a GPT or Llama (after ``model.eval()``, or dropout is on), or a function that maps ids
      (B, t) to logits (B, V) of the next id, as a Tensor or an array.
    - block_size: the longest context: the model sees the last ``block_size`` ids. A function needs
      it; a model has its own, which this can only shorten.

    Which rows:

    - n: how many continuations of each prompt. R = B n; those of prompt b are rows b n to
      b n + n - 1.
    - attention_mask (B, T): 1 for a token and 0 for padding, where prompts of different lengths are
      padded (on the left, usually). Padding is known by this mask, never by its id; a padded row
      continues exactly as it would alone.
    - stop_ids: ids that end a row. The id itself is still yielded; after that the row yields
      FINISHED while other rows continue.
    - stop: called with (row, id) after each new id that is no stop id; true ends the row.
      ``stopping.py`` has one for stop strings.

    Which ids:

    - rng draws one number per row and step, unless temperature is 0; ``seed`` makes a new one.
      Without either, each call is different.
    - temperature, top_k, top_p, min_p, sampler_order: ``sampling.py`` defines them.
    - repetition_penalty, presence_penalty, frequency_penalty, logit_bias (id -> number added to its
      logit), unused_ids (never sampled): ``penalties.py`` defines them. They come before the rules
      of ``sampling.py``.

    What is yielded: with logprobs=k, a ``Step`` with log-probabilities, the k most likely ids, and
    a done flag per row, instead of the ids alone.

    Stops after ``max_new_tokens`` steps or when all rows have ended. Gradients are off while this
    runs; while it waits, they are as the caller has set them. Raises UserError for options out of
    range and an empty prompt, at once and not at the first step.
    """
    sampler = Sampler(temperature, top_k, top_p, min_p, tuple(sampler_order))
    changes = PenaltyOptions(
        repetition_penalty, presence_penalty, frequency_penalty, logit_bias or {}, unused_ids
    )
    prompts = _prompts(ids, attention_mask)
    for name, value, low in (
        ("max_new_tokens", max_new_tokens, 0), ("n", n, 1), ("logprobs", logprobs, 0),
        ("block_size", block_size, 1),
    ):  # fmt: skip
        if value is not None and value < low:
            raise UserError(f"{name} is {value}, but must be at least {low}")
    if rng is not None and seed is not None:
        raise UserError("rng and seed are both given: a seed is for making a new rng, so pass one")
    return _steps(
        _context(model, block_size),
        [_Row(list(p), Penalties(p, changes)) for p in prompts for _ in range(n)],
        sampler,
        np.random.default_rng(seed) if rng is None else rng,
        max_new_tokens,
        _Ending(frozenset(map(int, stop_ids)), stop),
        logprobs,
    )


@dataclass
class _Row:
    """One sequence: prompt and answer so far."""

    ids: list[int]
    penalties: Penalties
    done: bool = False


class _Ending(NamedTuple):
    """What ends a row."""

    stop_ids: frozenset[int]
    stop: Callable[[int, int], bool] | None

    def reached(self, row: int, token: int) -> bool:
        return token in self.stop_ids or (self.stop is not None and self.stop(row, token))


@no_grad()
def _steps(
    context: Context,
    rows: list[_Row],
    sampler: Sampler,
    rng: np.random.Generator,
    max_new_tokens: int,
    ending: _Ending,
    logprobs: int | None,
) -> Iterator[Any]:
    for _ in range(max_new_tokens):
        logits = context.next_logits([[] if row.done else row.ids for row in rows])
        uniforms = rng.random(len(rows)) if sampler.temperature > 0 else np.zeros(len(rows))
        new = np.full(len(rows), FINISHED, dtype=np.int64)
        for r, row in enumerate(rows):
            if not row.done:
                token = sampler.sample(row.penalties.apply(logits[r]), uniforms[r])
                row.ids.append(token)
                row.penalties.add(token)
                row.done = ending.reached(r, token)
                new[r] = token
        done = np.array([row.done for row in rows])
        yield new if logprobs is None else Step(new, done, *_logprobs(logits, new, logprobs))
        if done.all():
            return


def _logprobs(
    logits: Sequence[np.ndarray], new: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log p of the ids ``new`` (R,), and the k most likely ids with theirs, both (R, k)."""
    k = min(k, max(map(len, logits)))
    chosen = np.full(len(new), np.nan)
    top_ids = np.full((len(new), k), FINISHED, dtype=np.int64)
    top = np.full((len(new), k), np.nan)
    for r, token in enumerate(new):
        if token != FINISHED:
            z = logits[r] - np.float64(logits[r].max())
            log_p = z - np.log(np.exp(z).sum())  # (V,)
            chosen[r] = log_p[token]
            if k:
                kept = np.arange(len(z))[keep_top_k(z, k)]
                top_ids[r] = kept[np.argsort(-z[kept], kind="stable")]
                top[r] = log_p[top_ids[r]]
    return chosen, top_ids, top


def _context(model: Module | Callable[[np.ndarray], Any], block_size: int | None) -> Context:
    if isinstance(model, Module):
        network: Any = model
        own = network.config.block_size
        return Uncached(network.next_token_logits, min(own, block_size or own))
    if block_size is None:
        raise UserError(
            "block_size is missing: a function from ids to logits does not name its own"
        )
    return Uncached(model, block_size)


def _prompts(ids: Any, attention_mask: np.ndarray | None) -> list[list[int]]:
    """The tokens of each row, without padding."""
    ids = np.array(in_main_memory(ids))
    if ids.ndim != 2 or ids.size == 0:
        raise UserError(
            f"the prompt has shape {ids.shape}, expected (B, T) with at least one token: an empty "
            "prompt gives the model nothing to continue"
        )
    if ids.dtype.kind not in "iu":
        raise UserError(f"the prompt is {ids.dtype}, expected token ids, which are integers")
    if attention_mask is None:
        return ids.tolist()
    mask = np.array(in_main_memory(attention_mask))
    if mask.shape != ids.shape or not np.isin(mask, (0, 1)).all():
        raise UserError(
            f"the attention mask has shape {mask.shape}, expected the prompt's, {ids.shape}, and 0 "
            "for padding or 1 for a token at each position"
        )
    if not mask.any(axis=1).all():
        raise UserError(
            f"row {int(mask.any(axis=1).argmin())} of the attention mask is all 0: its prompt is "
            "empty, which gives the model nothing to continue"
        )
    return [row[keep].tolist() for row, keep in zip(ids, mask.astype(bool), strict=True)]
