"""What a checkpoint of a fine-tuned model is, and how a run that continues gets its weights back.

    all weights trained     a model directory
    LoRA                    an adapter directory in PEFT's format, and the trained parameters once
                            more, under our names: that file is what a run continues from

The model that LoRA adapts is not copied: run.json names it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finetune_parts import Base
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.lora import add_lora, save_adapter
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.model.module import Module
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.pretrained.save import save_pretrained
from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors

TRAINED = "training_weights.safetensors"
"""The trained parameters in a checkpoint of LoRA."""

Save = Callable[[Any, Path], None]


def adapt(model: Module, options: FinetuneOptions) -> None:
    """Put the adapters that the options ask for on a model; without any, nothing changes."""
    if options.lora_r is None:
        return
    targets: Any = options.lora_targets
    if "," in targets:
        targets = [name.strip() for name in targets.split(",")]
    add_lora(
        model, options.lora_r, options.lora_alpha, targets, options.lora_dropout,
        options.use_rslora, options.use_dora, seed=options.seed,
    )  # fmt: skip


def save_and_load(base: Base, options: FinetuneOptions) -> tuple[Save, Save]:
    """How a language model is saved into a folder, and how it gets the weights in one."""
    if options.lora_r is None:
        return lambda model, folder: save_pretrained(model, base.tokenizer, folder), load_model

    def save(model: Any, folder: Path) -> None:
        save_adapter(model, folder, base=str(base.path))
        save_trained(model, folder)

    return save, load_trained


def load_model(model: Any, folder: Path) -> None:
    """Give ``model`` all weights of a model directory."""
    model.load_state_dict(load_pretrained(folder)[0].state_dict())


def save_trained(model: Any, folder: Path) -> None:
    """Write the parameters that are trained, by our names."""
    write_tensors(folder / TRAINED, {name: p.numpy() for name, p in trainable_parameters(model)})


def load_trained(model: Any, folder: Path) -> None:
    """Give ``model`` the parameters of ``save_trained``. Raises UserError if they do not fit."""
    path = folder / TRAINED
    tensors, parameters = read_tensors(path), dict(trainable_parameters(model))
    for name in sorted({*tensors, *parameters}):
        found = tensors[name].shape if name in tensors else None
        expected = parameters[name].shape if name in parameters else None
        if found != expected:
            raise UserError(
                f"{path}: {name} has shape {found}, but the run trains one of shape {expected}: "
                "they do not belong together"
            )
        parameters[name].assign_(tensors[name])
