"""The task of preferences: of two answers to a prompt, make the chosen one more likely.

    DPO and its relatives   against a reference, the model before the first step
    ORPO                    without a reference
    KTO                     against it too, but each answer by itself

All are means over pairs of functions of the log-probabilities of whole answers (losses.py). The
chosen and the rejected answers of a micro-batch are read together, as one batch of 2 B rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autograd import Tensor, no_grad, ops
from tinygrad_llm.finetune.classification import by_length, evaluating
from tinygrad_llm.finetune.collate import Rows, collate, first_answer
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import (
    IGNORE,
    hidden_statistics,
    hidden_token_logps,
    lengths,
    over_tokens,
)
from tinygrad_llm.finetune.losses import DPO_LOSSES, dpo_loss, kto_kl, kto_loss, orpo_loss
from tinygrad_llm.finetune.metrics import orpo_metrics, pair_token_metrics, preference_metrics
from tinygrad_llm.finetune.rows_task import RowsTask, check_rows
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch

LOSSES = (*DPO_LOSSES, "orpo", "kto")
ROUNDING = 5e-5  # mean rewards below this are those of a model that is still its reference


@dataclass(frozen=True)
class PairBatch:
    """B pairs: ``rows`` are the B chosen answers and then the B rejected ones."""

    rows: Rows
    reference: np.ndarray | None
    """The reference's log-probabilities: a row for each of ``sides``, (2 or 3, B)."""
    mismatched: Rows | None


@dataclass(frozen=True)
class Pairs:
    """N pairs of examples: a prompt with the chosen answer, and with the rejected one.

    ``reference`` (2 or 3, N) are the reference's log-probabilities of ``sides``; None if it has no
    say. ``mismatched`` are prompts with answers to other ones, which KTO needs.
    """

    chosen: Sequence[Example]
    rejected: Sequence[Example]
    reference: np.ndarray | None = None
    mismatched: Sequence[Example] | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def longest(self) -> list[np.ndarray]:
        """The longer ids of each pair."""
        return [max(c.ids, r.ids, key=len) for c, r in zip(self.chosen, self.rejected, strict=True)]

    @property
    def sides(self) -> list[Sequence[Example]]:
        """What there is of each pair."""
        return [side for side in (self.chosen, self.rejected, self.mismatched) if side is not None]

    def batch(self, numbers: np.ndarray) -> PairBatch:
        """The pairs with these numbers."""
        return PairBatch(
            collate([side[i] for side in (self.chosen, self.rejected) for i in numbers]),
            None if self.reference is None else self.reference[:, numbers],
            None if self.mismatched is None else collate([self.mismatched[i] for i in numbers]),
        )


