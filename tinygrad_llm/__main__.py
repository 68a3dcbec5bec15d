"""``tinygrad-llm`` and ``python -m tinygrad_llm``: the command line (cli.py) as a process.

Signals are handled before anything heavy is imported, which takes longer than most commands.
"""

import sys

from tinygrad_llm.machine import interrupt


def program() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        interrupt.end_program_at_signals()
        from tinygrad_llm.cli import main

        code = main()
    except BaseException:
        # A stop in the middle of an import, which may turn it into an error of another kind.
        number = interrupt.stopped_by()
        if number is None:
            raise
        code = 128 + number
    interrupt.ignore_signals()
    sys.exit(code)


if __name__ == "__main__":
    program()
