"""``tinygrad-llm train``: from a corpus to a model that writes, in one command.

    corpus -> tokenizer -> tokens -> model -> training -> evaluation -> sample, plot

Nothing is written to the run's folder before everything that can be wrong with the input has been
looked at. ``--resume RUN`` goes the same way with the options of the run's run.json and the
tokenizer and state of its last checkpoint; a run that was stopped before its first checkpoint
begins again, and one that is finished makes what is missing (finish.py). While a process works on a
run it holds the run's lock: a second one is turned away.
"""

import contextlib
import os
import platform
import shutil
import signal
import time
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

import tinygrad_llm
from tinygrad_llm.commands.console import PlainConsole, make_console
from tinygrad_llm.commands.corpus import open_tokenizer, prepare_corpus
from tinygrad_llm.commands.finish import finish, make_missing
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import DATASETS, CleanOptions, Loader, Prepared, check_tokens
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import check_json
from tinygrad_llm.files.lock import RunLock
from tinygrad_llm.machine.memory import check_memory
from tinygrad_llm.machine.process import keep_freed_memory
from tinygrad_llm.machine.speed import gemm_limit, tokens_at_limit
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.gpt2 import load_model
from tinygrad_llm.terminal import shell_command, typed_text
from tinygrad_llm.training import checkpoint as ckpt, runs
from tinygrad_llm.training.metrics import MetricsWriter, check_steps, is_finished, truncate
from tinygrad_llm.training.optim import AdamW
from tinygrad_llm.training.profiling import ProfilingTrainer
from tinygrad_llm.training.trainer import Trainer


def run(options: TrainConfig) -> int:
    """Train, or continue a run; the exit code is 130 or 143 where a signal stopped it."""
    begun = time.monotonic()
    keep_freed_memory()
    console = make_console()
    console.say(
        f"tinygrad-llm {tinygrad_llm.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, {os.cpu_count()} processors"
    )
    if options.resume is not None:
        return _resume(console, options, begun)
    return _start(console, options.with_recipe(), begun)


@dataclass
class Work:
    """What a run is made of, new or as a checkpoint has it."""

    config: TrainConfig
    tokenizer: Any
    prepared: Prepared
    model: GPT
    checkpoint: Path | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def _start(console: PlainConsole, config: TrainConfig, begun: float) -> int:
    work = _new(console, config)
    console.say(f"\n{work.model.summary()}\n")
    loader, optimizer = _loader(work), _optimizer(work)
    _compile(console, work.model.config, config.device)
    run = runs.create_run(config.out, config.preset)
    with _hold(console, run):
        facts = {
            "model": asdict(work.model.config),
            "parameters": work.model.num_parameters(),
            "corpus": work.prepared.meta,
        }
        try:
            runs.write_run_file(run, _absolute(config), facts)
        except OSError as error:
            shutil.rmtree(run, ignore_errors=True)  # there is nothing in it
            raise UserError(
                f"cannot write the run folder {run} ({error.strerror}); free some space, or choose "
                "another with --out"
            ) from None
        return _train(console, run, work, loader, optimizer, begun)


def _resume(console: PlainConsole, options: TrainConfig, begun: float) -> int:
    _check_alone(options)
    run = ckpt.run_of(str(options.resume))
    with _hold(console, run):
        ckpt.put_back(run)
        run, checkpoint = ckpt.resolve_resume(str(options.resume))
        content = runs.read_run_file(run)
        config = options_of(content, run)
        arrays_on(config.device)
        if checkpoint is None:
            console.say(f"{run} was stopped before its first checkpoint: it begins again")
            work = _new(console, config)
        else:
            arrays, state = _saved_state(console, run, checkpoint, not options.no_verify)
            if is_finished(run / runs.METRICS_FILE) and state["step"] == config.steps:
                console.say(f"{run} is finished: {config.steps} of {config.steps} steps are done")
                return make_missing(console, run, config)
            work = _saved(console, config, run, checkpoint)
            work.arrays, work.state = arrays, state
        _check_same_corpus(work, content, run)
        _note_other_versions(console, content)
        loader, optimizer = _loader(work), _optimizer(work)
        _compile(console, work.model.config, config.device)
        return _train(console, run, work, loader, optimizer, begun)


