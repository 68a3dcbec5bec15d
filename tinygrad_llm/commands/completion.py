"""``tinygrad-llm completion SHELL``: a script for the shell, made by tyro from the options."""

import contextlib
import io
import re

from tinygrad_llm.commands.options import CompletionOptions
from tinygrad_llm.commands.parsing import parse_words


def run(options: CompletionOptions) -> int:
    """Print the script."""
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        parse_words(["--tyro-print-completion", options.shell])
    print(_descriptions_on_one_line(script.getvalue()), end="")
    return 0


def _descriptions_on_one_line(script: str) -> str:
    """A shell takes each line of a description for a suggestion of its own."""
    return re.sub(r"^COMPLETION_SPEC = .*", lambda m: m[0].replace(r"\n", " "), script, flags=re.M)
