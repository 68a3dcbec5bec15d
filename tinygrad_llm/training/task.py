"""What a run learns from: the part of training that the loop (trainer.py) does not know.

    next tokens of a corpus       next_tokens.py
    conversations, pairs, rewards, classes       finetune/

The loop asks a task for the micro-batches of a step, takes the gradient of the loss of each, and
now and then asks how well the model does. The loss of a micro-batch is a mean over its terms, of
which a task counts what its loss is defined over: tokens, pairs or rows. The loop weights each
micro-batch by its share of all terms of the step, so that the gradient is that of one large batch.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from autograd import Tensor
from tinygrad_llm.training.metrics import Metrics


@dataclass(frozen=True)
class Batch:
    """A micro-batch: what ``Task.loss`` takes, its number of terms, and of tokens it has to read.

    The first number is what the loss is a mean over, the second is for the tokens per second.
    """

    content: Any
    terms: int
    tokens: int


@dataclass(frozen=True)
class Step:
    """The micro-batches of one step, and what is known about them before any loss."""

    batches: list[Batch]
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class Names:
    """What a task's lines of metrics call the numbers that every task has."""

    loss: str
    learning_rate: str
    validation_loss: str


class Task(Protocol):
    """See the top of this file. A task works on the model that it was made with."""

    names: Names

    def next_step(self) -> Step:
        """Draw the micro-batches of the next step."""

    def loss(self, content: Any) -> tuple[Tensor, Metrics]:
        """The loss of a micro-batch, and other means over its terms."""

    def quick_evaluation(self) -> Metrics:
        """The validation loss, of which a lower one is better, and what else is measured."""

    def final_evaluation(self) -> tuple[Metrics, str]:
        """The same with all validation data, and a sentence that says it."""

    def note(self, line: Metrics) -> str:
        """What the progress line of a step says besides the loss; "" if nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that determines the next batches, as JSON data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken. Raises UserError for one that does not fit."""
