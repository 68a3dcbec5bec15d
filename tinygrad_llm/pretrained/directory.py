"""A model directory in Hugging Face's layout: what is the same for every model that is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.model.module import Module
from tinygrad_llm.pretrained.encode import DTYPES
from tinygrad_llm.pretrained.tensor_file import write_tensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"
ADAPTER = "adapter_config.json"
"""What an adapter in PEFT's format has in place of a config."""
SCORE = "score.weight"
"""The output layer of a classifier, which has no other."""
CLASSIFIER = "ForSequenceClassification"
"""How transformers' names of its classifiers end."""
TORCH_NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
"""What weights can be stored as in a model directory: the short name, as GGUF and `export` have it,
and PyTorch's."""


def float32_arrays(model: Module) -> dict[str, np.ndarray]:
    """The parameters of ``model`` by name. Raises ValueError unless all are float32, and for a
    model with adapters."""
    for name, parameter in model.named_parameters():
        if ".base_layer." in name:
            raise ValueError(
                f"{name} belongs to a layer with an adapter: merge the adapter with "
                "merge_lora(model) first, or save it alone with save_adapter"
            )
        if parameter.dtype != np.float32:
            raise ValueError(
                f"tensor {name} is {parameter.dtype}, and model directories hold float32: convert "
                "with model.astype(np.float32)"
            )
    return {name: parameter.numpy() for name, parameter in model.named_parameters()}


def write_model(
    directory: Path, tensors: dict[str, np.ndarray], config: dict[str, Any], dtype: str = "float32"
) -> None:
    """Write weights and config into ``directory``, which is created if need be.

    ``dtype`` is what the weights are stored as, by either name in TORCH_NAMES. Each file is written
    under another name, synced and renamed; other files in the directory stay. The config is written
    last: if there is one, the weights are complete.
    """
    short = {name: short for short, name in TORCH_NAMES.items()}.get(dtype, dtype)
    if short not in TORCH_NAMES:
        raise UserError(
            f"a model directory cannot hold {dtype} weights: possible are "
            f"{', '.join(TORCH_NAMES.values())} (or {', '.join(TORCH_NAMES)})"
        )
    directory.mkdir(parents=True, exist_ok=True)
    write_tensors(directory / WEIGHTS, tensors, {"format": "pt"}, DTYPES[short])
    config = {**config, "torch_dtype": TORCH_NAMES[short], "dtype": TORCH_NAMES[short]}
    write_atomically(directory / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def check_config_exists(path: Path) -> None:
    """Raise UserError if there is no config at ``path``."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: is {path.parent} a model directory?")


def is_classifier(directory: Path) -> bool:
    """Whether the config of a model directory says that its output layer scores classes."""
    options = read_json(directory / CONFIG, {"architectures?": ([str], None), ...: object})
    return any(name.endswith(CLASSIFIER) for name in options.get("architectures") or [])
