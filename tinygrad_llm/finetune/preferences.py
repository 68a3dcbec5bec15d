"""The task of preferences: of two answers to a prompt, make the chosen one more likely.

    DPO and its relatives   against a reference, the model before the first step
    ORPO                    without a reference

Both losses are means over pairs of functions of the log-probabilities of whole answers
(losses.py). The chosen and the rejected answers of a micro-batch are read together, as one batch of
2 B rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor, ops
from tinygrad_llm.finetune.classification import by_length, evaluating
from tinygrad_llm.finetune.collate import Rows, collate
from tinygrad_llm.finetune.logps import (
    hidden_statistics,
    hidden_token_logps,
    lengths,
    over_tokens,
)
from tinygrad_llm.finetune.losses import DPO_LOSSES, Losses, dpo_loss, orpo_loss
from tinygrad_llm.finetune.metrics import orpo_metrics, pair_token_metrics, preference_metrics
from tinygrad_llm.finetune.rows_task import RowsTask, check_rows, evaluation_metrics
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch

LOSSES = (*DPO_LOSSES, "orpo")


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows with ``ids`` and ``labels`` (T,): chosen and rejected answers to prompts.

    ``reference`` (2, N) are the reference's log-probabilities of both, None if it has no say.
    """

    chosen: Sequence[Any]
    rejected: Sequence[Any]
    reference: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def longest(self) -> list[np.ndarray]:
        """The longer ids of each pair."""
        return [max(c.ids, r.ids, key=len) for c, r in zip(self.chosen, self.rejected, strict=True)]

    def batch(self, numbers: np.ndarray) -> tuple[Rows, np.ndarray | None]:
        """Some pairs: the chosen answers and then the rejected ones, and the reference's part."""
        rows = [side[i] for side in (self.chosen, self.rejected) for i in numbers]
        return collate(rows), None if self.reference is None else self.reference[:, numbers]


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
        rows, reference = self.train.batch(numbers)
        return Batch((rows, reference), terms=len(numbers), tokens=rows.tokens)

    def loss(self, content: tuple[Rows, np.ndarray | None]) -> tuple[Tensor, Metrics]:
        rows, reference = content
        return self._loss(rows, reference, self.measures)

    def _loss(
        self, rows: Rows, reference: np.ndarray | None, measures: bool
    ) -> tuple[Tensor, Metrics]:
        """The mean loss of B pairs, and their metrics; with ``measures`` those of tokens, too."""
        h = rows.hidden(self.model)  # (2 B, T, C)
        token_logps = hidden_token_logps(h, self.model, rows.labels)  # (2 B, T)
        average = self.loss_type == "orpo"
        chosen, rejected = halves(over_tokens(token_logps, rows.labels, average))  # (B,) each
        metrics: Metrics = {}
        if average:
            losses, *rewards = orpo_loss(chosen, rejected, self.beta)
            metrics |= orpo_metrics(chosen, rejected)
        else:
            losses, *rewards = self._dpo(chosen, rejected, reference, halves(lengths(rows.labels)))
        metrics |= preference_metrics(rewards[0], rewards[1], chosen, rejected)
        if measures:
            metrics |= pair_token_metrics(hidden_statistics(h, self.model, rows.labels))
        return ops.mean(losses), metrics

    def _dpo(self, chosen: Tensor, rejected: Tensor, reference: Any, lengths: Any) -> Losses:
        of_chosen, of_rejected = (None, None) if reference is None else reference
        return dpo_loss(
            chosen, rejected, of_chosen, of_rejected, self.beta, self.label_smoothing,
            self.loss_type, lengths,
        )  # fmt: skip

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, pairs: Pairs) -> Metrics:
        """The loss of pairs and their metrics: means over the pairs."""
        totals: dict[str, float] = {}
        with evaluating(self.model):
            for numbers in by_length(pairs.longest(), self.batch_size):
                loss, metrics = self._loss(*pairs.batch(numbers), measures=True)
                for name, value in {"loss": loss.item(), **metrics}.items():
                    totals[name] = totals.get(name, 0.0) + len(numbers) * value
        return {name: total / len(pairs) for name, total in totals.items()}

    def quick_evaluation(self) -> Metrics:
        return evaluation_metrics(self.evaluate(self.validation))

    def final_evaluation(self) -> tuple[Metrics, str]:
        metrics = self.quick_evaluation()
        note = self.note(metrics).removeprefix("held out: ")
        return metrics, f"held out, {len(self.validation):,} pairs: {note}"

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        return (
            f"held out: loss {line['eval_loss']:.4f}, margin {line['eval_rewards/margins']:.4f}, "
            f"chosen preferred {line['eval_rewards/accuracies']:.1%}"
        )


def halves(x: Any) -> tuple[Any, Any]:
    """The first B and the last B of 2 B rows."""
    return x[: len(x) // 2], x[len(x) // 2 :]
