"""A model and its tokenizer, from what a user types: for chat, generate and export."""

import sys
from collections.abc import Sequence
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


def find_parts(name: str, adapter: str | None = None) -> tuple[Path, list[Path]]:
    """Where the weights of a model are, and the folders of the adapters on it, the first lowest.

    ``name`` is what a user types for a model, and ``adapter`` for an adapter: its folder, or a run
    of LoRA, which means its best checkpoint. Such a run or folder may also be typed for the model:
    then it stands for the adapter on the model that it names as its base. That may have an adapter
    in turn: DPO after SFT, for example. Raises UserError for what does not exist, and for an
    adapter that was not trained on the one that ``name`` is.
    """
    from tinygrad_llm.finetune.peft_config import CONFIG
    from tinygrad_llm.pretrained.names import find_model

    base, adapters = _adapters(name)
    if adapter is not None:
        above = _adapters(adapter)[1] or [user_path(adapter)]
        if adapters and not _begins_with(above, adapters):
            raise UserError(
                f"{name} is an adapter itself, so --adapter {adapter} would be a second one"
            )
        adapters = above
    if base is None:
        raise UserError(
            f"{adapters[0] / CONFIG} does not name the model that the adapter belongs to: use that "
            f"model with --adapter {adapters[-1]}"
        )
    return find_model(base), adapters


def _adapters(name: str) -> tuple[str | None, list[Path]]:
    """What an adapter's files name as their model, and the folders of the adapters on that.

    If ``name`` is no adapter, it is the model, with none. None is a model without a name.
    """
    from tinygrad_llm.finetune.peft_config import CONFIG, read_config

    base: str | None = name
    folders: list[Path] = []
    while base is not None and (folder := _adapter_folder(base)) is not None:
        if folder in folders:
            raise UserError(f"{folder / CONFIG} names itself as the model that it belongs to")
        folders.insert(0, folder)
        base = read_config(folder / CONFIG).base
    return base, folders


def _begins_with(folders: list[Path], others: list[Path]) -> bool:
    """Whether there are more ``folders`` than ``others``, and the first of them are the same."""
    first, rest = folders[: len(others)], folders[len(others) :]
    return bool(rest) and [f.resolve() for f in first] == [f.resolve() for f in others]


def _adapter_folder(name: str) -> Path | None:
    """The folder of the adapter that a path means: itself, or the best checkpoint of a run."""
    from tinygrad_llm.finetune.peft_config import CONFIG
    from tinygrad_llm.training.checkpoint import CHECKPOINTS, resolve

    path = user_path(name)
    if (path / CHECKPOINTS).is_dir() and not (path / CONFIG).is_file():
        path = resolve(path)
    return path if (path / CONFIG).is_file() and not (path / "config.json").is_file() else None


def load_parts(
    path: Path, adapters: Sequence[Path], weights: str, *, merge_last: bool = True
) -> tuple["Model", "Tokenizer | None"]:
    """The model at ``path`` with the adapters merged into its weights, and its tokenizer.

    The weights of the layers that an adapter changes are float32 then; with int8, all are rounded
    after that. Without ``merge_last`` the last adapter can still be disabled.
    """
    from tinygrad_llm.finetune.lora import load_adapter, merge_lora
    from tinygrad_llm.model.quantize import quantize_model
    from tinygrad_llm.pretrained.load import load_pretrained

    late = bool(adapters) and weights == "int8"
    model, tokenizer = load_pretrained(path, weights="float32" if late else weights)
    for folder in adapters:
        load_adapter(model, folder)
        if merge_last or folder != adapters[-1]:
            merge_lora(model)
    if late:
        quantize_model(model)
    return model, tokenizer


def open_model(
    name: str, options: ModelOptions, *, merge_last: bool = True
) -> tuple["Model", "Tokenizer"]:
    """The model that a run, a checkpoint, a directory, a file or a name means, and its tokenizer.

    Adapters are merged into the weights (``load_parts``). A run's files are compared with their
    checksums. Raises UserError, and FileNotFoundError, for what cannot be loaded.
    """
    from tinygrad_llm.training.checkpoint import verify_checkpoint

    weights = options.weights or ("as-stored" if options.device == "cpu" else "float32")
    arrays_on(options.device)  # if it does not exist, say so before anything is read
    path, adapters = find_parts(name, options.adapter)
    for folder in ([path] if user_path(name).is_dir() else []) + adapters:
        if not options.no_verify and folder.is_dir() and (note := verify_checkpoint(folder)):
            print(one_line(note), file=sys.stderr)
    model, tokenizer = load_parts(path, adapters, weights, merge_last=merge_last)
    if tokenizer is None:
        raise UserError(f"{name} has no tokenizer: expected tokenizer.json next to the weights")
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
