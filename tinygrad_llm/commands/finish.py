"""What follows the last step: the whole validation text, the plot, a sample, the report.

The run is trained and saved by then, and nothing here may cost it. What fails is said in one
sentence, the rest is done all the same, and the exit code is 1; ``train --resume`` of the finished
run makes what is missing.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tinygrad_llm.commands.console import PlainConsole, clock
from tinygrad_llm.commands.generate import stream_text
from tinygrad_llm.config import GenerateConfig, TrainConfig
from tinygrad_llm.data import Prepared
from tinygrad_llm.files import remove_partials
from tinygrad_llm.machine.interrupt import exit_code
from tinygrad_llm.terminal import one_line, shell_command
from tinygrad_llm.training import checkpoint as ckpt, runs
from tinygrad_llm.training.metrics import read_metrics
from tinygrad_llm.training.plot import plot_loss
from tinygrad_llm.training.trainer import Trainer


def finish(
    console: PlainConsole, trainer: Trainer, run: Path, prepared: Prepared, begun: float
) -> int:
    """Evaluate, plot, write a sample and say where everything is; returns the exit code."""
    config, prompt = trainer.config, ""

    def evaluate() -> None:
        result = trainer.final_evaluation()
        console.say(f"\nvalidation, all {result.tokens:,} tokens: {result}")

    def sample() -> None:
        nonlocal prompt
        prompt = _sample_prompt(trainer, prepared)
        if config.sample_tokens:
            sampling = GenerateConfig(
                prompt=prompt, max_new_tokens=config.sample_tokens, seed=config.seed
            )
            _show_sample(console, trainer, sampling)

    # The plot comes before the sample: who presses Ctrl-C while reading has all files.
    works: dict[str, Callable[[], None]] = {
        "the final evaluation": evaluate,
        "the plot": lambda: _plot(run, config),
        "the sample": sample,
        "the report": lambda: _report(console, run, prompt, begun),
    }
    return _all(works, run)


def make_missing(console: PlainConsole, run: Path, config: TrainConfig) -> int:
    """Draw the plot of a finished run where it is missing; returns the exit code.

    What a killed process may have left is removed, too.
    """
    remove_partials(run)
    remove_partials(run / runs.CHECKPOINTS)
    if (run / runs.PLOT_FILE).exists():
        return 0

    def draw() -> None:
        _plot(run, config)
        console.say(f"plot        {run / runs.PLOT_FILE}")

    return _all({"the plot": draw}, run)


def _all(works: dict[str, Callable[[], None]], run: Path) -> int:
    """Do each of ``works``, whichever fail; 1 where one did, 130 where Ctrl-C stopped it."""
    code = 0
    for name, work in works.items():
        try:
            work()
        except KeyboardInterrupt as stop:
            _say(f"stopped; the run is trained and saved, without {name}", run)
            return exit_code(stop)
        except BrokenPipeError:  # nobody reads the report any more
            raise
        except Exception as error:  # of whatever library: the run's other results are worth more
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _say(f"{name} failed ({reason}); the run is trained and saved", run)
            code = 1
    return code


def _say(sentence: str, run: Path) -> None:
    command = shell_command("tinygrad-llm", "train", "--resume", run)
    print(one_line(f"error: {sentence}: `{command}` makes what is missing"), file=sys.stderr)


def _plot(run: Path, config: TrainConfig) -> None:
    title = f"{config.preset} on {Path(config.data).name}"
    plot_loss(read_metrics(run / runs.METRICS_FILE), run / runs.PLOT_FILE, title)


def _report(console: PlainConsole, run: Path, prompt: str, begun: float) -> None:
    index = ckpt.read_index(run)
    folder = run / runs.CHECKPOINTS
    console.say(f"checkpoint  {folder / index['last']}")
    if index["best"] != index["last"]:
        console.say(f"best        {folder / index['best']} (lowest validation loss)")
    if (run / runs.PLOT_FILE).exists():
        console.say(f"plot        {run / runs.PLOT_FILE}")
    option = [f"--prompt={prompt}"] if prompt.startswith("-") else ["--prompt", prompt]
    more = shell_command("tinygrad-llm", "generate", run, *option)
    console.say(f"write more  {more}")
    console.say(f"in all      {clock(time.monotonic() - begun)}")


def _show_sample(console: PlainConsole, trainer: Trainer, sampling: GenerateConfig) -> None:
    console.say(
        f"\na sample (temperature {sampling.temperature}, top-k {sampling.top_k}, "
        f"seed {sampling.seed}):\n"
    )
    for piece in stream_text(trainer.model, trainer.checkpoints.tokenizer, sampling):
        console.write(piece)
    console.say("\n")


def _sample_prompt(trainer: Trainer, prepared: Prepared) -> str:
    config = trainer.config
    if config.sample_prompt is not None:
        return config.sample_prompt
    if config.data == "stdlib":
        return "def "
    beginning = trainer.checkpoints.tokenizer.decode(prepared.validation[:16])
    lines = beginning.partition("<|endoftext|>")[0].rstrip("\ufffd").strip().splitlines()
    return lines[0] if lines else ""
