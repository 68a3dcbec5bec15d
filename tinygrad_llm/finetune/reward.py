"""The task of a reward model: score the chosen answer of a pair above the rejected one.

    loss = -log sigmoid(reward of the chosen - reward of the rejected), averaged over the pairs

The model is a ``Classifier`` with one class, whose logit is the reward. It reads prompt and answer
to the end, with the token that ends the answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd import Tensor, ops
from tinygrad_llm.finetune.classification import by_length, evaluating, padded
from tinygrad_llm.finetune.collate import all_tokens
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.losses import reward_loss
from tinygrad_llm.finetune.metrics import reward_model_metrics
from tinygrad_llm.finetune.rows_task import RowsTask, check_rows
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch

LABELS = ("reward",)
"""The one class of a reward model."""


class ScoredPairs:
    """Pairs of a prompt with the chosen answer and with the rejected one, as rows of ids."""

    def __init__(self, chosen: Sequence[Example], rejected: Sequence[Example]) -> None:
        self.chosen = [all_tokens(example) for example in chosen]
        self.rejected = [all_tokens(example) for example in rejected]

    def __len__(self) -> int:
        return len(self.chosen)

    def longest(self) -> list[np.ndarray]:
        """The longer row of each pair."""
        return [max(both, key=len) for both in zip(self.chosen, self.rejected, strict=True)]

    def rows(self, numbers: np.ndarray) -> list[np.ndarray]:
        """The chosen answers of some pairs, and then the rejected ones."""
        return [side[i] for side in (self.chosen, self.rejected) for i in numbers]


class Reward(RowsTask):
    """Learn to score the pairs ``train``; ``validation`` is held out.

    ``center`` weights the term that keeps the mean of the rewards near 0. The other options are
    those of ``RowsTask``.
    """

    def __init__(
        self,
        model: Classifier,
        train: ScoredPairs,
        validation: ScoredPairs,
        *,
        center: float = 0.0,
        **options: int,
    ) -> None:
        check_rows(train, "pairs to train on")
        check_rows(validation, "pairs to validate on")
        super().__init__([len(ids) for ids in train.longest()], **options)
        self.model, self.train, self.validation, self.center = model, train, validation, center

    def batch(self, numbers: np.ndarray) -> Batch:
        rows = self.train.rows(numbers)
        return Batch(rows, terms=len(numbers), tokens=sum(map(len, rows)))

    def loss(self, content: list[np.ndarray]) -> tuple[Tensor, Metrics]:
        chosen, rejected = self._rewards(content)
        losses = reward_loss(chosen, rejected, center=self.center)
        metrics: dict[str, Any] = reward_model_metrics(chosen, rejected)
        return ops.mean(losses), metrics

    def _rewards(self, rows: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """The rewards (B,) of the chosen and of the rejected answers, which are 2 B rows."""
        rewards, B = self.model(*padded(rows))[:, 0], len(rows) // 2  # (2 B,)
        return rewards[:B], rewards[B:]

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, pairs: ScoredPairs) -> Metrics:
        """The loss of pairs and their metrics."""
        rewards = np.zeros((2, len(pairs)), self.model.score.weight.dtype)
        with evaluating(self.model):
            for numbers in by_length(pairs.longest(), self.batch_size):
                chosen, rejected = self._rewards(pairs.rows(numbers))
                rewards[0, numbers], rewards[1, numbers] = chosen.numpy(), rejected.numpy()
            losses = reward_loss(rewards[0], rewards[1], center=self.center).numpy()
        return {"loss": float(losses.mean()), **reward_model_metrics(rewards[0], rewards[1])}

    def held_out(self) -> str:
        return f"{len(self.validation):,} pairs"

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        return (
            f"held out: loss {line['eval_loss']:.4f}, margin {line['eval_margin']:.4f}, chosen "
            f"scored higher {line['eval_accuracy']:.1%}"
        )
