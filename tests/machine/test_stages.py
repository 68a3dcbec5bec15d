"""The stages of performance: they name what a training step runs, and turn it on one by one."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autograd import use_kernels
from autograd.kernels.dispatch import Kernel, folders
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.machine.stages import STAGES, stage_kernels
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.optim import AdamW

ROOT = Path(__file__).parents[2]
SHAPE = GPTConfig(vocab_size=16, block_size=8, n_layer=1, n_head=2, n_embd=8, dropout=0.1)
NAMED = [name for stage in STAGES for name in stage.kernels]


def train_step(**changes):
    model = GPT(replace(SHAPE, **changes))
    ids = np.random.default_rng(0).integers(0, 16, (2, 8))
    model.loss(ids, ids).backward()
    AdamW(model.named_parameters()).step()


def test_the_stages_name_what_a_training_step_runs_and_nothing_else():
    assert len(set(NAMED)) == len(NAMED)
    with use_kernels("cuda", only=set(folders()) - set(NAMED)):  # would raise, were they called
        train_step()
    for name in NAMED:
        with use_kernels("cuda", only={name}), pytest.raises(RuntimeError, match=f"^{name}\\."):
            train_step()


def test_a_stage_is_one_change_and_says_where_it_is():
    for number, stage in enumerate(STAGES):
        assert bool(stage.kernels) + bool(stage.setting) == (number > 0)
        for name in stage.kernels:
            assert f"{name}/cpu.py" in stage.where
    for path in ("autograd/kernels/*/reference.py", "tinygrad_llm/machine/process.py"):
        assert list(ROOT.glob(path)) and any(path in stage.where for stage in STAGES)


def test_later_kernels_are_off_and_earlier_ones_on(monkeypatch):
    considered = set()  # ops whose fast kernel was considered: none that must be its reference
    refusal = Kernel.refusal

    def spy(kernel, *args, **kwargs):
        considered.add(kernel.op)
        return refusal(kernel, *args, **kwargs)

    monkeypatch.setattr(Kernel, "refusal", spy)
    for number in range(len(STAGES)):
        considered.clear()
        with stage_kernels(number):
            train_step()
        assert considered == {name for stage in STAGES[: number + 1] for name in stage.kernels}


def test_the_settings_are_made_before_numpy_is_imported():
    program = ROOT / "tests" / "scripts" / "settings_before_numpy.py"
    subprocess.run([sys.executable, program], check=True, env={"PYTHONPATH": str(ROOT)})
