"""The task of pretraining: predict each next token of a corpus."""

from typing import TYPE_CHECKING, Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.data.loader import IGNORE, DataLoader
from tinygrad_llm.data.token_row import TokenRow
from tinygrad_llm.training.evaluation import (
    Evaluation,
    evaluate,
    evaluate_documents,
    fixed_part,
    median_bits_per_byte,
    whole,
)
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch, Names, Step

if TYPE_CHECKING:
    from tinygrad_llm.model import Model


class NextTokens:
    """Learn from the batches of ``loader``, ``grad_accumulation`` of them a step.

    ``validation`` is a row of token ids and ``token_bytes`` the length of each id in bytes. A quick
    evaluation scores ``eval_batches`` batches of it. ``end_id`` is the id that ends a document.
    """

    names = Names(loss="train_loss", learning_rate="lr", validation_loss="val_loss")

    def __init__(
        self,
        model: "Model",
        loader: DataLoader,
        validation: TokenRow,
        token_bytes: np.ndarray,
        *,
        grad_accumulation: int = 1,
        eval_batches: int = 8,
        end_id: int | None = None,
    ) -> None:
        self.model, self.loader = model, loader
        self.validation, self.token_bytes = validation, token_bytes
        self.grad_accumulation, self.eval_batches = grad_accumulation, eval_batches
        self.end_id = end_id

    def next_step(self) -> Step:
        batches = []
        for _ in range(self.grad_accumulation):
            x, y = self.loader.next_batch()
            valid = int(np.count_nonzero(y != IGNORE))
            batches.append(Batch((x, y), terms=valid, tokens=valid))
        return Step(batches)

    def loss(self, content: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Metrics]:
        x, y = content
        return self.model.loss(x, y), {}

    def quick_evaluation(self) -> Metrics:
        """Score a fixed part of the validation text."""
        T, B = self.loader.block_size, self.loader.batch_size
        part = fixed_part(self.validation, T, B, self.eval_batches)
        return as_metrics(evaluate(self.model, part, self.token_bytes))

    def final_evaluation(self) -> tuple[Metrics, str]:
        """Score the whole validation text."""
        batches = whole(self.validation, self.loader.block_size, self.loader.batch_size)
        documents = evaluate_documents(self.model, batches, self.token_bytes, self.end_id)
        result, median = Evaluation.total(documents), median_bits_per_byte(documents)
        summary = f"validation, all {result.tokens:,} tokens: {result}"
        if len(documents) > 1:
            summary += f"\n{len(documents):,} documents, median {median:.4f} bits per byte"
        return {**as_metrics(result), "val_median_bits_per_byte": median}, summary

    @staticmethod
    def note(line: Metrics) -> str:
        if "val_loss" not in line:
            return ""
        return (
            f"validation: loss {line['val_loss']:.4f}, perplexity {line['val_perplexity']:.1f}, "
            f"{line['val_bits_per_byte']:.3f} bits per byte"
        )

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)


def as_metrics(result: Evaluation) -> Metrics:
    """An evaluation, under the names used in metrics.jsonl."""
    return {
        "val_loss": result.loss,
        "val_perplexity": result.perplexity,
        "val_bits_per_byte": result.bits_per_byte,
    }
