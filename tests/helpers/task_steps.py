"""Steps of a fine-tuning task through the real Trainer, without files."""

from dataclasses import dataclass

import numpy as np

from tinygrad_llm.finetune.examples import IGNORE, Example
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.training.optim import AdamW
from tinygrad_llm.training.trainer import Trainer


def row(rng, vocab_size, prompt, answer):
    """An example of random ids: ``prompt`` tokens, and the labels of ``answer`` more."""
    tokens = rng.integers(0, vocab_size, prompt + answer)
    labels = tokens[1:].copy()
    labels[: prompt - 1] = IGNORE
    return Example(tokens[:-1], labels)


class Quiet:
    """A console that says nothing."""

    def start(self, done, total): ...

    def step(self, line, loss, note): ...

    def stop(self): ...

    def say(self, text): ...


@dataclass
class Options:
    steps: int = 6
    lr: float = 1e-2
    min_lr_ratio: float = 0.1
    warmup_steps: int = 2
    grad_clip: float = 1.0
    eval_every: int = 2
    save_every: int = 100
    precision: str = "float32"
    activations: str = "float32"


def trainer_of(task, **options):
    """A trainer that writes nothing."""
    optimizer = AdamW(trainable_parameters(task.model), weight_decay=0.1)
    return Trainer(
        task.model, task, optimizer, Options(**options),
        checkpoints=None, metrics=None, console=Quiet(),
    )  # fmt: skip


def steps(trainer, count):
    """The metrics of ``count`` steps, without those that depend on the clock."""
    lines = []
    for _ in range(count):
        line = trainer.train_step()
        del line["tokens_per_second"]
        lines.append(line)
    return lines


def continues_bit_for_bit(make_task, count=2):
    """Whether ``count`` steps after a saved state are those of a run that never stopped.

    ``make_task`` makes the task with its model, always the same.
    """
    whole = trainer_of(make_task())
    first = steps(whole, count)
    arrays, state = whole.state()
    weights = {name: array.copy() for name, array in whole.model.state_dict().items()}
    arrays = {name: array.copy() for name, array in arrays.items()}
    expected = steps(whole, count)

    other = trainer_of(make_task())
    assert steps(other, 1) == first[:1]  # both begin alike
    other = trainer_of(make_task())
    other.model.load_state_dict(weights)
    other.load_state(arrays, state)
    assert steps(other, count) == expected
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(array, other.model.state_dict()[name], err_msg=name)
    return True
