"""After the last step of a fine-tuning run: samples, the final evaluation, pictures, the report.

As in ``finish.py``, the run is trained and saved by then: a failure is reported, the rest is still
done, and ``train --resume`` of the finished run draws the pictures that are missing.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tinygrad_llm.commands.console import PlainConsole, clock
from tinygrad_llm.commands.finetune_parts import Parts, Picture
from tinygrad_llm.commands.finish import do_all
from tinygrad_llm.files import remove_partials
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import read_index
from tinygrad_llm.training.trainer import Trainer


def finish(
    console: PlainConsole,
    trainer: Trainer,
    run: Path,
    parts: Parts,
    pictures: dict[str, Picture],
    started: float,
) -> int:
    """Do what the kind adds, evaluate, draw, and say where everything is; returns the exit code.

    ``started`` is when the command began, by ``time.monotonic``.
    """
    tasks: dict[str, Callable[[], None]] = {
        name: partial(task, run) for name, task in parts.after.items()
    }
    tasks["the final evaluation"] = lambda: console.say(f"\n{trainer.final_evaluation()}\n")
    tasks |= {f"the picture {name}": partial(draw, run) for name, draw in pictures.items()}
    tasks["the report"] = lambda: _report(console, run, parts, pictures, started)
    return do_all(tasks, run)


def make_missing(console: PlainConsole, run: Path, pictures: dict[str, Picture]) -> int:
    """Draw the pictures of a finished run that are missing; returns the exit code.

    Also removes what a killed process may have left.
    """
    remove_partials(run)
    remove_partials(run / runs.CHECKPOINTS)
    missing = {name: draw for name, draw in pictures.items() if not (run / name).exists()}
    tasks = {f"the picture {name}": partial(draw, run) for name, draw in missing.items()}
    code = do_all(tasks, run)
    for name in missing:
        if (run / name).exists():
            console.say(f"picture     {run / name}")
    return code


def _report(
    console: PlainConsole, run: Path, parts: Parts, pictures: dict[str, Picture], started: float
) -> None:
    index = read_index(run)
    folder = run / runs.CHECKPOINTS
    console.say(f"checkpoint  {folder / index['last']}")
    if index["best"] != index["last"]:
        console.say(f"best        {folder / index['best']} ({parts.best})")
    for name in pictures:
        if (run / name).exists():
            console.say(f"picture     {run / name}")
    for name, words in parts.advice.items():
        console.say(f"{name:<11} {shell_command('tinygrad-llm', *words, run)}")
    console.say(f"total       {clock(time.monotonic() - started)}")
