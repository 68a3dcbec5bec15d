"""What the stages of a pipeline are told: the options of the commands that they are.

``tiny`` is made for ten minutes on two cores; ``smoke`` shows in seconds that everything works.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """The options that differ from the commands' defaults.

    vocab_size: with the two marks of the chat format. longest: characters of a signature and its
    docstring together. pairs: rows of preferences to learn from. questions: at most so many of each
    kind are asked. texts: bytes of held-out text that are read for bits per byte.
    """

    vocab_size: int
    longest: int
    pairs: int
    questions: int
    texts: int
    train: dict[str, Any]
    sft: dict[str, Any]
    dpo: dict[str, Any]
    sample_tokens: int = 60


PRESETS = {
    "tiny": Preset(
        vocab_size=4096,
        longest=200,
        pairs=3_200,
        questions=300,
        texts=200_000,
        train={
            "preset": "llama-tiny", "eval_every": 190, "save_every": 190,
        },
        sft={
            "batch_size": 16, "lr": 1e-3, "warmup_steps": 20, "epochs": 2.0, "min_lr_ratio": 0.05,
            "eval_every": 200, "save_every": 200, "weight_decay": 0.1, "sample_tokens": 48,
            "max_length": 256,
        },
        dpo={
            "batch_size": 16, "lr": 5e-5, "warmup_steps": 20, "epochs": 1.0, "eval_every": 50,
            "save_every": 100, "sample_tokens": 48, "max_length": 256, "beta": 0.1,
        },
    ),
    "smoke": Preset(
        vocab_size=400,
        longest=100,
        pairs=40,
        questions=8,
        texts=2_000,
        train={
            "n_layer": 1, "n_head": 2, "n_embd": 16, "steps": 4, "batch_size": 2, "eval_every": 2,
            "save_every": 2, "eval_batches": 1, "sample_tokens": 8,
        },
        sft={
            "batch_size": 4, "lr": 1e-3, "steps": 4, "eval_every": 2, "save_every": 2,
            "sample_tokens": 4, "samples": 1, "max_length": 256,
        },
        dpo={
            "batch_size": 4, "lr": 1e-3, "steps": 4, "eval_every": 2, "save_every": 2,
            "sample_tokens": 4, "samples": 1, "max_length": 256,
        },
        sample_tokens=8,
    ),
}  # fmt: skip
