"""A model directory in Hugging Face's layout: what is the same for every model that is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.model.module import Module
from tinygrad_llm.pretrained.tensor_file import write_tensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def float32_arrays(model: Module) -> dict[str, np.ndarray]:
    """The parameters of ``model`` by name. Raises ValueError unless all are float32."""
    for name, parameter in model.named_parameters():
        if parameter.dtype != np.float32:
            raise ValueError(
                f"tensor {name} is {parameter.dtype}, and model directories hold float32: convert "
                "with model.astype(np.float32)"
            )
    return {name: parameter.numpy() for name, parameter in model.named_parameters()}


def write_model(directory: Path, tensors: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    """Write weights and config into ``directory``, which is created if need be.

    Each file is written under another name, synced and renamed; other files in the directory stay.
    The config is written last: if there is one, the weights are complete.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_tensors(directory / WEIGHTS, tensors, {"format": "pt"})
    config = {**config, "torch_dtype": "float32", "dtype": "float32"}
    write_atomically(directory / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def check_config_exists(path: Path) -> None:
    """Raise UserError if there is no config at ``path``."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: is {path.parent} a model directory?")
