"""What a session of ``train`` works with: a model that learns from the next tokens of a corpus."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finish import finish
from tinygrad_llm.commands.session import SavedState, Session
from tinygrad_llm.config import ModelConfig, TrainConfig
from tinygrad_llm.data import DataLoader, Prepared, check_tokens
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Model
from tinygrad_llm.training.callbacks import EarlyStopping
from tinygrad_llm.training.checkpoint import Checkpoints
from tinygrad_llm.training.logs import make_log
from tinygrad_llm.training.next_tokens import NextTokens
from tinygrad_llm.training.optim.from_options import make_optimizer
from tinygrad_llm.training.schedule import Schedule, schedule
from tinygrad_llm.training.trainer import Trainer

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


def make_loader(config: TrainConfig, model: ModelConfig, prepared: Prepared) -> DataLoader:
    """The training batches; raises UserError for tokens that do not suit the model."""
    assert config.batch_size is not None
    check_tokens(prepared.validation, model.vocab_size, "the validation tokens")
    if len(prepared.validation) < 2:
        raise UserError(
            f"the validation text has {len(prepared.validation)} token, expected at least 2; use "
            "a longer text"
        )
    return DataLoader(
        prepared.train, config.batch_size, model.block_size, config.seed,
        vocab_size=model.vocab_size,
    )  # fmt: skip


def pretraining(
    console: PlainConsole,
    run: Path,
    config: TrainConfig,
    model: Model,
    tokenizer: "Tokenizer",
    prepared: Prepared,
    loader: DataLoader,
    started: float,
    saved: SavedState | None = None,
) -> Session:
    """The session of a run; ``started`` is when the command began, by ``time.monotonic``."""
    model.recompute = config.recompute
    task = NextTokens(
        model, loader, prepared.validation, tokenizer.token_bytes(),
        grad_accumulation=config.grad_accumulation, eval_batches=config.eval_batches,
        end_id=tokenizer.eot_id,
    )  # fmt: skip
    callbacks: list[Any] = [EarlyStopping(config.patience)] if config.patience else []
    log = make_log(config.log, run) if config.log is not None else None
    if log is not None:
        callbacks.append(log)

    def finish_all(trainer: Trainer) -> int:
        code = finish(console, trainer, run, config, prepared, started)
        if log is not None:
            log.close()  # with the final evaluation
        return code

    tokens = loader.batch_size * loader.block_size * config.grad_accumulation
    return Session(
        run, config, model, task, partial(make_optimizer, options=config),
        Checkpoints(run, tokenizer, keep=config.keep), console,
        finish=finish_all,
        step_size=f"{tokens:,} tokens{_passes(config, tokens, len(prepared.train))}", saved=saved,
        schedule=schedule_of(config),
        callbacks=callbacks,
    )  # fmt: skip


def _passes(config: TrainConfig, tokens: int, corpus: int) -> str:
    """How often the steps read the corpus, for the report."""
    assert config.steps is not None
    passes = config.steps * tokens / corpus
    return f" ({passes:.{1 if passes >= 10 else 2}f} passes over the corpus)"


def schedule_of(config: TrainConfig) -> Schedule:
    """The learning rate of a run's steps, counted from 0."""
    assert config.lr is not None and config.steps is not None and config.warmup_steps is not None
    return schedule(
        config.lr, config.steps, shape=config.schedule, warmup_steps=config.warmup_steps,
        floor=config.lr * config.min_lr_ratio,
    )  # fmt: skip
