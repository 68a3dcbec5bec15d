"""Sampling text from a language model, which here is any function from token ids to logits.

``sample`` turns one row of logits and one uniform number into an id: it has no state and no
randomness, so its rules can be tested one by one. ``generate`` calls the model and ``sample`` in
turn.

The order of the rules: temperature, top-k, top-p, then a draw from the rest.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.device import is_array, to_numpy
from tinygrad_llm.errors import UserError

FINISHED = -1
"""What ``generate`` yields for a row that has already produced a stop id."""


def sample(
    logits: np.ndarray,
    u: float,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """The id that the uniform number ``u`` in [0, 1) picks from ``logits`` (V,).

    - temperature 0 picks the largest logit (the lowest id among equals), whatever the other
      options; otherwise logits are divided by it: below 1 sharpens the distribution, above 1
      flattens it.
    - top_k keeps exactly the k largest logits; of equal ones it keeps the lowest ids. 0 and None
      keep all (Hugging Face's convention).
    - top_p keeps the fewest ids, most likely first, whose share of the probability after top_k
      reaches p: at least one (Holtzman et al. 2020).

    The draw inverts the cumulative sum in float64, scaled by its own last value, so rounding in the
    sum cannot make ``u`` miss it; the result is never an id of probability zero.

    Raises UserError for an option out of range and for logits that are NaN or infinite (-inf is
    allowed for some ids: it excludes them).
    """
    check_options(temperature, top_k, top_p)
    logits = np.asarray(logits, dtype=np.float64)
    best = logits.max()
    if not math.isfinite(best):
        raise UserError(
            f"the model's largest logit is {best}: its weights are damaged, or its training "
            "diverged; use an earlier checkpoint"
        )
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):  # -1 / 1e-320 is -inf, as it should be
        p = np.exp((logits - best) / temperature)
    keep = min(top_k or len(p), len(p))
    if keep < len(p) or top_p is not None:
        order = np.argsort(-logits, kind="stable")  # most likely first, equals by id
        if top_p is not None and top_p < 1:
            mass = np.cumsum(p[order[:keep]])
            keep = int(np.searchsorted(mass, top_p * mass[-1], side="left")) + 1
        p[order[keep:]] = 0
    cdf = np.cumsum(p)
    token = int(np.searchsorted(cdf, u * cdf[-1], side="right"))
    return min(token, int(np.flatnonzero(p)[-1]))


def generate(
    next_token_logits: Callable[[np.ndarray], Any],
    ids: np.ndarray,
    max_new_tokens: int,
    *,
    block_size: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_ids: Sequence[int] = (),
    unused_ids: Sequence[int] | np.ndarray = (),
) -> Iterator[np.ndarray]:
    """Continue the prompts ``ids`` (B, T); yields the new ids (B,), int64, after each step.

    ``next_token_logits`` maps ids (B, t), t <= block_size, to logits (B, V) of the next id, as a
    Tensor or an array: ``model.next_token_logits`` (after ``model.eval()``, or dropout is on). It
    gets the last ``block_size`` ids. ``sample`` defines the other options; ``rng`` draws one number
    per row and step. ``unused_ids``, which stand for no token, are never sampled.

    A row ends with an id of ``stop_ids``, which is still yielded; after that it yields FINISHED
    while the other rows continue. Stops after ``max_new_tokens`` steps or when all rows have ended.

    Gradients are off while this runs; while it waits, they are as the caller has set them. Raises
    UserError for options out of range and an empty prompt, at once and not at the first step.
    """
    check_options(temperature, top_k, top_p)
    ids = np.array(_in_main_memory(ids))
    if ids.ndim != 2 or ids.size == 0:
        raise UserError(
            f"the prompt has shape {ids.shape}, expected (B, T) with at least one token: an empty "
            "prompt gives the model nothing to continue"
        )
    if ids.dtype.kind not in "iu":
        raise UserError(f"the prompt is {ids.dtype}, expected token ids, which are integers")
    if max_new_tokens < 0:
        raise UserError(f"max_new_tokens is {max_new_tokens}, but must be at least 0")
    if block_size < 1:
        raise UserError(f"block_size is {block_size}, but must be at least 1")

    unused = np.asarray(unused_ids, dtype=np.int64)

    def choose(rows: np.ndarray) -> np.ndarray:
        if unused.size:
            rows = np.array(rows)
            rows[:, unused] = -np.inf
        uniforms = rng.random(len(rows)) if temperature > 0 else np.zeros(len(rows))
        pairs = zip(rows, uniforms, strict=True)
        return np.array([sample(row, u, temperature, top_k, top_p) for row, u in pairs])

    return _steps(
        next_token_logits, choose, ids.astype(np.int64), max_new_tokens, block_size, stop_ids
    )


@no_grad()
def _steps(
    next_token_logits: Callable[[np.ndarray], Any],
    choose: Callable[[np.ndarray], np.ndarray],
    ids: np.ndarray,
    max_new_tokens: int,
    block_size: int,
    stop_ids: Sequence[int],
) -> Iterator[np.ndarray]:
    done = np.zeros(len(ids), bool)
    for _ in range(max_new_tokens):
        ids = ids[:, -block_size:]
        logits = next_token_logits(ids)  # (B, V)
        chosen = choose(_in_main_memory(logits))  # (B,)
        chosen = np.where(done, ids[:, -1], chosen)  # a row that has ended repeats its stop id
        ids = np.concatenate((ids, chosen[:, None]), axis=1)
        new = np.where(done, FINISHED, chosen)
        done |= np.isin(chosen, stop_ids)
        yield new
        if done.all():
            return


def _in_main_memory(values: Any) -> Any:
    """A Tensor, or an array of any library, as a NumPy array; anything else unchanged."""
    values = values.data if isinstance(values, Tensor) else values
    return to_numpy(values) if is_array(values) else values


def check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise UserError unless these are valid options of ``sample``."""
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise UserError(
            f"the temperature is {temperature}, but must be a finite number of at least 0 "
            "(0 always takes the most likely token)"
        )
    if top_k is not None and top_k < 0:
        raise UserError(f"top_k is {top_k}, but must be at least 0 (0 keeps all ids)")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}, but must be above 0 and at most 1")
