"""Low-rank adaptation (Hu et al. 2021): what is trained is small, and the model stays as it is.

    add_lora(model, r=16, alpha=32)                  adapters on all linear layers but the output's
    optimizer = AdamW(trainable_parameters(model))   of model/freezing.py
    ...
    save_adapter(model, "adapter")                   the files of the library PEFT
    load_adapter(another, "adapter")
    merge_lora(another)                              a plain model again

docs/lora.md has the derivation. The mathematics is in lora_layer.py, the layers of a model in
adapters.py, the files in adapter_files.py and peft_config.py.
"""

from tinygrad_llm.finetune.adapter_files import load_adapter, save_adapter
from tinygrad_llm.finetune.adapters import (
    active_name,
    adapter_names,
    add_lora,
    disable_adapter,
    merge_lora,
    merged,
    set_adapter,
)
from tinygrad_llm.finetune.lora_layer import LoraLinear

__all__ = [
    "LoraLinear",
    "active_name",
    "adapter_names",
    "add_lora",
    "disable_adapter",
    "load_adapter",
    "merge_lora",
    "merged",
    "save_adapter",
    "set_adapter",
]
