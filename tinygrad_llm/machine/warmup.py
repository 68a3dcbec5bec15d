"""Compile the kernels before the clock of the training starts.

numba compiles a kernel on its first call, for the types of its arguments and not for their sizes.
So one step of the smallest model compiles everything that a large one needs; it has its own weights
and random numbers, so the run that follows is the same with and without it. Compiled kernels are
stored on disk: only the first run on a machine waits. CuPy works the same way.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autograd import Parameter, no_grad, ops
from tinygrad_llm.config import LlamaConfig, ModelConfig
from tinygrad_llm.machine.precision import FLOAT32, Precise, computing_in
from tinygrad_llm.model import build_model
from tinygrad_llm.training.optim import AdamW, Optimizer, global_norm
from tinygrad_llm.training.optim.optimizer import Params

LARGE = 256


def compile_kernels(
    config: ModelConfig,
    device: str = "cpu",
    make_optimizer: Callable[[Params], Optimizer] = AdamW,
    options: Precise = FLOAT32,
) -> float:
    """Run one training step, one evaluation and one prediction of a tiny model of this kind.

    The step and the evaluation are in the precision of ``options``. Returns the seconds it took:
    many if kernels had to be compiled, few if they were loaded.
    """
    start = time.perf_counter()
    model = build_model(_smallest(config)).to(device)
    optimizer = make_optimizer(model.named_parameters())
    ids = np.zeros((2, 8), dtype=np.int64)  # several rows: of one, some arrays would be views
    with computing_in(options):
        loss = model.loss(ids, ids, reduction="sum")
        loss.backward(np.asarray(1 / ids.size, dtype=loss.dtype))
    global_norm(model.parameters())
    optimizer.step()
    model.eval()
    with no_grad():
        with computing_in(options):
            model.loss(ids, ids, reduction="sum")
        model.next_token_logits(ids)
    if device == "cpu":
        with computing_in(options):
            _large_product()
    return time.perf_counter() - start


def _large_product() -> None:
    """A layer so large that its products are the kernels' own: a small model's are BLAS's."""
    zeros = np.zeros((LARGE, LARGE), np.float32)
    ops.linear(Parameter(zeros), Parameter(zeros)).backward(zeros)


def _smallest(config: ModelConfig) -> ModelConfig:
    """The smallest model whose step calls the same kernels."""
    sizes: Any = {"vocab_size": 16, "block_size": 8, "n_layer": 1, "n_head": 1, "n_embd": 8}
    if isinstance(config, LlamaConfig):
        sizes |= {"n_kv_head": 1, "head_dim": 8, "n_hidden": 8}
        sizes |= {"sliding_layers": None, "rope_layers": None}
    return replace(config, **sizes)
