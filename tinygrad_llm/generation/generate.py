"""The loop of generation: logits, penalties, one id, and again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.generation.contexts import Context, context_of, in_main_memory
from tinygrad_llm.generation.decoder import Decoder
from tinygrad_llm.generation.penalties import Penalties, PenaltyOptions
from tinygrad_llm.generation.rows import FINISHED, Ending, Row, report
from tinygrad_llm.generation.sampling import SAMPLER_ORDER, Sampler
from tinygrad_llm.generation.speculative import Draft, speculative_steps
from tinygrad_llm.model.module import Module


def generate(
    model: Module | Decoder | Callable[[np.ndarray], Any],
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
    cache: KVCache | None = None,
    draft: Draft | None = None,
) -> Iterator[Any]:
    """Continue the prompts ``ids`` (B, T); yields the new ids (R,), int64, after each step.

    Which model:

    - model: a GPT or Llama (after ``model.eval()``, or dropout is on) or its ``Decoder``, which
      read each token once and store its keys and values; or a function that maps ids (B, t) to
      logits (B, V) of the next id, as a Tensor or an array.
    - block_size: the longest context: the model sees the last ``block_size`` ids. A function needs
      it; a model has its own, which this can only shorten. Past it each step shifts all tokens by a
      position, so they are all read again.
    - cache: where keys and values are stored, a ``KVCache`` with B rows. Tokens that a prompt has
      in common with its row, from an earlier turn of a conversation say, are not read again. With
      n > 1 only the prompts remain in it. None makes a new one.
    - draft: a ``DraftModel`` or a ``PromptLookup``, which proposes tokens for one row, so that the
      model checks several in one pass; the distribution stays the same, and ``draft.counts`` says
      how well it guessed (``speculative.py``). It draws other random numbers.

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
        raise UserError("rng and seed: pass one of them, since a seed is for making a new rng")
    context, longest = context_of(model, block_size, cache), max(map(len, prompts)) + max_new_tokens
    context.begin(len(prompts), longest)
    rng = np.random.default_rng(seed) if rng is None else rng
    rows = [Row(list(p), Penalties(p, changes)) for p in prompts for _ in range(n)]
    ending = Ending(frozenset(map(int, stop_ids)), stop)
    if draft is None:
        return _steps(context, rows, sampler, rng, max_new_tokens, ending, logprobs)
    if len(rows) > 1:
        raise UserError(f"a draft works for one sequence at a time, and here are {len(rows)}")
    return speculative_steps(
        context, rows[0], draft, sampler, rng, max_new_tokens, ending, logprobs
    )


@no_grad()
def _steps(
    context: Context,
    rows: list[Row],
    sampler: Sampler,
    rng: np.random.Generator,
    max_new_tokens: int,
    ending: Ending,
    logprobs: int | None,
) -> Iterator[Any]:
    for _ in range(max_new_tokens):
        logits = context.next_logits([[] if row.done else row.ids for row in rows])
        uniforms = rng.random(len(rows)) if sampler.temperature > 0 else np.zeros(len(rows))
        new = np.full(len(rows), FINISHED, dtype=np.int64)
        for r, row in enumerate(rows):
            if not row.done:
                new[r] = sampler.sample(row.penalties.apply(logits[r]), uniforms[r])
                ending.append(row, r, int(new[r]))
        yield report(rows, new, logits, logprobs)
        if all(row.done for row in rows):
            return


def _prompts(ids: Any, attention_mask: np.ndarray | None) -> list[list[int]]:
    """The tokens of each row, without padding."""
    ids = np.array(in_main_memory(ids))
    if ids.ndim == 1 and ids.size:
        raise UserError(
            f"the prompt has shape {ids.shape}, expected (B, T), which is several prompts: write "
            "ids[None] for an array of one, and [ids] for a list"
        )
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
