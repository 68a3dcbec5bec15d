"""The beginning of ``tinygrad-llm train``: a new run, from its options.

Nothing is written to the run's folder before everything that can be wrong with the input has been
checked.
"""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.corpus import open_tokenizer, prepare_corpus
from tinygrad_llm.commands.finish import sample_prompt
from tinygrad_llm.commands.first_model import open_first_model
from tinygrad_llm.commands.pretraining import make_loader, pretraining
from tinygrad_llm.commands.session import locked, warm_up
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import Prepared, absolute_sources
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.machine.memory import check_memory
from tinygrad_llm.machine.precision import check_precision
from tinygrad_llm.model import Model, build_model
from tinygrad_llm.model.summary import summary
from tinygrad_llm.terminal import typed_text
from tinygrad_llm.training import runs
from tinygrad_llm.training.logs import check_log
from tinygrad_llm.training.optim.from_options import make_optimizer

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


def start(console: PlainConsole, config: TrainConfig, started: float) -> int:
    """Train a new model in a new run; returns the exit code."""
    check_precision(console, config, config.device)
    model, tokenizer, prepared = new_model(console, config)
    make = partial(make_optimizer, options=config)
    optimizer = make(model.named_parameters())
    size = optimizer.state_size()
    types = config.activations, config.precision
    console.say(f"\n{summary(model, optimizer.remembered, size, *types)}\n")
    loader = make_loader(config, model.config, prepared)
    warm_up(console, model.config, config.device, make, config)
    run = runs.create_run(config.out, config.preset)
    with locked(console, run):
        prompt = sample_prompt(config, tokenizer, prepared)
        _write_run_file(run, config, model, prepared, prompt)
        session = pretraining(console, run, config, model, tokenizer, prepared, loader, started)
        return session.train()


def new_model(console: PlainConsole, config: TrainConfig) -> tuple[Model, "Tokenizer", Prepared]:
    """The model that a run starts from, with its tokenizer and corpus.

    Options that cannot work are reported before the corpus is read.
    """
    vocab_size = config.model_config().vocab_size
    typed_text(config.sample_prompt or "", "the sample's prompt")
    runs.check_out(config.out)
    arrays_on(config.device)
    check_log(config.log)
    model, tokenizer = None, None
    if config.init_from is not None:
        model, tokenizer = open_first_model(config)
        console.say(f"starting from the model of {config.init_from}")
    elif config.tokenizer is not None:
        tokenizer = open_tokenizer(config.tokenizer)
    tokenizer, prepared = prepare_corpus(
        console,
        config.data,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        options=config,
    )
    shape = model.config if model is not None else config.model_config(tokenizer.vocab_size)
    if config.device == "cpu":
        assert config.batch_size is not None
        check_memory(
            shape, config.batch_size, config.grad_accumulation, config.recompute,
            config.activations,
        )  # fmt: skip
    model = model or build_model(shape, config.seed)
    return model.to(config.device), tokenizer, prepared


def _write_run_file(
    run: Path, config: TrainConfig, model: Model, prepared: Prepared, prompt: str
) -> None:
    facts = {
        "model": asdict(model.config),
        "parameters": model.num_parameters(),
        "corpus": prepared.meta,
        "sample_prompt": prompt,
    }
    try:
        runs.write_run_file(run, _with_absolute_paths(config), facts)
    except OSError as error:
        shutil.rmtree(run, ignore_errors=True)  # it is still empty
        raise UserError(
            f"cannot write the run folder {run} ({error.strerror}); free some space, or choose "
            "another with --out"
        ) from None


def _with_absolute_paths(config: TrainConfig) -> dict[str, Any]:
    """The options for run.json; paths are absolute, since a run may be resumed from elsewhere."""
    options = asdict(config)
    options["data"] = absolute_sources(config.data)
    for name in ("tokenizer", "init_from"):
        if options[name] is not None and user_path(options[name]).exists():
            options[name] = str(user_path(options[name]).resolve())
    return options
