"""A model and its tokenizer, from what a user types: for chat, generate and export."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.commands.writing import Writer
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.generation import DraftModel, PromptLookup
from tinygrad_llm.terminal import one_line

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer


def find_parts(name: str, adapter: str | None = None) -> tuple[Path, Path | None]:
    """Where the weights of a model are, and the folder of the adapter on it, if there is one.

    ``name`` is what a user types for a model, and ``adapter`` for an adapter: its folder, or a run
    of LoRA, which means its best checkpoint. Such a run or folder may also be typed for the model:
    then it stands for the adapter on the model that it names as its base. Raises UserError for what
    does not exist, and for two adapters.
    """
    from tinygrad_llm.finetune.peft_config import CONFIG, read_config
    from tinygrad_llm.pretrained.names import find_model

    folder = _adapter_folder(name)
    if folder is None:
        path = None if adapter is None else _adapter_folder(adapter) or user_path(adapter)
        return find_model(name), path
    if adapter is not None:
        raise UserError(
            f"{name} is an adapter itself, so --adapter {adapter} would be a second one"
        )
    base = read_config(folder / CONFIG).base
    if base is None:
        raise UserError(
            f"{folder / CONFIG} does not name the model that the adapter belongs to: use that "
            f"model with --adapter {folder}"
        )
    return find_model(base), folder


def _adapter_folder(name: str) -> Path | None:
    """The folder of the adapter that a path means: itself, or the best checkpoint of a run."""
    from tinygrad_llm.finetune.peft_config import CONFIG
    from tinygrad_llm.training.checkpoint import CHECKPOINTS, resolve

    path = user_path(name)
    if (path / CHECKPOINTS).is_dir() and not (path / CONFIG).is_file():
        path = resolve(path)
    return path if (path / CONFIG).is_file() and not (path / "config.json").is_file() else None


def open_model(name: str, options: ModelOptions) -> tuple["Model", "Tokenizer"]:
    """The model that a run, a checkpoint, a directory, a file or a name means, and its tokenizer.

    An adapter is merged into the weights: those of the layers that it changes are then float32,
    unless int8 is asked for. A run's files are compared with their checksums. Raises UserError, and
    FileNotFoundError, for what cannot be loaded.
    """
    from tinygrad_llm.finetune.lora import load_adapter, merge_lora
    from tinygrad_llm.model.quantize import quantize_model
    from tinygrad_llm.pretrained.load import load_pretrained
    from tinygrad_llm.training.checkpoint import verify_checkpoint

    weights = options.weights or ("as-stored" if options.device == "cpu" else "float32")
    arrays_on(options.device)  # if it does not exist, say so before anything is read
    path, adapter = find_parts(name, options.adapter)
    for folder in (path if user_path(name).is_dir() else None, adapter):
        if folder is None or options.no_verify or not folder.is_dir():
            continue
        if note := verify_checkpoint(folder):
            print(one_line(note), file=sys.stderr)
    late = adapter is not None and weights == "int8"  # rounded once it is merged
    model, tokenizer = load_pretrained(path, weights="float32" if late else weights)
    if tokenizer is None:
        raise UserError(f"{name} has no tokenizer: expected tokenizer.json next to the weights")
    if adapter is not None:
        load_adapter(model, adapter)
        merge_lora(model)
    if late:
        quantize_model(model)
    return model.to(options.device), tokenizer


def open_writer(name: str, options: ModelOptions) -> Writer:
    """The same, ready to write, with the draft that the options ask for."""
    model, tokenizer = open_model(name, options)
    draft: DraftModel | PromptLookup | None = None
    if options.draft_model is not None:
        smaller, its_tokenizer = open_model(options.draft_model, replace(options, adapter=None))
        if its_tokenizer.fingerprint() != tokenizer.fingerprint():
            raise UserError(
                f"the draft model {options.draft_model} has another tokenizer than {name}: its "
                "guesses would be ids of other tokens"
            )
        draft = DraftModel(smaller.eval(), options.draft_tokens or 4)
    elif options.prompt_lookup:
        draft = PromptLookup(options.draft_tokens or 8)
    return Writer(model, tokenizer, draft)
