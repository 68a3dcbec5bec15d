"""``tinygrad-llm export MODEL``: a model in the files of other programs.

``fuse`` is the same for a model with an adapter, under mlx-lm's name for it. safetensors makes a
directory for transformers, gguf one file for llama.cpp. Nothing is replaced, and what is written
appears whole or not at all.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.models import find_parts, open_model
from tinygrad_llm.commands.options import ExportOptions, FuseOptions
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_folder_atomically
from tinygrad_llm.files.checksums import write_sums
from tinygrad_llm.files.json_file import read_json

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer

GENERATION = "generation_config.json"


def run(options: ExportOptions) -> int:
    """Load the model and write it."""
    if options.format == "safetensors" and options.dtype == "q8_0":
        raise UserError("q8_0 weights exist in GGUF files only: use --format gguf, or another type")
    out = user_path(_name(options) if options.out is None else options.out)
    if options.format == "safetensors" and out.suffix == ".gguf":
        raise UserError(
            f"--out is {out}, the name of a GGUF file, and safetensors makes a directory: add "
            "--format gguf, or choose another name"
        )
    _check_new(out)
    source, _ = find_parts(options.model, options.adapter)
    model, tokenizer = open_model(
        options.model,
        ModelOptions(weights="float32", adapter=options.adapter, no_verify=options.no_verify),
    )
    console = make_console()
    write = _write_directory if options.format == "safetensors" else _write_file
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with console.progress(f"writing {model.num_parameters():,} parameters as {options.dtype}"):
            write(model, tokenizer, source, out, options.dtype)
    except OSError as error:
        raise UserError(
            f"cannot write {out} ({error.strerror or error}): nothing of it is left; free some "
            "space or choose another --out"
        ) from error
    files = [path for path in (out.iterdir() if out.is_dir() else [out]) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    console.say(f"{options.format}: {out}, {size / 1e6:,.1f} MB")
    return 0


def fuse(options: FuseOptions) -> int:
    """Write the model with the adapter in its weights."""
    if not find_parts(options.model, options.adapter)[1]:
        raise UserError("fuse needs the folder of an adapter: --adapter DIR")
    out = f"{Path(options.model).name.removesuffix('.gguf')}-fused"
    return run(
        ExportOptions(
            options.model,
            dtype=options.dtype,
            adapter=options.adapter,
            out=options.out or out,
            no_verify=options.no_verify,
        )
    )


def _name(options: ExportOptions) -> str:
    """The output's name if none was chosen: the model's and the type, in the current folder."""
    name = f"{Path(options.model).name.removesuffix('.gguf')}-{options.dtype}"
    return f"{name}.gguf" if options.format == "gguf" else name


def _check_new(out: Path) -> None:
    """Raise UserError for a path where nothing can be written without replacing something."""
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} already exists: choose another --out")
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UserError(f"cannot write {out}: {parent} is a file, not a folder")


def _write_file(
    model: "Model", tokenizer: "Tokenizer", source: Path, out: Path, dtype: str
) -> None:
    """The model, with the name and the licence of the GGUF file that it comes from."""
    from tinygrad_llm.pretrained.gguf_file import read_gguf
    from tinygrad_llm.pretrained.gguf_save import save_gguf

    metadata = read_gguf(source).metadata if source.is_file() else {}
    about = [metadata.get(f"general.{key}") for key in ("name", "license")]
    name, licence = (value if isinstance(value, str) else None for value in about)
    save_gguf(model, tokenizer, out, dtype, name, licence)


def _write_directory(
    model: "Model", tokenizer: "Tokenizer", source: Path, out: Path, dtype: str
) -> None:
    """The model, with what its own directory says about sampling and the end of an answer."""
    from tinygrad_llm.pretrained.save import save_pretrained

    advice = source / GENERATION
    content = read_json(advice, {...: object}) if advice.is_file() else None

    def fill(folder: Path) -> None:
        save_pretrained(model, tokenizer, folder, dtype)
        if content is not None:
            (folder / GENERATION).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        write_sums(folder)

    write_folder_atomically(out, fill)
