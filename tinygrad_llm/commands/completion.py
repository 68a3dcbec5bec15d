"""``tinygrad-llm completion SHELL``: a script for the shell, made by tyro from the options."""

from tinygrad_llm.commands.options import CompletionOptions
from tinygrad_llm.commands.parsing import parse_words


def run(options: CompletionOptions) -> int:
    """Print the script."""
    parse_words(["--tyro-print-completion", options.shell])  # raises SystemExit after printing
    return 0
