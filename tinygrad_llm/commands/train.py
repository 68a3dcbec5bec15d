"""``tinygrad-llm train``: from a corpus to a model that writes, in one command.

    corpus -> tokenizer -> tokens -> model -> training -> evaluation -> sample, plot

``start.py`` begins a run and ``resume.py`` continues one. Each makes a ``Session``
(``session.py``), which does the steps; ``finish.py`` does what follows the last one.
"""

import os
import platform
import time

import numpy as np

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.resume import resume
from tinygrad_llm.commands.start import start
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.machine.process import keep_freed_memory
from tinygrad_llm.version import __version__


def run(options: TrainConfig) -> int:
    """Train, or continue a run; the exit code is 130 or 143 if a signal stopped it."""
    started = time.monotonic()
    keep_freed_memory()
    console = make_console()
    console.say(
        f"tinygrad-llm {__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, {os.cpu_count()} processors"
    )
    if options.resume is not None:
        return resume(console, options, started)
    return start(console, options.with_recipe(), started)
