"""The task of GRPO: make answers of high reward more likely (Shao et al. 2024).

    rollout      the policy writes ``num_generations`` answers to each of a few prompts
    score        reward functions, then advantages: how much better each is than its group
    learn        ``num_iterations`` times over the answers, in steps of
                 ``batch_size * grad_accumulation`` of them

The names are those of TRL: ``batch_size`` counts answers, ``steps_per_generation`` micro-batches.
docs/grpo.md explains the options and what is measured.

Where answers are learned from more than once or in more than one step, their log-probabilities by
the policy that wrote them are computed once, before the first step, and are saved with the run:
after the next step nobody could. Those of the reference never change; it is the model with its
adapter switched off, or a copy of it from before the first step.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole
from tinygrad_llm.finetune.advantages import advantages, reward_metrics
from tinygrad_llm.finetune.answers import (
    ANSWERS_SCHEMA,
    AnswerBatch,
    Answers,
    Steps,
    divided,
    restored,
    saved,
    with_old,
)
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.collate import Rows
from tinygrad_llm.finetune.examples import Example, Prompt, completed
from tinygrad_llm.finetune.logps import IGNORE, hidden_statistics, hidden_token_logps
from tinygrad_llm.finetune.lora import disable_adapter
from tinygrad_llm.finetune.losses import grpo_loss
from tinygrad_llm.finetune.metrics import policy_metrics
from tinygrad_llm.finetune.order import Order
from tinygrad_llm.finetune.rewards import Rewards
from tinygrad_llm.finetune.rollouts import Writing, rollout
from tinygrad_llm.finetune.rows_task import (
    ROWS_SCHEMA,
    RowsTask,
    check_rows,
    evaluation_metrics,
)
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.task import Batch, Step

GRPO_SCHEMA = {
    **ROWS_SCHEMA, "generation": Whole(0), "done": Whole(0), "answers": (None, ANSWERS_SCHEMA),
}  # fmt: skip
"""What ``GRPO.state_dict`` looks like."""


class GRPO(RowsTask):
    """Learn from the rewards of answers to ``train``; the prompts ``validation`` are held out.

    rewards: finetune/rewards.py. writing: how answers are written. reference: a model that is not
    trained, for beta > 0; None means the model without its adapter. loss_type, beta, epsilon and
    epsilon_high are those of ``grpo_loss``, scale_rewards that of ``advantages``.
    mask_truncated_completions: answers that were cut off teach nothing. eval_prompts: held-out
    prompts that are answered at an evaluation; the final one takes all. The other options are those
    of ``RowsTask``, where batch_size counts answers.

    Raises UserError for sizes that do not fit together.
    """

    def __init__(
        self,
        model: Any,
        train: Sequence[Prompt],
        validation: Sequence[Prompt],
        rewards: Rewards,
        writing: Writing,
        *,
        num_generations: int = 8,
        reference: Any = None,
        beta: float = 0.0,
        epsilon: float = 0.2,
        epsilon_high: float | None = None,
        loss_type: str = "dapo",
        scale_rewards: str = "group",
        num_iterations: int = 1,
        steps_per_generation: int | None = None,
        mask_truncated_completions: bool = False,
        eval_prompts: int = 32,
        **options: int,
    ) -> None:
        check_rows(train, "prompts to train on")
        check_rows(validation, "prompts to validate on")
        super().__init__([len(prompt.ids) for prompt in train], **options)
        self.order = Order(len(train), self.order.seed)  # a step takes prompts of any lengths
        self.model, self.train, self.validation = model, train, validation
        self.rewards, self.writing, self.reference = rewards, writing, reference
        self.num_generations, self.num_iterations = num_generations, num_iterations
        self.beta, self.epsilon, self.epsilon_high = beta, epsilon, epsilon_high
        self.loss_type, self.scale_rewards = loss_type, scale_rewards
        self.mask_truncated_completions = mask_truncated_completions
        self.eval_prompts = eval_prompts
        self.temperature = float(writing.sampling.get("temperature", 1.0))
        self.n_steps = _steps_of(steps_per_generation, self.grad_accumulation)
        self.n_answers = self.batch_size * self.grad_accumulation * self.n_steps
        if self.n_answers % num_generations:
            raise UserError(
                f"a step learns from {self.n_answers} answers (batch_size x steps_per_generation), "
                f"expected whole groups of num_generations, {num_generations}"
            )
        names = {name for prompt in (*train, *validation) for name in prompt.row}
        self.columns = sorted(names - {"prompt", "prompts", "completions", "completion_ids"})
        self.generation = 0  # rollouts so far
        self.done = 0  # steps over the present one
        self.answers: Answers | None = None
        self.steps: Steps = []

    # --- a step ------------------------------------------------------------------------------

    def next_step(self) -> Step:
        if self._is_over:
            self._ask()
        assert self.answers is not None
        found = self.steps[self.done % self.n_steps]
        self.done, self.step = self.done + 1, self.step + 1
        batches = [Batch(one, self._terms(one), one.rows.tokens) for one in found]
        self.num_tokens += sum(batch.tokens for batch in batches)
        known = {"epoch": self.epoch, "num_tokens": self.num_tokens}
        return Step(batches, {**known, **self.answers.metrics})

    @property
    def _is_over(self) -> bool:
        """Whether everything has been learned from the answers that there are."""
        return self.answers is None or self.done == self.n_steps * self.num_iterations

    def _terms(self, batch: AnswerBatch) -> int:
        """What the loss is a mean over: tokens with "dapo", answers otherwise."""
        return batch.rows.terms if self.loss_type == "dapo" else len(batch.advantages)

    def loss(self, content: AnswerBatch) -> tuple[Tensor, Metrics]:
        rows = content.rows
        h = rows.hidden(self.model)  # (B, T, C)
        logps = hidden_token_logps(h, self.model, rows.labels, self.temperature)  # (B, T)
        given = (
            logps, content.old, content.reference, content.advantages, content.mask,
            self.epsilon, self.epsilon_high, self.beta,
        )  # fmt: skip
        loss = grpo_loss(
            *given, self.loss_type, n_tokens=content.n_tokens,
            max_length=self.writing.max_new_tokens,
        )  # fmt: skip
        metrics = policy_metrics(*given)
        if self.measures:
            found = hidden_statistics(h, self.model, rows.labels, self.temperature)
            metrics["entropy"] = found.mean(found.entropy)
        return loss, metrics

    # --- a rollout ---------------------------------------------------------------------------

    def _ask(self) -> None:
        """Let the policy answer the next prompts, and prepare to learn from that."""
        prompts = self.order.next(self.n_answers // self.num_generations)
        self.generation, self.done = self.generation + 1, 0
        found = rollout(
            self.model, [self.train[i] for i in prompts], self.num_generations, self.writing,
            self.rewards, self._seeds()[0], self.columns,
        )  # fmt: skip
        metrics = found.metrics | reward_metrics(
            found.rewards, self.num_generations, self.scale_rewards
        )
        self.answers = Answers(prompts, found.answers, found.rewards, metrics)
        self.steps = self._divided(self.answers)
        if self.n_steps * self.num_iterations > 1:
            self.steps = [
                [replace(one, old=self._logps(self.model, one.rows)) for one in step]
                for step in self.steps
            ]

    def _seeds(self) -> list[np.random.SeedSequence]:
        """That of what is sampled in this rollout, and that of the order of its answers."""
        return np.random.SeedSequence(self.order.seed, spawn_key=(self.generation,)).spawn(2)

    def _divided(self, found: Answers) -> Steps:
        """The micro-batches of each step, with the reference's log-probabilities."""
        asked = np.repeat(found.prompts, self.num_generations)
        rows = [
            self._row(self.train[i], answer) for i, answer in zip(asked, found.answers, strict=True)
        ]
        better = advantages(found.rewards, self.num_generations, self.scale_rewards)  # (N,)
        rng = np.random.default_rng(self._seeds()[1])
        steps = divided(rows, better, self.n_steps, self.batch_size, rng)
        return [
            [replace(one, reference=self._reference_logps(one.rows)) for one in step]
            for step in steps
        ]

    def _row(self, prompt: Prompt, answer: list[int]) -> Example:
        row = completed(prompt.ids, np.array(answer, np.int64))
        if self.mask_truncated_completions and not self.writing.ended(answer):
            return replace(row, labels=np.full_like(row.labels, IGNORE))
        return row

    def _reference_logps(self, rows: Rows) -> np.ndarray | None:
        if not self.beta:
            return None
        if self.reference is not None:
            return self._logps(self.reference, rows)
        with disable_adapter(self.model):
            return self._logps(self.model, rows)

    def _logps(self, model: Any, rows: Rows) -> np.ndarray:
        """The log-probabilities of the labels (B, T), without dropout."""
        with evaluating(model):
            found = hidden_token_logps(rows.hidden(model), model, rows.labels, self.temperature)
        return found.numpy()

    # --- evaluation --------------------------------------------------------------------------

    def evaluate(self, prompts: Sequence[Prompt]) -> Metrics:
        """The rewards of the most likely answer to each prompt; the loss is minus their mean."""
        greedy = replace(self.writing, sampling={"temperature": 0})
        seed = np.random.SeedSequence(0)  # nothing is drawn
        found = rollout(self.model, prompts, 1, greedy, self.rewards, seed, self.columns)
        rewards = reward_metrics(found.rewards, len(prompts))
        del rewards["frac_reward_zero_std"]
        return {"loss": -rewards["reward"], **rewards, **found.metrics}

    def quick_evaluation(self) -> Metrics:
        return evaluation_metrics(self.evaluate(self.validation[: self.eval_prompts]))

    def final_evaluation(self) -> tuple[Metrics, str]:
        metrics = evaluation_metrics(self.evaluate(self.validation))
        note = self.note(metrics).removeprefix("held out: ")
        return metrics, f"held out, {len(self.validation):,} prompts: {note}"

    def note(self, line: Metrics) -> str:
        """The truth about the batch, and of an evaluation."""
        parts = []
        if "reward" in line:
            parts.append(
                f"reward {line['reward']:.3f} +- {line['reward_std']:.3f}, "
                f"{_without_spread(line['frac_reward_zero_std'])}; {self._why(line)}"
            )
        if "eval_reward" in line:
            parts.append(
                f"held out: reward {line['eval_reward']:.3f} +- {line['eval_reward_std']:.3f} of "
                f"the most likely answers, {line['eval_completions/mean_length']:.0f} tokens each, "
                f"{line['eval_completions/clipped_ratio']:.0%} cut off"
            )
        return "; ".join(parts)

    def _why(self, line: Metrics) -> str:
        """Why a loss near 0 is right, or wrong."""
        gradient = f"gradient {line.get('grad_norm', 0.0):.2g}"
        if line["frac_reward_zero_std"] == 1:
            return f"{gradient}: equal rewards teach nothing"
        if line["clip_ratio/region_mean"]:
            return f"{gradient}, {line['clip_ratio/region_mean']:.1%} of the tokens clipped"
        if self.loss_type == "dapo":
            return f"{gradient}; a loss near 0 is right: minus the mean advantage of a token"
        return f"{gradient}; a loss of 0 is right: advantages average to 0"

    # --- the state ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        state = {**super().state_dict(), "generation": self.generation, "done": self.done}
        if self._is_over:
            return {**state, "answers": None}
        assert self.answers is not None
        return {**state, "answers": saved(self.answers, self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.generation, self.done, self.answers = state["generation"], state["done"], None
        if state["answers"] is not None:
            dtype = self.model.parameters()[0].dtype
            self.answers = restored(state["answers"], len(self.train), self.num_generations)
            self.steps = with_old(self._divided(self.answers), state["answers"], dtype)


def _steps_of(steps_per_generation: int | None, grad_accumulation: int) -> int:
    """Optimizer steps over the answers of a rollout."""
    micro_batches = grad_accumulation if steps_per_generation is None else steps_per_generation
    if micro_batches % grad_accumulation:
        raise UserError(
            f"steps_per_generation is {micro_batches}, but must be a multiple of "
            f"grad_accumulation, {grad_accumulation}: both count micro-batches"
        )
    return micro_batches // grad_accumulation


def _without_spread(share: float) -> str:
    if share in (0, 1):
        return f"{'all' if share else 'no'} groups without spread"
    return f"{share:.0%} of the groups without spread"
