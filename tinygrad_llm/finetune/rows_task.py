"""What the tasks that learn from rows have in common: their order, and how far a run has come.

A step draws ``grad_accumulation`` micro-batches of ``batch_size`` rows of similar lengths, in an
order that is shuffled anew in each epoch. Metrics for which the logits are needed cost another pass
through the output layer: they are measured at step 1 and at every ``log_every``-th.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole
from tinygrad_llm.finetune.order import ORDER_SCHEMA, Order
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch, Names, Step

ROWS_SCHEMA = {**ORDER_SCHEMA, "step": Whole(0), "num_tokens": Whole(0)}
"""What ``RowsTask.state_dict`` looks like."""


class RowsTask:
    """A task over rows of these lengths, in tokens.

    Each kind says what a batch of them is, and what it loses.
    """

    validation: Any
    names = Names(loss="loss", learning_rate="learning_rate", validation_loss="eval_loss")

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        seed: int = 0,
        batch_size: int = 8,
        grad_accumulation: int = 1,
        log_every: int = 10,
    ) -> None:
        self.order = Order(len(lengths), seed, lengths=lengths, group=batch_size)
        self.batch_size, self.grad_accumulation = batch_size, grad_accumulation
        self.log_every = log_every
        self.step = 0  # steps drawn
        self.num_tokens = 0  # tokens read, without padding

    def batch(self, numbers: np.ndarray) -> Batch:
        """The micro-batch of the rows with these numbers."""
        raise NotImplementedError

    def loss(self, content: Any) -> tuple[Tensor, Metrics]:
        """The mean loss of a micro-batch, and its metrics."""
        raise NotImplementedError

    @property
    def measures(self) -> bool:
        """Whether this step measures what the logits are needed for."""
        return self.step == 1 or self.step % self.log_every == 0

    def next_step(self) -> Step:
        numbers = [self.order.next(self.batch_size) for _ in range(self.grad_accumulation)]
        batches = [self.batch(rows) for rows in numbers]
        self.step += 1
        self.num_tokens += sum(batch.tokens for batch in batches)
        return Step(batches, {"epoch": self.epoch, "num_tokens": self.num_tokens})

    def evaluate(self, rows: Any) -> Metrics:
        """The loss of rows, and what else is measured."""
        raise NotImplementedError

    def held_out(self) -> str:
        """How much is held out, for the report."""
        raise NotImplementedError

    def note(self, line: Metrics) -> str:
        """What the progress line of a step says besides the loss."""
        raise NotImplementedError

    def quick_evaluation(self) -> Metrics:
        return evaluation_metrics(self.evaluate(self.validation))

    def final_evaluation(self) -> tuple[Metrics, str]:
        metrics = self.quick_evaluation()
        note = self.note(metrics).removeprefix("held out: ")
        return metrics, f"held out, {self.held_out()}: {note}"

    @property
    def epoch(self) -> float:
        """How often the rows have been gone through."""
        return self.order.epoch + self.order.position / self.order.rows

    def state_dict(self) -> dict[str, Any]:
        return {**self.order.state_dict(), "step": self.step, "num_tokens": self.num_tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order.load_state_dict(state)
        self.step, self.num_tokens = state["step"], state["num_tokens"]


def evaluation_metrics(metrics: Metrics) -> Metrics:
    """Numbers of an evaluation under the names that Hugging Face's Trainer gives them."""
    return {f"eval_{name}": value for name, value in metrics.items()}


def check_rows(rows: Any, what: str) -> None:
    """Raise UserError if there are none."""
    if not len(rows):
        raise UserError(f"there are no {what}: add rows, or change --validation-share")
