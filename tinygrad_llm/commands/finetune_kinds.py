"""The kinds of fine-tuning that ``tinygrad-llm finetune`` has. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg, subcommand

from tinygrad_llm.commands.finetune_options import ClassifyOptions, FinetuneOptions

KINDS: dict[str, type[FinetuneOptions]] = {"classify": ClassifyOptions}
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
    """Fine-tune a model: classify; or continue a run: resume."""

    command: (
        Annotated[ClassifyOptions, subcommand("classify")]
        | Annotated[ResumeOptions, subcommand("resume")]
    )
