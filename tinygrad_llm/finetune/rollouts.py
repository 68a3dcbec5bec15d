"""Rollouts: what a policy answers to prompts, and what the answers are worth.

Answers are written by the path of generation (generation/): the KV cache, with the adapter merged
into the weights, in float32. Their log-probabilities by the path of training are the same to
rounding, which is that of bf16 with ``--precision bf16``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd import matmul_precision
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.examples import Prompt
from tinygrad_llm.finetune.lora import merged
from tinygrad_llm.finetune.metrics import completion_metrics
from tinygrad_llm.finetune.rewards import Rewards
from tinygrad_llm.generation import FINISHED, Decoder, generate
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.quantize import stored_matrices

ROWS = 16
"""Answers that are written at the same time: a compiled step reads the weights once for so many."""


@dataclass(frozen=True)
class Writing:
    """How answers are written and read.

    ``stop_ids`` end an answer and belong to it; ``unused_ids`` have no text. ``decode`` makes the
    text of an answer from its ids without the last one, if that is a stop id.
    """

    decode: Callable[[list[int]], str]
    stop_ids: Sequence[int]
    max_new_tokens: int
    unused_ids: Sequence[int] | np.ndarray = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """temperature, top_k, top_p and min_p of ``generate``."""

    def ended(self, answer: Sequence[int]) -> bool:
        """Whether an answer came to its end, as opposed to the longest length."""
        return answer[-1] in self.stop_ids


@dataclass(frozen=True)
class Rollout:
    """N answers to prompts, n to each, one after another."""

    answers: list[list[int]]
    rewards: np.ndarray
    metrics: dict[str, float]


def rollout(
    model: Module,
    prompts: Sequence[Prompt],
    n: int,
    writing: Writing,
    rewards: Rewards,
    seed: np.random.SeedSequence,
    columns: Sequence[str] = (),
) -> Rollout:
    """Let the model write n answers to each prompt, and score them.

    The same seed and model give the same answers. columns: those of the data that the reward
    functions receive. Raises UserError where a reward function does.
    """
    with policy(model) as decoder:
        answers = list(_answers(decoder, prompts, n, writing, seed))
    ended = [writing.ended(answer) for answer in answers]
    texts = [
        writing.decode(answer[:-1] if end else answer)
        for answer, end in zip(answers, ended, strict=True)
    ]
    asked = [prompt for prompt in prompts for _ in range(n)]
    values, metrics = rewards(
        {
            **{name: [one.row.get(name) for one in asked] for name in columns},
            "prompts": [_question(one) for one in asked],
            "completions": [_completion(*pair) for pair in zip(asked, texts, strict=True)],
            "completion_ids": answers,
        }
    )
    metrics |= completion_metrics([len(answer) for answer in answers], ended)
    return Rollout(answers, values, metrics)


@contextmanager
def policy(model: Module) -> Iterator[Decoder]:
    """Within this, a decoder that writes as the model does with its adapter, without dropout.

    A Decoder reads where the weights are, which takes milliseconds, and merging an adapter makes
    new ones: both are done anew each time. Quantized matrices stay what they are, and the adapter
    next to them: merged, they would be another policy.
    """
    adapter = nullcontext() if stored_matrices(model) else merged(model)
    with evaluating(model), adapter, matmul_precision("float32"):
        yield Decoder(model)


def _answers(
    decoder: Decoder,
    prompts: Sequence[Prompt],
    n: int,
    writing: Writing,
    seed: np.random.SeedSequence,
) -> Iterator[list[int]]:
    together = max(1, ROWS // n)
    starts = range(0, len(prompts), together)
    for start, own_seed in zip(starts, seed.spawn(len(starts)), strict=True):
        some = prompts[start : start + together]
        T = max(len(one.ids) for one in some)
        ids, mask = np.zeros((2, len(some), T), np.int64)
        for b, one in enumerate(some):
            ids[b, : len(one.ids)], mask[b, : len(one.ids)] = one.ids, 1
        steps = generate(
            decoder, ids, writing.max_new_tokens, n=n, attention_mask=mask,
            rng=np.random.default_rng(own_seed), stop_ids=writing.stop_ids,
            unused_ids=writing.unused_ids, **writing.sampling,
        )  # fmt: skip
        for row in np.stack(list(steps), axis=1):  # (R, T)
            yield row[row != FINISHED].tolist()


def _question(prompt: Prompt) -> Any:
    """What a row asks, as it stands in the data."""
    row = prompt.row
    return next(row[name] for name in ("prompt", "messages", "instruction") if row.get(name))


def _completion(prompt: Prompt, text: str) -> Any:
    """Text, or a message where the prompt is a list of messages, as TRL has it."""
    is_chat = isinstance(_question(prompt), list)
    return [{"role": "assistant", "content": text}] if is_chat else text
