"""The task of supervised fine-tuning: imitate the answers.

    loss = -log p(label), averaged over all labels of the step that are not -100

Which labels count is decided where the examples are made (examples.py): usually those of the
answers, with the token that ends each. A row may hold several examples (packing.py).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.counts import counted
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.collate import Rows, batches_by_length, collate
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import hidden_statistics
from tinygrad_llm.finetune.losses import hidden_sft_loss
from tinygrad_llm.finetune.metrics import sft_metrics
from tinygrad_llm.finetune.packing import Packed
from tinygrad_llm.finetune.rows_task import RowsTask, check_rows
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch


class SFT(RowsTask):
    """Learn the labels of ``train``; the examples ``validation`` are held out.

    The other options are those of ``RowsTask``.
    """

    def __init__(
        self,
        model: Any,
        train: Sequence[Example] | Sequence[Packed],
        validation: Sequence[Example],
        **options: int,
    ) -> None:
        check_rows(train, "rows to train on")
        check_rows(validation, "rows to validate on")
        super().__init__([len(row.ids) for row in train], **options)
        self.model, self.train, self.validation = model, train, validation

    def batch(self, numbers: np.ndarray) -> Batch:
        rows = collate([self.train[i] for i in numbers])
        return Batch(rows, terms=rows.terms, tokens=rows.tokens)

    def loss(self, content: Rows) -> tuple[Tensor, Metrics]:
        h = content.hidden(self.model)  # (B, T, C)
        metrics = self._statistics(h, content) if self.measures else {}
        return hidden_sft_loss(h, self.model, content.labels), metrics

    def _statistics(self, h: Tensor, rows: Rows) -> Metrics:
        return sft_metrics(hidden_statistics(h, self.model, rows.labels))

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, examples: Sequence[Example]) -> Metrics:
        """The loss of examples and their metrics, means over the labels that count."""
        totals, terms = {"loss": 0.0}, 0
        with evaluating(self.model):
            for _, batch in batches_by_length(examples, self.batch_size):
                h = batch.hidden(self.model)
                loss = hidden_sft_loss(h, self.model, batch.labels).item()
                for name, value in {"loss": loss, **self._statistics(h, batch)}.items():
                    totals[name] = totals.get(name, 0.0) + batch.terms * value
                terms += batch.terms
        return {name: total / max(1, terms) for name, total in totals.items()}

    def held_out(self) -> str:
        terms = sum(collate([row]).terms for row in self.validation)
        return f"{counted(len(self.validation), 'row')}, {counted(terms, 'label')}"

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        return (
            f"held out: loss {line['eval_loss']:.4f}, perplexity "
            f"{np.exp(line['eval_loss']):.2f}, accuracy of tokens "
            f"{line['eval_mean_token_accuracy']:.1%}"
        )
