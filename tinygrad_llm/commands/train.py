"""``tinygrad-llm train``: from a corpus to a model that writes, in one command.

    corpus -> tokenizer -> tokens -> model -> training -> evaluation -> sample, plot

Nothing is written to the run's folder before everything that can be wrong with the input has been
looked at. ``--resume RUN`` goes the same way with the options of the run's run.json and the
tokenizer and state of its last checkpoint.
"""

import os
import platform
import signal
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_llm
from tinygrad_llm import checkpoint as ckpt, runs
from tinygrad_llm.commands.corpus import open_tokenizer, prepare_corpus
from tinygrad_llm.commands.generate import stream_text
from tinygrad_llm.config import GenerateConfig, TrainConfig
from tinygrad_llm.console import PlainConsole, clock, make_console
from tinygrad_llm.data import DATASETS, Loader, Prepared, check_tokens
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.metrics import MetricsWriter, is_finished, read_metrics, truncate
from tinygrad_llm.models.gpt import GPT
from tinygrad_llm.optim import AdamW
from tinygrad_llm.plot import plot_loss
from tinygrad_llm.pretrained.gpt2 import load_model
from tinygrad_llm.process import keep_freed_memory
from tinygrad_llm.profiling import ProfilingTrainer
from tinygrad_llm.speed import gemm_limit, tokens_at_limit
from tinygrad_llm.trainer import Trainer
from tinygrad_llm.warmup import compile_kernels


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


def _start(console: PlainConsole, config: TrainConfig, begun: float) -> int:
    config.model_config()  # what cannot be, shape or device, is reported before the corpus is read
    arrays_on(config.device)
    tokenizer = open_tokenizer(config.tokenizer) if config.tokenizer else None
    vocab_size = config.model_config().vocab_size
    tokenizer, prepared = prepare_corpus(
        console, config.data, tokenizer=tokenizer, vocab_size=vocab_size
    )
    model = GPT(config.model_config(tokenizer.vocab_size), seed=config.seed).to(config.device)
    loader = _loader(prepared, config, model.config)
    optimizer = _optimizer(model, config)
    console.say(f"\n{model.summary()}\n")
    _compile(console, model.config, config.device)

    run = runs.create_run(config.out, config.preset)
    checkpoints = ckpt.Checkpoints(run, tokenizer)
    checkpoints.folder.mkdir()
    facts = {
        "model": asdict(model.config),
        "parameters": model.num_parameters(),
        "corpus": prepared.meta,
    }
    runs.write_run_file(run, _absolute(config), facts)
    with MetricsWriter(run / runs.METRICS_FILE) as metrics:
        trainer = _trainer(
            run, model, loader, optimizer, config,
            validation=prepared.validation, token_bytes=tokenizer.token_bytes(),
            checkpoints=checkpoints, metrics=metrics, console=console,
        )  # fmt: skip
        return _train(console, trainer, run, prepared, begun)


def _resume(console: PlainConsole, options: TrainConfig, begun: float) -> int:
    from tinygrad_llm.tokenizer import Tokenizer

    _check_alone(options)
    run, checkpoint = ckpt.resolve_resume(str(options.resume))
    content = runs.read_run_file(run)
    config = _options_of(content, run)
    arrays_on(config.device)
    tokenizer = Tokenizer.load(checkpoint)
    arrays, state = ckpt.load_training_state(checkpoint)
    if is_finished(run / runs.METRICS_FILE) and state["step"] == config.steps:
        console.say(f"{run} is finished: {config.steps} of {config.steps} steps are done")
        return 0
    model = load_model(checkpoint).to(config.device).train()
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer)
    _check_same_corpus(prepared, content, run)
    _note_other_versions(console, content)
    loader = _loader(prepared, config, model.config)
    optimizer = _optimizer(model, config)
    checkpoints = ckpt.Checkpoints(run, tokenizer)
    # All is read and fits: only now is the run changed.
    checkpoints.tidy()
    truncate(run / runs.METRICS_FILE, state["step"])
    with MetricsWriter(run / runs.METRICS_FILE) as metrics:
        trainer = _trainer(
            run, model, loader, optimizer, config,
            validation=prepared.validation, token_bytes=tokenizer.token_bytes(),
            checkpoints=checkpoints, metrics=metrics, console=console,
        )  # fmt: skip
        trainer.load_state(arrays, state)
        _compile(console, model.config, config.device)
        console.say(f"continuing after step {trainer.step} of {config.steps}")
        return _train(console, trainer, run, prepared, begun)


