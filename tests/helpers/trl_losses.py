"""Losses as TRL's trainers compute them, without a run: no data set, no tokenizer, no files.

A trainer is made without its ``__init__`` and given the attributes that its loss method reads.
These are no public names of TRL, so one version of it is expected. Call everything here within
``exact()`` of transformers_models.py: TRL too computes log-probabilities in float32.
"""

import collections
import importlib.metadata
import os
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from transformers_models import exact

VERSION = "1.16."
STATISTICS = ("log_probs", "entropy", "mean_logits", "is_top1")


def trainers():
    """A namespace of TRL's trainer classes; skips the test where they cannot be imported."""
    pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("trl", reason="TRL is not installed: nothing to compare with")
    version = importlib.metadata.version("trl")
    if not version.startswith(VERSION):
        pytest.skip(f"this reads the inside of TRL {VERSION}x, and {version} is installed")
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from trl import DPOTrainer, GRPOTrainer, KTOTrainer, RewardTrainer, SFTTrainer
            from trl.experimental.orpo.orpo_trainer import ORPOTrainer
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"TRL cannot be imported: {error}")
    return SimpleNamespace(
        sft=SFTTrainer, dpo=DPOTrainer, orpo=ORPOTrainer, kto=KTOTrainer, reward=RewardTrainer,
        grpo=GRPOTrainer,
    )  # fmt: skip


def bare(trainer, model, args=None, **attributes):
    """A trainer of a class of TRL that can compute the loss of ``model``, and nothing else."""
    from accelerate import Accelerator

    made = trainer.__new__(trainer)
    vars(made).update(
        model=model,
        accelerator=Accelerator(cpu=True),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, **(args or {})),
        aux_loss_enabled=False,
        _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
        **attributes,
    )
    return made


@contextmanager
def exact_backward():
    """float64 also in the backward of TRL's last layer, which runs outside of ``exact()``."""
    from trl.kernels import ChunkedLogProbFunction

    original = ChunkedLogProbFunction.backward

    def backward(*args):
        with exact():
            return original(*args)

    ChunkedLogProbFunction.backward = staticmethod(backward)
    try:
        yield
    finally:
        ChunkedLogProbFunction.backward = staticmethod(original)


def logged(trainer):
    """The metrics of the last call of its loss."""
    return {name: values[-1] for name, values in trainer._metrics["train"].items()}


def with_statistics(model):
    """A model of transformers that returns log-probabilities and statistics, as TRL changes it."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, outputs=STATISTICS)
    return model.train()
