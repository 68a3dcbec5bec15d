"""``python -m tinygrad_llm`` is the command line (cli.py)."""

import sys

from tinygrad_llm.cli import main

if __name__ == "__main__":
    sys.exit(main())