# --- training and what follows -----------------------------------------------------------------


def _train(
    console: PlainConsole, trainer: Trainer, run: Path, prepared: Prepared, begun: float
) -> int:
    config = trainer.config
    console.say(
        f"training for {config.steps} steps of {_tokens_per_step(trainer):,} tokens, "
        f"run folder {run}"
    )
    stopped_by = trainer.train()
    if stopped_by is not None:
        name = "Ctrl-C" if stopped_by == signal.SIGINT else signal.Signals(stopped_by).name
        console.say(
            f"stopped by {name} after step {trainer.step} of {config.steps}, which is saved; "
            f"continue with: tinygrad-llm train --resume {run}"
        )
        return 128 + stopped_by

    result = trainer.final_evaluation()
    console.say(f"\nvalidation, all {result.tokens:,} tokens: {result}")
    prompt = _sample_prompt(trainer, prepared)
    if config.sample_tokens:
        sampling = GenerateConfig(
            prompt=prompt, max_new_tokens=config.sample_tokens, seed=config.seed
        )
        _show_sample(console, trainer, sampling)
    plot_loss(
        read_metrics(run / runs.METRICS_FILE),
        run / runs.PLOT_FILE,
        f"{config.preset} on {Path(config.data).name}",
    )
    index = ckpt.read_index(run)
    folder = run / runs.CHECKPOINTS
    console.say(f"checkpoint  {folder / index['last']}")
    if index["best"] != index["last"]:
        console.say(f"best        {folder / index['best']} (lowest validation loss)")
    console.say(f"plot        {run / runs.PLOT_FILE}")
    console.say(f"write more  tinygrad-llm generate {run} --prompt {_quoted(prompt)}")
    console.say(f"in all      {clock(time.monotonic() - begun)}")
    return 0


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


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


# --- putting it together -----------------------------------------------------------------------


def _loader(prepared: Prepared, config: TrainConfig, model_config) -> Loader:
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


def _optimizer(model: GPT, config: TrainConfig) -> AdamW:
    assert config.lr is not None
    betas = config.beta1, config.beta2
    return AdamW(model.named_parameters(), config.lr, betas, weight_decay=config.weight_decay)


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
        if Path(value).expanduser().exists():
            options[name] = str(Path(value).expanduser().resolve())
    return options


# --- resuming ----------------------------------------------------------------------------------


def _check_alone(options: TrainConfig) -> None:
    """Refuse other options beside --resume: they would be ignored."""
    if options != replace(TrainConfig(), resume=options.resume):
        default = TrainConfig()
        changed = next(
            f.name
            for f in fields(options)
            if f.name != "resume" and getattr(options, f.name) != getattr(default, f.name)
        )
        raise UserError(
            f"--resume takes all options from the run's run.json: leave out "
            f"--{changed.replace('_', '-')}"
        )


def _options_of(content: dict[str, Any], run: Path) -> TrainConfig:
    known = {f.name for f in fields(TrainConfig)}
    options = content["options"]
    try:
        if options.keys() != known:
            raise TypeError(f"the options differ in {sorted(options.keys() ^ known)}")
        return TrainConfig(**options)
    except (TypeError, UserError) as error:
        raise UserError(
            f"{run / runs.RUN_FILE} does not hold the options of this version ({error}); start a "
            "new run"
        ) from None


def _check_same_corpus(prepared: Prepared, content: dict[str, Any], run: Path) -> None:
    before = content.get("corpus", {}).get("files")
    if prepared.meta["files"] != before:
        raise UserError(
            f"the corpus {content['options']['data']} has changed since {run} was started (another "
            "Python, or edited files), so the run cannot go on as it was; start a new run"
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
