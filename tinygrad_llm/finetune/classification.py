"""The task of classification: give each text the class of its label.

    loss = mean over the texts of -log softmax(logits)[class]

The model is a ``Classifier``. If its lower blocks are frozen, what they make of a text is the same
in every epoch: ``keep_frozen_parts`` computes it once, before the first step. Only the blocks above
them cost anything then.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autograd import Tensor, no_grad, ops
from tinygrad_llm.counts import counted
from tinygrad_llm.finetune.order import Order
from tinygrad_llm.finetune.scores import accuracy, confusion_matrix, f1_scores
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.model.module import Module
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch, Names, Step

MAX_KEPT = 1 << 30  # bytes of the frozen parts' output
BATCH = 32  # texts that are read at once where nothing is learned
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Examples:
    """Texts as arrays of ids, and the numbers of their classes (N,).

    ``kept`` is what the frozen part makes of each, (T, C), if that is known.
    """

    ids: list[np.ndarray]
    classes: np.ndarray
    kept: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Scores:
    """The outcome of an evaluation: nats per text, and the confusion matrix (K, K)."""

    loss: float
    confusion: np.ndarray

    def metrics(self, split: str) -> Metrics:
        """Under the names of Hugging Face's Trainer: ``split`` is "eval" or "test"."""
        return {
            f"{split}_loss": self.loss,
            f"{split}_accuracy": accuracy(self.confusion),
            f"{split}_f1": float(f1_scores(self.confusion).mean()),
        }

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f}, accuracy {accuracy(self.confusion):.2%}, "
            f"F1 (macro) {f1_scores(self.confusion).mean():.4f}"
        )


