"""Whether a training run fits into this machine's memory, computed before the work begins.

A system that promises memory it does not have (Linux does) would kill the process later, without a
message.
"""

import os
from dataclasses import replace
from typing import Any

from tinygrad_llm.config import LlamaConfig, ModelConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.summary import activation_floats, parameter_count

FLOAT, BF16 = 4, 2  # bytes of a number
STATE = 4  # floats per parameter: itself, its gradient, and AdamW's two moments
IDS = 16  # bytes of a token's id and its target; a step draws all its micro-batches at once


def training_bytes(
    config: ModelConfig,
    batch_size: int,
    grad_accumulation: int = 1,
    recompute: bool = False,
    activations: str = "float32",
) -> int:
    """The least memory that training needs: parameters' state, saved activations, and ids.

    With ``recompute`` these are the activations of one block, and the inputs of all.
    """
    tokens = batch_size * config.block_size
    per_token = activation_floats(config)
    if recompute:
        none: Any = {"sliding_layers": None, "rope_layers": None}  # one entry for each layer
        one = replace(config, n_layer=1, **(none if isinstance(config, LlamaConfig) else {}))
        per_token = activation_floats(one) + config.n_layer * config.n_embd
    kept = per_token * (FLOAT if activations == "float32" else BF16)
    return FLOAT * STATE * parameter_count(config) + tokens * (kept + IDS * grad_accumulation)


def check_memory(
    config: ModelConfig,
    batch_size: int,
    grad_accumulation: int = 1,
    recompute: bool = False,
    activations: str = "float32",
) -> None:
    """Raise UserError if training needs more memory than this machine has."""
    available = physical_memory()
    needed = training_bytes(config, batch_size, grad_accumulation, recompute, activations)
    if available is not None and needed > available:
        raise UserError(
            f"training this model needs at least {needed / 2**30:,.1f} GiB of memory, and this "
            f"machine has {available / 2**30:,.1f}: choose a smaller model, batch_size (it is "
            f"{batch_size}), block_size (it is {config.block_size}) or grad_accumulation (it is "
            f"{grad_accumulation})" + ("" if recompute else ", or try --recompute")
        )


def physical_memory() -> int | None:
    """Bytes of main memory; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
