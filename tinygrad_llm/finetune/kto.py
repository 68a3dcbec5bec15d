"""The task of KTO: make desirable answers more likely, and others less (Ethayarajh et al. 2024).

Each answer is compared with the reference by itself, so rows need no pairs: a prompt, an answer,
and whether it is liked. How far the model is from its reference on the whole is estimated on
prompts with answers that do not belong to them (``mismatched``), of which each answer has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor, no_grad, ops
from tinygrad_llm.counts import counted
from tinygrad_llm.finetune.collate import Rows, collate, first_answer
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import (
    IGNORE,
    hidden_statistics,
    hidden_token_logps,
    over_tokens,
)
from tinygrad_llm.finetune.losses import kto_kl, kto_loss
from tinygrad_llm.finetune.metrics import kto_metrics
from tinygrad_llm.finetune.reference import answer_logps
from tinygrad_llm.finetune.rows_task import RowsTask, check_rows
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch


@dataclass(frozen=True)
class Answers:
    """N prompts, each with an answer, and whether that is ``desirable`` (N,).

    ``mismatched`` are the prompts with answers to other ones. ``reference`` (2, N) are the
    reference's log-probabilities of both.
    """

    examples: Sequence[Example]
    desirable: np.ndarray
    mismatched: Sequence[Example]
    reference: np.ndarray

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, numbers: np.ndarray) -> "AnswerBatch":
        """The answers with these numbers."""
        rows, mismatched = (
            collate([side[i] for i in numbers]) for side in (self.examples, self.mismatched)
        )
        return AnswerBatch(rows, mismatched, self.desirable[numbers], self.reference[:, numbers])


@dataclass(frozen=True)
class AnswerBatch:
    """Some of the answers, as the model reads them."""

    rows: Rows
    mismatched: Rows
    desirable: np.ndarray
    reference: np.ndarray


class KTO(RowsTask):
    """Learn from the answers ``train``; ``validation`` is held out.

    beta and the weights are those of ``kto_loss``, the other options those of ``RowsTask``.
    """

    def __init__(
        self,
        model: Any,
        train: Answers,
        validation: Answers,
        *,
        beta: float = 0.1,
        desirable_weight: float = 1.0,
        undesirable_weight: float = 1.0,
        **options: int,
    ) -> None:
        check_rows(train, "answers to train on")
        check_rows(validation, "answers to validate on")
        super().__init__([len(row.ids) for row in train.examples], **options)
        self.model, self.train, self.validation = model, train, validation
        self.options = (beta, desirable_weight, undesirable_weight)

    def batch(self, numbers: np.ndarray) -> Batch:
        answers = self.train.batch(numbers)
        return Batch(answers, terms=len(numbers), tokens=answers.rows.tokens)

    def loss(self, content: AnswerBatch) -> tuple[Tensor, Metrics]:
        rows, mismatched = content.rows, content.mismatched
        with no_grad():
            other = hidden_token_logps(mismatched.hidden(self.model), self.model, mismatched.labels)
        kl = kto_kl(over_tokens(other, mismatched.labels), content.reference[1])
        h = rows.hidden(self.model)  # (B, T, C)
        logps = over_tokens(hidden_token_logps(h, self.model, rows.labels), rows.labels)  # (B,)
        losses, rewards = kto_loss(
            logps, content.reference[0], content.desirable, kl, *self.options
        )
        metrics = kto_metrics(rewards, logps, content.desirable, kl)
        if self.measures:
            found = hidden_statistics(h, self.model, rows.labels)
            metrics["entropy"] = found.mean(found.entropy)
        return ops.mean(losses), metrics

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, answers: Answers) -> Metrics:
        """The loss of answers and their metrics, with one estimate of the distance for all."""
        logps, other = (answer_logps(self.model, x) for x in (answers.examples, answers.mismatched))
        kl = kto_kl(other, answers.reference[1])
        losses, rewards = kto_loss(
            logps, answers.reference[0], answers.desirable, kl, *self.options
        )
        loss = float(losses.numpy().mean())
        return {"loss": loss, **kto_metrics(rewards, logps, answers.desirable, kl)}

    def held_out(self) -> str:
        return counted(len(self.validation), "answer")

    @staticmethod
    def note(line: Metrics) -> str:
        if "eval_loss" not in line:
            return ""
        sides = {"desirable": "chosen", "undesirable": "rejected"}
        rewards = [
            f", reward of {name} answers {line[f'eval_rewards/{side}']:.4f}"
            for name, side in sides.items()
            if f"eval_rewards/{side}" in line
        ]
        return f"held out: loss {line['eval_loss']:.4f}{''.join(rewards)}"


def mismatched_rows(rows: Sequence[Example], max_length: int) -> list[Example]:
    """Each prompt followed by the answer to another one: that of the next row with another prompt.

    At most ``max_length`` tokens of each are kept. If all prompts are the same, the answer is that
    of the next row.
    """
    prompts = [row.ids[: first_answer(row) + 1].tobytes() for row in rows]
    found, other = [], 0
    for i, row in enumerate(rows):
        other = max(other, i + 1)
        while other < i + len(rows) and prompts[other % len(rows)] == prompts[i]:
            other += 1
        answer = rows[(other if other < i + len(rows) else i + 1) % len(rows)]
        end, start = first_answer(row), first_answer(answer)
        ids = np.concatenate([row.ids[: end + 1], answer.ids[start + 1 :]])[:max_length]
        labels = np.concatenate([np.full(end, IGNORE), answer.labels[start:]])[:max_length]
        found.append(Example(ids, labels))
    return found
