"""What the kinds that train a model to answer put into a session: SFT, preferences, GRPO.

The model answers a few held-out prompts before the first step and at every evaluation.
"""

from dataclasses import replace
from pathlib import Path

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_parts import Base, Parts, steps_of
from tinygrad_llm.commands.finetune_row_options import SampledOptions
from tinygrad_llm.commands.finetune_rows import say_before
from tinygrad_llm.commands.finetune_samples import Prompt, Samples
from tinygrad_llm.commands.finetune_storage import save_and_load
from tinygrad_llm.finetune.rows_task import ROWS_SCHEMA, RowsTask


def answering(
    console: PlainConsole,
    options: SampledOptions,
    base: Base,
    task: RowsTask,
    prompts: list[Prompt],
    n_rows: int,
    unit: str,
    longest: int | None = None,
) -> Parts:
    """The parts of a run of ``task``, which has ``n_rows`` to train on, counted in ``unit``.

    ``prompts`` are those of the samples, whose answers have at most ``longest`` tokens.
    """
    sample_tokens = min(options.sample_tokens, longest or options.sample_tokens)
    samples = Samples(console, base.model, base.tokenizer, prompts, sample_tokens)

    def before(run: Path) -> None:
        say_before(console, options, task)
        samples.write(run, 0)

    save, load = save_and_load(base, options)
    command = "chat" if base.tokenizer.conventions.chat_template is not None else "generate"
    return Parts(
        replace(options, steps=steps_of(options, n_rows)), base.model, task, ROWS_SCHEMA,
        step_size=f"{options.batch_size * options.grad_accumulation} {unit}",
        save_model=save, load_model=load, before=before, after_evaluation=samples.write,
        after={"the samples": samples.show},
        advice={command: (command,)},
    )  # fmt: skip
