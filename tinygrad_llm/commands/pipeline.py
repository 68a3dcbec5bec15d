"""``tinygrad-llm pipeline``: from a corpus to an assistant in one run, in stages.

    data -> tokenizer -> untrained -> pretrain -> sft -> dpo -> report
                             eval       eval     eval    eval

The stages are other commands (``pipeline_stages.py``), each with a folder of its own. Whatever
interrupts a run, Ctrl-C or a kill, the same command goes on from there: a stage whose outputs are
those that it wrote, and whose inputs have not changed, is skipped; one that was interrupted is
continued if it is a training, and done again if it is not. The end is the same.
"""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

from tinygrad_llm.commands.console import PlainConsole, clock, make_console
from tinygrad_llm.commands.pipeline_options import PipelineOptions
from tinygrad_llm.commands.pipeline_stages import STAGES, Stage, Work
from tinygrad_llm.commands.session import locked
from tinygrad_llm.data import DATASETS
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import remove_partials, user_path
from tinygrad_llm.machine.precision import check_precision
from tinygrad_llm.machine.process import keep_freed_memory
from tinygrad_llm.pipeline.report import HTML, MARKDOWN
from tinygrad_llm.pipeline.state import Record, State, files_sha256, open_state, sha256_of
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training import runs


def run(options: PipelineOptions) -> int:
    """Do what is left of a pipeline; the exit code is 130 or 143 if a signal stopped it."""
    keep_freed_memory()
    console = make_console()
    runs.check_out(options.out)
    if options.require_fast:
        check_precision(console, options)  # each training says what is slow
    folder = user_path(options.out or f"runs/pipeline-{options.preset}")
    _check_folder(folder, link=True)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(console, folder):
        remove_partials(folder)
        state = open_state(folder, _identity(options))
        return _stages(console, options, state)


def _stages(console: PlainConsole, options: PipelineOptions, state: State) -> int:
    work = Work(state.folder, options)
    for number, stage in enumerate(STAGES, 1):
        title = f"{number}/{len(STAGES)} {stage.name}"
        inputs = _inputs(stage, work, state)
        record = state.stages.get(stage.name)
        more, begun = "", record is not None and record.outputs is None and record.inputs == inputs
        if record is not None and record.outputs is not None:
            reason = state.changed(stage.name, inputs, _outputs(stage, work))
            if reason is None:
                console.say(f"{title}: done before in {clock(record.seconds)}, and unchanged")
                continue
            more = f" (again: {reason})"
        console.say(f"\n{title}: {stage.about}{more}")
        try:
            code = _do(stage, work, state, inputs, begun)
        except KeyboardInterrupt:
            console.say(_how_to_go_on(options))
            raise
        if code:
            console.say(_how_to_go_on(options))
            return code
    _say_where(console, work, state)
    return 0


def _do(stage: Stage, work: Work, state: State, inputs: dict[str, str], begun: bool) -> int:
    """Do a stage, or the rest of one that was ``begun`` with the same inputs."""
    folder = work.folder / stage.folder
    _check_folder(folder)
    if not (begun and stage.continues):
        if folder.is_dir():
            shutil.rmtree(folder)
        record = state.stages[stage.name] = Record(inputs)
        state.save()
    else:
        record = state.stages[stage.name]
    started = time.monotonic()
    try:
        code = stage.do(work)
    finally:
        record.seconds += time.monotonic() - started
        state.save()
    if code == 0:
        record.outputs = _outputs(stage, work)
        state.save()
    return code


def _check_folder(folder: Path, link: bool = False) -> None:
    """Refuse a place where something else is; ``link``: a link to a folder is welcome."""
    if folder.is_symlink() and not link:
        kind = "a link"
    elif folder.exists() and not folder.is_dir():
        kind = "a file"
    else:
        return
    raise UserError(f"{folder} is {kind}, expected a folder: remove it, or choose another --out")


def _identity(options: PipelineOptions) -> dict[str, object]:
    """The options that a run keeps when it goes on; the path of a corpus is absolute."""
    kept = {k: v for k, v in asdict(options).items() if k not in ("out", "require_fast")}
    if options.data not in ("stdlib", *DATASETS):
        kept["data"] = str(user_path(options.data).resolve())
    return kept


def _inputs(stage: Stage, work: Work, state: State) -> dict[str, str]:
    """The sha256 of everything that a stage depends on, by name."""
    inputs = {name: str(state.stages[name].outputs) for name in stage.needs}
    if stage.reads_corpus:
        inputs["corpus"] = work.corpus_sha256
    return inputs | {"settings": sha256_of(stage.settings(work))}


def _outputs(stage: Stage, work: Work) -> str | None:
    return files_sha256(stage.outputs(work))


def _how_to_go_on(options: PipelineOptions) -> str:
    words: list[object] = ["tinygrad-llm", "pipeline"]
    default = PipelineOptions()
    for name, value in asdict(options).items():
        if value != getattr(default, name):
            option = f"--{name.replace('_', '-')}"
            words += [option] if value is True else [option, value]
    return f"the pipeline goes on with: {shell_command(*words)}"


def _say_where(console: PlainConsole, work: Work, state: State) -> None:
    total = sum(record.seconds for record in state.stages.values())
    console.say(f"\nreport      {work.folder / HTML} (and {MARKDOWN})")
    console.say(f"chat        {shell_command('tinygrad-llm', 'chat', work.folder / 'dpo')}")
    console.say(f"total       {clock(total)} for all stages")
