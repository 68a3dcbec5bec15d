"""From words to options: tyro, with the settings of this program."""

from collections.abc import Sequence
from typing import Any

from tinygrad_llm.commands.options import CommandLine

PROGRAM = "tinygrad-llm"
DESCRIPTION = (
    "A large language model from scratch: tokenizer, data, training and generation on NumPy arrays "
    "and a hand-written autograd engine. Start with `tinygrad-llm train`."
)


def parse_words(words: Sequence[str]) -> Any:
    """The command in ``words``. tyro ends the process for help, and for what it cannot parse."""
    import tyro

    return tyro.cli(
        CommandLine,
        prog=PROGRAM,
        description=DESCRIPTION,
        args=list(words),
        config=(
            tyro.conf.PositionalRequiredArgs,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.FlagCreatePairsOff,
        ),
    ).command
