"""EXPLORABLE: the built-in graphs of ``tinygrad-llm explore`` that need a language model.

Each is small enough that every number can be shown. Those of the engine alone are in
``autograd/debug/explorer/builtin.py``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, no_grad, ops
from autograd.kernels.dispatch import use_kernels
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.finetune.logps import IGNORE, sequence_logps
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.finetune.losses import dpo_loss
from tinygrad_llm.model import GPT
from tinygrad_llm.model.layers import Linear
from tinygrad_llm.model.module import Module

TEXT = (
    "the cat saw the dog and the dog saw the cat . the dog ran and the cat sat on the mat . "
    "the cat sat and saw the dog . the dog sat on the mat and the cat ran . "
)
VOCABULARY = sorted(set(TEXT.split()))
RATE = 0.3
SHOWN = "the cat saw the dog and the dog ran"  # eight tokens in, eight to predict


class Explorable(NamedTuple):
    """A graph to explore: a function that computes the loss of ``model``, and a text about it."""

    loss: Callable[[], Tensor]
    model: Module
    title: str
    about: str
    labels: dict[str, Any]
    """``tokens``, the texts of the positions (or ``rows``, a list for each row of the batch), and
    ``vocabulary``, the text of every id; empty without tokens."""


def gpt() -> Explorable:
    model = _trained(GPTConfig(len(VOCABULARY), 8, n_layer=2, n_head=2, n_embd=16), steps=60)
    ids = _ids(SHOWN)
    x, y = ids[None, :-1], ids[None, 1:]
    return Explorable(
        lambda: model.loss(x, y),
        model,
        "A GPT",
        "Two layers, two heads, 16 channels, eight words, after a few steps of training on a text "
        "of its own. The word 'the' stands at three places and 'dog' at two, so their rows of the "
        "token table are used more than once. The same table is the output layer.",
        {"tokens": SHOWN.split()[:-1], "targets": SHOWN.split()[1:], "vocabulary": VOCABULARY},
    )


class OneLayer(Module):
    """A model that is one linear layer, which an adapter can be put on."""

    def __init__(self) -> None:
        self.layer = Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def lora() -> Explorable:
    model = OneLayer()
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        parameter.assign_(_digits(rng, parameter.shape))
    add_lora(model, r=2, alpha=4)
    for name, parameter in model.named_parameters():
        if name.endswith((".A", ".B")):
            parameter.assign_(_digits(rng, parameter.shape))
    x = Tensor(_digits(rng, (2, 4)), requires_grad=True)
    target = _digits(rng, (2, 3))

    def loss() -> Tensor:
        y = model(x)  # (2, 3)
        error = y - target
        return ops.mean(error * error)

    return Explorable(
        loss,
        model,
        "A LoRA layer",
        "A frozen matrix W and a change of rank 2, y = x W^T + b + 2 (x A^T) B^T. W and b get no "
        "gradients. Those of A and B pass through the two numbers per row that lie between them.",
        {},
    )


PROMPT, CHOSEN, REJECTED = "the cat", "sat on the mat", "ran and the dog"


def dpo() -> Explorable:
    config = GPTConfig(len(VOCABULARY), 8, n_layer=1, n_head=2, n_embd=8)
    model = _trained(config, steps=40)
    rows = [_ids(f"{PROMPT} {answer}") for answer in (CHOSEN, REJECTED)]
    ids = np.stack([row[:-1] for row in rows])  # (2, T): the chosen answer, and the rejected one
    labels = np.stack([row[1:] for row in rows])
    labels[:, : len(PROMPT.split()) - 1] = IGNORE
    with no_grad():
        reference = sequence_logps(model(ids), labels).numpy()
    rng = np.random.default_rng(7)
    for parameter in model.parameters():  # the policy has moved a little away from its reference
        parameter.assign_(np.round(parameter.numpy() + _digits(rng, parameter.shape) / 20, 2))

    def loss() -> Tensor:
        logits = model(ids)  # (2, T, V)
        logps = sequence_logps(logits, labels)  # (2,)
        losses, _, _ = dpo_loss(logps[:1], logps[1:], reference[:1], reference[1:], beta=0.5)
        return ops.mean(losses)

    texts = [f"{PROMPT} {answer}".split()[:-1] for answer in (CHOSEN, REJECTED)]
    return Explorable(
        loss,
        model,
        "A DPO pair",
        f"After '{PROMPT}' the answer '{CHOSEN}' is preferred to '{REJECTED}'. The loss compares "
        "by how much each has become more likely than under a reference model. Its gradient raises "
        "the one and lowers the other by the same factor.",
        {"rows": texts, "vocabulary": VOCABULARY},
    )


EXPLORABLE: dict[str, Callable[[], Explorable]] = {"gpt": gpt, "lora": lora, "dpo": dpo}


def _trained(config: GPTConfig, steps: int) -> GPT:
    """A model that has seen TEXT a few times, its weights rounded to two digits."""
    model = GPT(config, seed=1)
    for parameter in model.parameters():
        if parameter.ndim == 2:  # larger than usual: so few channels add up to little otherwise
            parameter.assign_(parameter.numpy() * 8)
    ids, T = _ids(TEXT), config.block_size
    rng = np.random.default_rng(0)
    with use_kernels("reference"):  # for so small a model faster than compiling kernels
        for _ in range(steps):
            starts = rng.integers(0, len(ids) - T, size=(4, 1))
            windows = ids[starts + np.arange(T + 1)]
            model.loss(windows[:, :-1], windows[:, 1:]).backward()
            for parameter in model.parameters():
                parameter.assign_(parameter.numpy() - RATE * parameter.grad.numpy())
                parameter.zero_grad()
    for parameter in model.parameters():
        parameter.assign_(np.round(parameter.numpy(), 2))
    return model


def _ids(text: str) -> np.ndarray:
    return np.array([VOCABULARY.index(word) for word in text.split()])


def _digits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers with one digit after the point."""
    return np.round(rng.standard_normal(shape), 1).astype(np.float32)