class Preferences(RowsTask):
    """Learn what the pairs ``train`` prefer; ``validation`` is held out.

    loss_type is one of LOSSES, and beta and label_smoothing are those of its function in losses.py.
    The other options are those of ``RowsTask``.
    """

    def __init__(
        self,
        model: Any,
        train: Pairs,
        validation: Pairs,
        *,
        loss_type: str = "sigmoid",
        beta: float = 0.1,
        label_smoothing: float = 0.0,
        **options: int,
    ) -> None:
        check_rows(train, "pairs to train on")
        check_rows(validation, "pairs to validate on")
        super().__init__([len(ids) for ids in train.longest()], **options)
        self.model, self.train, self.validation = model, train, validation
        self.loss_type, self.beta, self.label_smoothing = loss_type, beta, label_smoothing

    def batch(self, numbers: np.ndarray) -> Batch:
        pairs = self.train.batch(numbers)
        tokens = sum(len(side[i].ids) for side in self.train.sides[:2] for i in numbers)
        return Batch(pairs, terms=len(numbers), tokens=tokens)

    def loss(self, content: PairBatch) -> tuple[Tensor, Metrics]:
        return self._loss(content, self.measures)

    def _loss(self, pairs: PairBatch, measures: bool) -> tuple[Tensor, Metrics]:
        """The mean loss of B pairs, and their metrics; with ``measures`` those of tokens, too."""
        rows = pairs.rows
        h = rows.hidden(self.model)  # (2 B, T, C)
        token_logps = hidden_token_logps(h, self.model, rows.labels)  # (2 B, T)
        average = self.loss_type == "orpo"
        chosen, rejected = halves(over_tokens(token_logps, rows.labels, average))  # (B,) each
        loss, rewards, metrics = self._loss_of_logps(chosen, rejected, pairs)
        metrics |= preference_metrics(*rewards, chosen, rejected)
        if measures:
            metrics |= pair_token_metrics(hidden_statistics(h, self.model, rows.labels))
        return loss, metrics

    def _loss_of_logps(
        self, chosen: Tensor, rejected: Tensor, pairs: PairBatch
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Metrics]:
        """The mean loss, the rewards (B,) of both answers, and metrics of this loss alone."""
        if self.loss_type == "orpo":
            losses, *rewards = orpo_loss(chosen, rejected, self.beta)
            return ops.mean(losses), (rewards[0], rewards[1]), orpo_metrics(chosen, rejected)
        if self.loss_type == "kto":
            return self._kto(chosen, rejected, pairs)
        reference = (None, None) if pairs.reference is None else pairs.reference
        losses, *rewards = dpo_loss(
            chosen, rejected, reference[0], reference[1], self.beta, self.label_smoothing,
            self.loss_type, halves(lengths(pairs.rows.labels)),
        )  # fmt: skip
        return ops.mean(losses), (rewards[0], rewards[1]), {}

    def _kto(
        self, chosen: Tensor, rejected: Tensor, pairs: PairBatch
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Metrics]:
        """The chosen answers are desirable, the rejected ones undesirable: 2 B answers."""
        reference, mismatched = pairs.reference, pairs.mismatched
        if reference is None or mismatched is None:
            raise ValueError("KTO needs a reference, and mismatched prompts and answers")
        with no_grad():
            h = mismatched.hidden(self.model)
            logps = hidden_token_logps(h, self.model, mismatched.labels)
        kl = kto_kl(over_tokens(logps, mismatched.labels), reference[2])
        losses, rewards = kto_loss(
            ops.concatenate([chosen, rejected]), np.concatenate([reference[0], reference[1]]),
            np.arange(2 * len(chosen)) < len(chosen), kl, self.beta,
        )  # fmt: skip
        return ops.mean(losses), halves(rewards), {"kl": kl}

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, pairs: Pairs) -> Metrics:
        """The loss of pairs and their metrics: means over the pairs."""
        totals: dict[str, float] = {}
        with evaluating(self.model):
            for numbers in by_length(pairs.longest(), self.batch_size):
                loss, metrics = self._loss(pairs.batch(numbers), measures=True)
                for name, value in {"loss": loss.item(), **metrics}.items():
                    totals[name] = totals.get(name, 0.0) + len(numbers) * value
        return {name: total / len(pairs) for name, total in totals.items()}

    def held_out(self) -> str:
        return f"{len(self.validation):,} pairs"

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        found = f"held out: loss {line['eval_loss']:.4f}"
        if max(abs(line[f"eval_rewards/{side}"]) for side in ("chosen", "rejected")) < ROUNDING:
            return f"{found}, no preference yet: the model is its reference"
        return (
            f"{found}, margin {line['eval_rewards/margins']:.4f}, "
            f"chosen preferred {line['eval_rewards/accuracies']:.1%}"
        )


def halves(x: Any) -> tuple[Any, Any]:
    """The first B and the last B of 2 B rows."""
    return x[: len(x) // 2], x[len(x) // 2 :]


def with_mismatched(pairs: Pairs, max_length: int) -> Pairs:
    """The pairs, with each prompt followed by the chosen answer to the next one, for KTO.

    At most ``max_length`` tokens of each are kept.
    """
    answers = [*pairs.chosen[1:], *pairs.chosen[:1]]
    mismatched = []
    for row, other in zip(pairs.chosen, answers, strict=True):
        end, start = first_answer(row), first_answer(other)
        ids = np.concatenate([row.ids[: end + 1], other.ids[start + 1 :]])[:max_length]
        labels = np.concatenate([np.full(end, IGNORE), other.labels[start:]])[:max_length]
        mismatched.append(Example(ids, labels))
    return replace(pairs, mismatched=mismatched)
