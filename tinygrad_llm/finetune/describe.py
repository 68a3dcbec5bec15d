"""What an adapter is: the facts that ``tinygrad-llm info MODEL --adapter DIR`` shows."""

from pathlib import Path

from tinygrad_llm.finetune.adapter_files import load_adapter
from tinygrad_llm.finetune.adapters import lora_layers
from tinygrad_llm.finetune.peft_config import CONFIG, read_config
from tinygrad_llm.model.freezing import kinds, training_cost
from tinygrad_llm.pretrained.load import load_stored


def describe_adapter(path: Path, folder: Path) -> list[tuple[str, str]]:
    """(name, value) of every fact about an adapter for the model at ``path``.

    It is put on the model, so everything that would be refused then is refused here too.
    """
    config = read_config(folder / CONFIG)
    model, _ = load_stored(path)
    load_adapter(model, folder)
    layers, cost = lora_layers(model), training_cost(model)
    ranks = sorted({layer.adapters[layer.active].r for layer in layers.values() if layer.active})
    kind = f"{'rsLoRA' if config.use_rslora else 'LoRA'}{' and DoRA' if config.use_dora else ''}"
    return [
        ("adapter", str(folder)),
        ("method", f"{kind}, r {', '.join(map(str, ranks))}, alpha {config.alpha:g}"),
        ("layers", f"{len(layers)}: {', '.join(kinds(layers))}"),
        ("trained", f"{cost.trained:,} parameters, {cost.share:.2%} of all with them"),
        ("trained on", config.base or "not named in the files"),
    ]
