"""A trainer of a tiny model, with a console and checkpoints that record their calls."""

import numpy as np

from tinygrad_llm.config import GPTConfig, TrainConfig
from tinygrad_llm.data import Loader
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.metrics import MetricsWriter
from tinygrad_llm.training.next_tokens import NextTokens
from tinygrad_llm.training.optim import AdamW
from tinygrad_llm.training.trainer import Trainer

SHAPE = GPTConfig(vocab_size=257, block_size=8, n_layer=2, n_head=2, n_embd=8, dropout=0.1)
TOKENS = np.tile(np.arange(40, dtype=np.uint16), 20)


class Quiet:
    """A console that records what it is asked to print."""

    def __init__(self):
        self.lines, self.running = [], False

    def start(self, done, total):
        self.running = True

    def step(self, line, loss, note):
        self.lines.append(line)

    def stop(self):
        self.running = False


class NoCheckpoints:
    """Records what was to be saved."""

    def __init__(self):
        self.saved = []

    def save(self, model, arrays, state, best_step=None):
        self.saved.append((state["step"], best_step))


def options(**changes):
    defaults = {"steps": 6, "batch_size": 3, "lr": 1e-2, "warmup_steps": 2, "dropout": 0.1}
    return TrainConfig(
        preset="tiny", **{**defaults, "eval_every": 2, "save_every": 2, **changes}
    ).with_recipe()


def trainer(
    tmp_path,
    config=None,
    model=None,
    loader=None,
    checkpoints=None,
    shape=SHAPE,
    optimizer=AdamW,
    **others,
):
    config = config or options()
    model = model or GPT(shape, seed=5)
    loader = loader or Loader(TOKENS, config.batch_size, shape.block_size, seed=7)
    return Trainer(
        model,
        NextTokens(
            model,
            loader,
            TOKENS[:100],
            np.ones(shape.vocab_size, np.int64),
            grad_accumulation=config.grad_accumulation,
            eval_batches=config.eval_batches,
        ),
        optimizer(model.named_parameters(), weight_decay=0.1),
        config,
        checkpoints=checkpoints or NoCheckpoints(),
        metrics=MetricsWriter(tmp_path / "metrics.jsonl"),
        console=Quiet(),
        **others,
    )


def weights(model):
    return {name: array.copy() for name, array in model.state_dict().items()}
