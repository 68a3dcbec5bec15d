"""Answers that GRPO is learning from: the micro-batches that they are divided into, and their file.

A run may stop while it learns from answers that an earlier policy wrote, so they are part of its
saved state, with the log-probabilities that this policy gave them.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Text, Whole
from tinygrad_llm.finetune.collate import Rows, collate
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.training.metrics import Metrics

_BYTES = Text(r"[A-Za-z0-9+/]*={0,2}", "base64")
ANSWERS_SCHEMA = {
    "prompts": [Whole(0)], "lengths": [Whole(1)], "ids": _BYTES, "rewards": [float],
    "old": _BYTES, "metrics": {...: float},
}  # fmt: skip
"""What ``saved`` returns."""


@dataclass(frozen=True)
class AnswerBatch:
    """B answers with their prompts, as right-padded rows whose labels count on the answers.

    ``old`` and ``reference`` (B, T) are log-probabilities of the labels, None where they are not
    needed. ``n_tokens`` is what "dapo" divides by.
    """

    rows: Rows
    advantages: np.ndarray
    n_tokens: float
    old: np.ndarray | None = None
    reference: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """Which labels count (B, T)."""
        return self.rows.labels != IGNORE


Steps = list[list[AnswerBatch]]
"""The micro-batches of each step over a rollout."""


@dataclass(frozen=True)
class Answers:
    """N answers to the prompts with the numbers ``prompts``, their rewards, and what was measured
    of them."""

    prompts: np.ndarray
    answers: list[list[int]]
    rewards: np.ndarray
    metrics: Metrics


def divided(
    rows: Sequence[Example],
    advantages: np.ndarray,
    n_steps: int,
    batch_size: int,
    rng: np.random.Generator,
) -> Steps:
    """N rows, dealt to the steps at random; in a step, similar lengths share a micro-batch."""
    labels = np.array([np.count_nonzero(row.labels != IGNORE) for row in rows])
    steps = []
    for numbers in np.split(rng.permutation(len(rows)), n_steps):
        numbers = numbers[np.argsort([-len(rows[i].ids) for i in numbers], kind="stable")]
        # "dapo" divides by the tokens of the whole rollout, of which each step counts one share
        scale = labels.sum() / n_steps / max(1, labels[numbers].sum())
        parts = np.split(numbers, range(batch_size, len(numbers), batch_size))
        steps.append(
            [
                AnswerBatch(
                    collate([rows[i] for i in part]), advantages[part], scale * labels[part].sum()
                )
                for part in parts
            ]
        )
    return steps


# --- as JSON --------------------------------------------------------------------------------------


def saved(found: Answers, steps: Steps) -> dict[str, Any]:
    """Answers and their old log-probabilities as JSON data."""
    old = [batch.old[batch.mask] for step in steps for batch in step if batch.old is not None]
    return {
        "prompts": found.prompts.tolist(),
        "lengths": [len(answer) for answer in found.answers],
        "ids": _text(np.concatenate(found.answers).astype("<i4")),
        "rewards": found.rewards.tolist(),
        "old": _text(np.concatenate(old)),
        "metrics": found.metrics,
    }


def restored(state: dict[str, Any], n_prompts: int, num_generations: int) -> Answers:
    """The answers of ``saved``, to some of ``n_prompts`` prompts. Raises UserError if they are no
    groups of answers to these."""
    prompts, rewards = np.array(state["prompts"], np.int64), np.array(state["rewards"])
    ids, lengths = _array(state["ids"], "<i4"), np.array(state["lengths"], np.int64)
    if not (
        0 < len(lengths) == len(rewards) == num_generations * len(prompts)
        and lengths.sum() == len(ids)
        and prompts.max() < n_prompts
    ):
        raise _unfit("answers")
    split = [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
    return Answers(prompts, split, rewards, state["metrics"])


def with_old(steps: Steps, state: dict[str, Any], dtype: Any) -> Steps:
    """The micro-batches of ``divided`` with the old log-probabilities of ``saved``."""
    old = _array(state["old"], dtype)
    counts = [np.count_nonzero(batch.mask) for step in steps for batch in step]
    if sum(counts) != len(old):
        raise _unfit("log-probabilities")
    values = iter(np.split(old, np.cumsum(counts)[:-1]))
    return [[replace(batch, old=_at(batch.mask, next(values))) for batch in step] for step in steps]


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _array(text: str, dtype: Any) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(text), dtype)
    except ValueError:
        raise _unfit("answers") from None


def _at(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values`` where ``mask`` (B, T) is true, and 0 elsewhere."""
    array = np.zeros(mask.shape, values.dtype)
    array[mask] = values
    return array


def _unfit(what: str) -> UserError:
    return UserError(
        f"the {what} in the training state do not fit this run's data and options: they do not "
        "belong together"
    )