def _new(console: PlainConsole, config: TrainConfig) -> Work:
    """A model without training. What cannot be is reported before the corpus is read."""
    vocab_size = config.model_config().vocab_size
    typed_text(config.sample_prompt or "", "the sample's prompt")
    runs.check_out(config.out)
    arrays_on(config.device)
    tokenizer = open_tokenizer(config.tokenizer) if config.tokenizer else None
    tokenizer, prepared = prepare_corpus(
        console,
        config.data,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        options=CleanOptions(config.min_ascii_share),
    )
    shape = config.model_config(tokenizer.vocab_size)
    if config.device == "cpu":
        assert config.batch_size is not None
        check_memory(shape, config.batch_size, config.grad_accumulation)
    return Work(config, tokenizer, prepared, GPT(shape, seed=config.seed).to(config.device))


def _saved_state(
    console: PlainConsole, run: Path, checkpoint: Path, verify: bool
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The training state of a checkpoint; nothing of it is used before all of it is looked at."""
    if verify and (note := ckpt.verify_checkpoint(checkpoint)):
        console.say(note)
    arrays, state = ckpt.load_training_state(checkpoint)
    if verify:
        ckpt.check_same_run(run, state)
        check_steps(run / runs.METRICS_FILE, state["step"])
    return arrays, state


def _saved(console: PlainConsole, config: TrainConfig, run: Path, checkpoint: Path) -> Work:
    """The model, tokenizer and corpus that a run goes on with."""
    from tinygrad_llm.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(checkpoint)
    model = load_model(checkpoint).to(config.device).train()
    if (shape := config.model_config(tokenizer.vocab_size)) != model.config:
        raise UserError(
            f"{checkpoint} holds a model of {model.config}, but {run / runs.RUN_FILE} and the "
            f"tokenizer beside the model ask for {shape}: they do not belong together"
        )
    clean = CleanOptions(config.min_ascii_share)
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer, options=clean)
    return Work(config, tokenizer, prepared, model, checkpoint)


@contextlib.contextmanager
def _hold(console: PlainConsole, run: Path) -> Iterator[None]:
    with RunLock(run) as lock:
        if not lock.held:
            console.say(
                f"note: the file system of {run} has no locks; see to it that no other process "
                "trains there"
            )
        yield


@contextlib.contextmanager
def _saying_how_to_go_on(run: Path) -> Iterator[None]:
    """What cannot be written, be it a file or the report, ends in a sentence that says what now."""
    try:
        yield
    except BrokenPipeError:  # nobody reads the report any more
        raise
    except OSError as error:
        command = shell_command("tinygrad-llm", "train", "--resume", run)
        where = f": {error.filename}" if error.filename else ""
        raise UserError(
            f"the run cannot go on ({error.strerror}{where}); what is saved in {run} is as it was, "
            f"continue with `{command}`"
        ) from None


def _train(
    console: PlainConsole, run: Path, work: Work, loader: Loader, optimizer: AdamW, begun: float
) -> int:
    """The steps that are left, and what follows them."""
    config, metrics_path = work.config, run / runs.METRICS_FILE
    checkpoints = ckpt.Checkpoints(run, work.tokenizer)
    with _saying_how_to_go_on(run):
        checkpoints.folder.mkdir(exist_ok=True)
    step = work.state.get("step", 0)
    with MetricsWriter(metrics_path) as metrics:
        trainer = _trainer(
            run, work.model, loader, optimizer, config,
            validation=work.prepared.validation, token_bytes=work.tokenizer.token_bytes(),
            checkpoints=checkpoints, metrics=metrics, console=console,
        )  # fmt: skip
        if work.checkpoint is not None:
            trainer.load_state(work.arrays, work.state)
        with _saying_how_to_go_on(run):
            # All has been read and fits: only now is the run changed. What a later step has left
            # goes last, when the index no longer names it.
            if work.checkpoint is not None:
                best = work.state["best"] or {"step": step}
                checkpoints.go_on_from(work.checkpoint, best["step"])
            else:
                checkpoints.tidy(kept=set())
            truncate(metrics_path, step)
            (run / runs.PLOT_FILE).unlink(missing_ok=True)
            if step:
                console.say(f"continuing after step {trainer.step} of {config.steps}")
            console.say(
                f"training for {config.steps} steps of {_tokens_per_step(trainer):,} tokens, "
                f"run folder {run}"
            )
            stopped_by = trainer.train()
        if stopped_by is None:
            return finish(console, trainer, run, work.prepared, begun)
        name = "Ctrl-C" if stopped_by == signal.SIGINT else signal.Signals(stopped_by).name
        console.say(
            f"stopped by {name} after step {trainer.step} of {config.steps}, which is saved; "
            f"continue with: {shell_command('tinygrad-llm', 'train', '--resume', run)}"
        )
        return 128 + stopped_by


def _compile(console: PlainConsole, config, device: str) -> None:
    """Make everything ready that would else be counted as training, and measure the limit of it."""
    console.say("compiling the kernels (once per machine; they are cached) ...")
    console.say(f"kernels ready in {compile_kernels(config, device):.1f} s")
    if device != "cpu":
        return
    limit = gemm_limit()
    console.peak_rate = tokens_at_limit(config, limit)
    console.say(
        f"peak: matrix products run at {limit / 1e9:.0f} GFLOP/s, enough for "
        f"{console.peak_rate:,.0f} tokens/s"
    )


# --- putting it together -----------------------------------------------------------------------


def _loader(work: Work) -> Loader:
    config, prepared, model_config = work.config, work.prepared, work.model.config
    assert config.batch_size is not None
    check_tokens(prepared.validation, model_config.vocab_size, "the validation tokens")
    if len(prepared.validation) < 2:
        raise UserError(
            f"the validation text has {len(prepared.validation)} token, expected at least 2; use "
            "a longer text"
        )
    return Loader(
        prepared.train, config.batch_size, model_config.block_size, config.seed,
        vocab_size=model_config.vocab_size,
    )  # fmt: skip


def _trainer(run: Path, *parts, **more) -> Trainer:
    config: TrainConfig = parts[-1]
    if config.profile:
        return ProfilingTrainer(*parts, folder=run, **more)
    return Trainer(*parts, **more)


def _optimizer(work: Work) -> AdamW:
    config = work.config
    assert config.lr is not None
    parameters, betas = work.model.named_parameters(), (config.beta1, config.beta2)
    return AdamW(parameters, config.lr, betas, weight_decay=config.weight_decay)


def _tokens_per_step(trainer: Trainer) -> int:
    loader = trainer.loader
    return loader.batch_size * loader.block_size * trainer.config.grad_accumulation


def _absolute(config: TrainConfig) -> dict[str, Any]:
    """The options for run.json; paths are made absolute, as a run may be resumed from elsewhere."""
    options = asdict(config)
    for name in ("data", "tokenizer"):
        value = options[name]
        if value in (None, "stdlib", *DATASETS):
            continue
        if user_path(value).exists():
            options[name] = str(user_path(value).resolve())
    return options


# --- resuming ----------------------------------------------------------------------------------


def _check_alone(options: TrainConfig) -> None:
    """Refuse other options beside --resume: they would be ignored."""
    allowed = ("resume", "no_verify")
    default = TrainConfig()
    for f in fields(options):
        if f.name not in allowed and getattr(options, f.name) != getattr(default, f.name):
            raise UserError(
                f"--resume takes all options from the run's run.json: leave out "
                f"--{f.name.replace('_', '-')}"
            )


NEW_OPTIONS = {"no_verify", "min_ascii_share"}
"""Options that runs of earlier versions do not name; they have their defaults there."""


def options_of(content: dict[str, Any], run: Path) -> TrainConfig:
    """The options in a run.json, checked as those of the command line are."""
    hints = get_type_hints(TrainConfig)
    schema = {
        f.name + "?" * (f.name in NEW_OPTIONS): _kind(hints[f.name]) for f in fields(TrainConfig)
    }
    where, advice = f"{run / runs.RUN_FILE} (options)", "start a new run"
    check_json(content["options"], where, schema, advice=advice)
    try:
        return TrainConfig(**content["options"])
    except UserError as error:
        raise UserError(f"{where}: {error}; {advice}") from None


def _kind(hint: Any) -> Any:
    """A field's type as json_file.py spells it: Literal["a", "b"] or None is ("a", "b", None)."""
    if get_origin(hint) in (Union, types.UnionType, Literal):
        return tuple(_kind(one) for one in get_args(hint))
    return None if hint is type(None) else hint


def _check_same_corpus(work: Work, content: dict[str, Any], run: Path) -> None:
    before, now = content.get("corpus", {}), work.prepared.meta
    if now["tokenizer"] != before.get("tokenizer"):
        raise UserError(
            f"the tokenizer in {work.checkpoint or run} is not the one that {run} was started "
            "with; take another checkpoint, or start a new run"
        )
    if now["files"] != before.get("files"):
        raise UserError(
            f"the corpus {work.config.data} has changed since {run} was started (another Python, "
            "or edited files), so the run cannot go on as it was; start a new run"
        )


def _note_other_versions(console: PlainConsole, content: dict[str, Any]) -> None:
    """Say what may round differently: the run goes on then, but perhaps not bit for bit."""
    before, now = content.get("versions", {}), runs.versions()
    for name in now:
        if before.get(name) != now[name]:
            console.say(
                f"note: the run was started with {name} {before.get(name)}, this is {now[name]}: "
                "it goes on, but perhaps not with the very same bits"
            )
