"""After the last step: the whole validation text, the plot, a sample, the report.

The run is trained and saved by then, and nothing here may endanger it. A failure is reported in one
sentence, the rest is still done, and the exit code is 1; ``train --resume`` of the finished run
makes what is missing.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_llm.commands.console import PlainConsole, clock
from tinygrad_llm.commands.generate import stream_text
from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import Prepared
from tinygrad_llm.files import remove_partials
from tinygrad_llm.machine.interrupt import exit_code
from tinygrad_llm.model import Model
from tinygrad_llm.terminal import one_line, shell_command
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import read_index
from tinygrad_llm.training.metrics import read_metrics
from tinygrad_llm.training.plot import plot_loss
from tinygrad_llm.training.trainer import Trainer

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


def finish(
    console: PlainConsole,
    trainer: Trainer,
    run: Path,
    config: TrainConfig,
    prepared: Prepared,
    started: float,
) -> int:
    """Evaluate, plot, write a sample and say where everything is; returns the exit code.

    ``started`` is when the command began, by ``time.monotonic``.
    """
    # The plot comes before the sample: if the reader presses Ctrl-C, all files are there.
    tokenizer = trainer.checkpoints.tokenizer

    def sample() -> None:
        prompt = sample_prompt(config, tokenizer, prepared)
        _write_sample(console, trainer.model, tokenizer, prompt, config)

    def report() -> None:
        _report(console, run, sample_prompt(config, tokenizer, prepared), started)

    tasks: dict[str, Callable[[], None]] = {
        "the final evaluation": lambda: console.say(f"\n{trainer.final_evaluation()}"),
        "the plot": lambda: _plot(run, config),
        "the sample": sample,
        "the report": report,
    }
    return do_all(tasks, run)


def make_missing(console: PlainConsole, run: Path, config: TrainConfig) -> int:
    """Draw the plot of a finished run if it is missing; returns the exit code.

    Also removes what a killed process may have left.
    """
    remove_partials(run)
    remove_partials(run / runs.CHECKPOINTS)
    if (run / runs.PLOT_FILE).exists():
        return 0

    def draw() -> None:
        _plot(run, config)
        console.say(f"plot        {run / runs.PLOT_FILE}")

    return do_all({"the plot": draw}, run)


def do_all(tasks: Mapping[str, Callable[[], None]], run: Path) -> int:
    """Do every task, even if others fail; returns 1 if one did, 130 if Ctrl-C stopped it."""
    code = 0
    for name, task in tasks.items():
        try:
            task()
        except KeyboardInterrupt as stop:
            _report_failure(f"stopped; the run is trained and saved, without {name}", run)
            return exit_code(stop)
        except BrokenPipeError:  # no one reads the report any more
            raise
        except Exception as error:  # of any library: the run's other results matter more
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _report_failure(f"{name} failed ({reason}); the run is trained and saved", run)
            code = 1
    return code


def _report_failure(sentence: str, run: Path) -> None:
    command = shell_command("tinygrad-llm", "train", "--resume", run)
    print(one_line(f"error: {sentence}: `{command}` makes what is missing"), file=sys.stderr)


# --- the tasks ---------------------------------------------------------------------------------


def _plot(run: Path, config: TrainConfig) -> None:
    title = f"{config.preset} on {Path(config.data).name}"
    plot_loss(read_metrics(run / runs.METRICS_FILE), run / runs.PLOT_FILE, title)


def _write_sample(
    console: PlainConsole, model: Model, tokenizer: "Tokenizer", prompt: str, config: TrainConfig
) -> None:
    if not config.sample_tokens:
        return
    options = SamplingOptions(max_new_tokens=config.sample_tokens, seed=config.seed)
    console.say(
        f"\na sample (temperature {options.temperature}, top-k {options.top_k}, "
        f"seed {options.seed}):\n"
    )
    for piece in stream_text(model, tokenizer, prompt, options):
        console.write(piece)
    console.say("\n")


def sample_prompt(config: TrainConfig, tokenizer: "Tokenizer", prepared: Prepared) -> str:
    """The start of the sample: by default the first line of the validation text, or "def" for code.

    It does not end with a space: the next token begins with it.
    """
    if config.sample_prompt is not None:
        return config.sample_prompt
    if config.data == "stdlib":
        return "def"
    beginning = tokenizer.decode(prepared.validation[:16])
    lines = beginning.partition("<|endoftext|>")[0].rstrip("\ufffd").strip().splitlines()
    return lines[0] if lines else ""


def _report(console: PlainConsole, run: Path, prompt: str, started: float) -> None:
    index = read_index(run)
    folder = run / runs.CHECKPOINTS
    console.say(f"checkpoint  {folder / index['last']}")
    if index["best"] != index["last"]:
        console.say(f"best        {folder / index['best']} (lowest validation loss)")
    if (run / runs.PLOT_FILE).exists():
        console.say(f"plot        {run / runs.PLOT_FILE}")
    option = [f"--prompt={prompt}"] if prompt.startswith("-") else ["--prompt", prompt]
    console.say(f"generate    {shell_command('tinygrad-llm', 'generate', run, *option)}")
    console.say(f"total       {clock(time.monotonic() - started)}")