class Classification:
    """Learn to classify the texts of ``train``; ``validation`` and ``test`` are held out.

    A step has ``grad_accumulation`` micro-batches of ``batch_size`` texts. With ``balanced`` every
    class is drawn equally often.
    """

    names = Names(loss="loss", learning_rate="learning_rate", validation_loss="eval_loss")

    def __init__(
        self,
        model: Classifier,
        train: Examples,
        validation: Examples,
        test: Examples,
        *,
        seed: int = 0,
        batch_size: int = 16,
        grad_accumulation: int = 1,
        balanced: bool = False,
    ) -> None:
        self.model, self.train, self.validation, self.test = model, train, validation, test
        self.batch_size, self.grad_accumulation = batch_size, grad_accumulation
        # Not by length, which often goes with the class: batches would be of one class each.
        self.order = Order(len(train), seed, train.classes if balanced else None)
        self._held_out: dict[str, Scores] = {}

    def keep_frozen_parts(self, progress: Progress = lambda done, total: None) -> bool:
        """Compute the frozen part's output for all texts, unless it takes more than MAX_KEPT bytes.

        Returns whether it was computed. The batches are always the same, so a continued run has the
        same numbers to the last bit.
        """
        parts = self.train, self.validation, self.test
        tokens = sum(len(ids) for part in parts for ids in part.ids)
        size = tokens * self.model.body.config.n_embd * self.model.score.weight.data.itemsize
        if self.model.frozen is None or size > MAX_KEPT:
            return False
        total, done = sum(map(len, parts)), 0
        kept_parts = []
        for part in parts:
            kept: list[Any] = [None] * len(part)
            for numbers in by_length(part.ids):
                ids, lengths = padded([part.ids[i] for i in numbers])
                states = self.model.frozen_part(ids).numpy()
                for i, state, length in zip(numbers, states, lengths, strict=True):
                    kept[i] = state[:length].copy()
                done += len(numbers)
                progress(done, total)
            kept_parts.append(replace(part, kept=kept))
        self.train, self.validation, self.test = kept_parts
        return True

    # --- a step ------------------------------------------------------------------------------

    def next_step(self) -> Step:
        batches = []
        for _ in range(self.grad_accumulation):
            numbers = self.order.next(self.batch_size)
            tokens = sum(len(self.train.ids[i]) for i in numbers)
            batches.append(Batch(numbers, terms=len(numbers), tokens=tokens))
        return Step(batches)

    def loss(self, content: np.ndarray) -> tuple[Tensor, Metrics]:
        classes = self.train.classes[content]
        logits = self._logits(self.train, content)
        right = np.argmax(logits.numpy(), axis=-1) == classes
        return ops.cross_entropy(logits, classes), {"accuracy": float(right.mean())}

    def _logits(self, part: Examples, numbers: np.ndarray) -> Tensor:
        """The logits (B, K) of some texts."""
        if part.kept is not None:
            return self.model.trained_part(*padded([part.kept[i] for i in numbers]))
        return self.model(*padded([part.ids[i] for i in numbers]))

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, part: Examples) -> Scores:
        """Score all texts of ``part``; dropout is off meanwhile, and no random number is drawn."""
        nats, predicted = 0.0, np.zeros(len(part), np.int64)
        with evaluating(self.model):
            for numbers in by_length(part.ids):
                logits = self._logits(part, numbers)
                nats += ops.cross_entropy(logits, part.classes[numbers], reduction="sum").item()
                predicted[numbers] = np.argmax(logits.numpy(), axis=-1)
        matrix = confusion_matrix(part.classes, predicted, len(self.model.labels))
        return Scores(nats / len(part), matrix)

    def held_out(self) -> dict[str, Scores]:
        """The scores of the validation texts ("eval"), and of those of the test if there are any.

        They are computed once, when training is over.
        """
        if not self._held_out:
            self._held_out["eval"] = self.evaluate(self.validation)
            if len(self.test):
                self._held_out["test"] = self.evaluate(self.test)
        return self._held_out

    def quick_evaluation(self) -> Metrics:
        return self.evaluate(self.validation).metrics("eval")

    def final_evaluation(self) -> tuple[Metrics, str]:
        metrics: Metrics = {}
        lines = []
        for name, scores in self.held_out().items():
            metrics |= scores.metrics(name)
            what = {"eval": "validation", "test": "test"}[name]
            lines.append(f"{what}, {counted(int(scores.confusion.sum()), 'text')}: {scores}")
            if never := self._never_predicted(scores.confusion):
                lines.append(
                    f"no text was taken for {never}: the accuracy is that of a guess. More steps, "
                    "a higher --lr or --balanced may help"
                )
        return metrics, "\n".join(lines)

    def _never_predicted(self, confusion: np.ndarray) -> str:
        """The classes that occur, if all texts were taken for another one."""
        taken = confusion.any(axis=0)
        missed = confusion.any(axis=1) & ~taken
        if taken.sum() > 1:
            return ""
        return ", ".join(self.model.labels[i] for i in np.flatnonzero(missed))

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        return (
            f"validation: loss {line['eval_loss']:.4f}, accuracy {line['eval_accuracy']:.2%}, "
            f"F1 {line['eval_f1']:.4f}"
        )

    def state_dict(self) -> dict[str, Any]:
        return self.order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order.load_state_dict(state)


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Without dropout and gradients; the model is in the mode that it was in when this ends."""
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        model.train(was_training)


def padded(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (T_i, ...) of different lengths as one array (B, T, ...), and the lengths (B,).

    The padding, on the right, is zero: what it is does not matter.
    """
    lengths = np.array([len(row) for row in rows])
    array = np.zeros((len(rows), lengths.max(), *rows[0].shape[1:]), rows[0].dtype)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array, lengths


def by_length(rows: list[np.ndarray], size: int = BATCH) -> Iterator[np.ndarray]:
    """All row numbers in batches of similar lengths, so that there is little padding."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]


def probabilities(model: Classifier, rows: list[np.ndarray]) -> np.ndarray:
    """softmax of the logits (N, K) of texts as arrays of ids, in float64."""
    logits = np.zeros((len(rows), len(model.labels)))
    with evaluating(model):
        for numbers in by_length(rows):
            logits[numbers] = model(*padded([rows[i] for i in numbers])).numpy()
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)
