"""Models on the Hugging Face hub, through the library huggingface_hub.

The library is optional: it is imported when a name asks for it. It stores files in its own cache
(HF_HOME), where other programs find them too; without a network, what is there is used. Only the
files that are read here are downloaded, all of them from one commit, which the folder is named
after.
"""

import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json, short_reason
from tinygrad_llm.pretrained.directory import CONFIG, WEIGHTS
from tinygrad_llm.pretrained.weights import INDEX, INDEX_SCHEMA, MAX_INDEX

INSTALL = "pip install huggingface_hub"
SMALL = [
    CONFIG,
    INDEX,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "README.md",  # names the licence
    "LICENSE",
]
"""All files that are read apart from the weights, which the index names if there are several."""
OLDER = ["vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"]
"""And those that are read if there is no tokenizer.json (``tokenizer/gpt2_files.py``)."""


def download(model: str, file: str | None = None, revision: str | None = None) -> Path:
    """The folder with the files of ``model`` ("owner/name"), or ``file`` alone, a GGUF file.

    revision: a branch, tag or commit; by default the latest. Raises UserError if huggingface_hub is
    not installed, if the hub cannot be reached and the files are not in its cache, and if the model
    is not there, is not public, or has other files.
    """
    hub = _library(model)
    with _errors_as_sentences(hub, model, revision):
        wanted = SMALL if file is None else [file]
        folder = Path(hub.snapshot_download(model, revision=revision, allow_patterns=wanted))
        if file is not None:
            return _present(folder, file, model)
        if not (folder / CONFIG).is_file():
            raise UserError(
                f"the model {model} on the Hugging Face hub has no {CONFIG}: if it has GGUF files, "
                f"name one of them, as {model}/FILE.gguf"
            )
        files = _weights(folder)
        older = [] if (folder / "tokenizer.json").is_file() else OLDER
        hub.snapshot_download(model, revision=folder.name, allow_patterns=[*files, *older])
        for name in files:
            _present(folder, name, model)
    return folder


def _present(folder: Path, file: str, model: str) -> Path:
    if not (folder / file).is_file():
        raise UserError(
            f"the model {model} has no file {file} on the Hugging Face hub: weights are read from "
            f"safetensors and GGUF files; see {_page(model)}"
        )
    return folder / file


def _weights(folder: Path) -> list[str]:
    """The names of the files that hold the weights."""
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    where = read_json(folder / INDEX, INDEX_SCHEMA, max_bytes=MAX_INDEX)["weight_map"]
    return sorted(set(where.values()))


def _library(model: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise UserError(
            f"{model} is a model on the Hugging Face hub, and the library that downloads from "
            f"there is not installed: {INSTALL}"
        ) from None


@contextmanager
def _errors_as_sentences(hub: Any, model: str, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises into a UserError of one sentence."""
    errors = importlib.import_module(f"{hub.__name__}.errors")
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError:
        raise UserError(
            f"the model {model} is only for those who have accepted its terms: accept them on "
            f"{_page(model)} and log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"there is no file or folder {model}, and no model of this name on the Hugging Face "
            "hub, or it is private: if it is yours, log in with `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"the model {model} has no revision {revision}: see {_page(model)}"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"there is no file or folder {model}, the Hugging Face hub cannot be reached, and "
            f"{model} is not in its cache on this machine: check the path or the network, or copy "
            "the model's folder here and name it"
        ) from None
    except errors.EntryNotFoundError as error:
        raise UserError(f"the model {model} has no such file ({short_reason(error)})") from None
    except Exception as error:  # of the library, of its HTTP client, of the disk
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            reason = os.strerror(error.errno)  # type: ignore[attr-defined]
            raise UserError(
                f"{model} cannot be stored in the cache of huggingface_hub ({reason}): free some "
                "space, or set HF_HOME to another folder"
            ) from None
        reason = short_reason(error) or type(error).__name__
        raise UserError(
            f"{model} cannot be downloaded from the Hugging Face hub ({reason})"
        ) from None


def _page(model: str) -> str:
    return f"https://huggingface.co/{model}"
