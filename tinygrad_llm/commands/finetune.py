"""``tinygrad-llm finetune KIND MODEL --data FILE``: teach a pretrained model something more.

A fine-tuning run is a run like any other: a folder with run.json, metrics.jsonl, checkpoints and
pictures, which ``train --resume`` continues. ``finetune_session.py`` starts and continues it, and
the kinds differ in what they put into it (``finetune_parts.py``).
"""

import time

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.finetune_kinds import ResumeOptions
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finetune_session import start
from tinygrad_llm.commands.resume import resume
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.machine.process import keep_freed_memory


def run(options: FinetuneOptions) -> int:
    """Fine-tune, or continue a run; the exit code is 130 or 143 if a signal stopped it."""
    started = time.monotonic()
    keep_freed_memory()
    console = make_console()
    if options.resume is not None:
        return resume(console, options, started)
    return start(console, options, started)


def continue_run(options: ResumeOptions) -> int:
    """Continue a run of any kind."""
    started = time.monotonic()
    keep_freed_memory()
    config = TrainConfig(resume=options.resume, no_verify=options.no_verify)
    return resume(make_console(), config, started)
