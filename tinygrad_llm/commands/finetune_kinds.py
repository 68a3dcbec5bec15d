"""The kinds of fine-tuning that ``tinygrad-llm finetune`` has. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg, subcommand

from tinygrad_llm.commands.finetune_options import ClassifyOptions, FinetuneOptions
from tinygrad_llm.commands.finetune_row_options import (
    DPOOptions,
    GRPOOptions,
    RewardOptions,
    SFTOptions,
)

KINDS: dict[str, type[FinetuneOptions]] = {
    kind.task: kind
    for kind in (ClassifyOptions, SFTOptions, DPOOptions, RewardOptions, GRPOOptions)
}
"""Every kind by its name. The kind ``x`` is made in commands/finetune_x.py."""


@dataclass(frozen=True)
class ResumeOptions:
    """Continue a fine-tuning run, as train --resume does."""

    resume: Annotated[str, arg(metavar="RUN")]
    """A run of any kind, or one of its checkpoints."""
    no_verify: bool = False
    """Use the run's files without comparing them with their checksums."""


@dataclass(frozen=True)
class FinetuneCommands:
    """Fine-tune a model: classify, sft, dpo, reward, grpo; or continue a run: resume."""

    command: (
        Annotated[ClassifyOptions, subcommand("classify")]
        | Annotated[SFTOptions, subcommand("sft")]
        | Annotated[DPOOptions, subcommand("dpo")]
        | Annotated[RewardOptions, subcommand("reward")]
        | Annotated[GRPOOptions, subcommand("grpo")]
        | Annotated[ResumeOptions, subcommand("resume")]
    )
