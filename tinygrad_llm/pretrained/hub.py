"""Models and data sets on the Hugging Face hub, through the library huggingface_hub.

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
from typing import Any, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json, short_reason
from tinygrad_llm.pretrained.directory import CONFIG, WEIGHTS
from tinygrad_llm.pretrained.weights import INDEX, INDEX_SCHEMA, MAX_INDEX

INSTALL = "pip install huggingface_hub"
PATIENCE = 10.0
"""Seconds for the hub to answer at all."""
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


class _Repository(NamedTuple):
    """What is downloaded, in words. kind: "model" or "dataset", as the library calls them."""

    name: str
    revision: str | None
    kind: str = "model"

    @property
    def kind_in_words(self) -> str:
        return "model" if self.kind == "model" else "data set"

    @property
    def words(self) -> str:
        return f"the {self.kind_in_words} {self.name}"

    @property
    def page(self) -> str:
        folder = "" if self.kind == "model" else "datasets/"
        return f"https://huggingface.co/{folder}{self.name}"

    def unknown(self) -> str:
        """The sentence for a name that the hub does not know."""
        what = (
            f"there is no file or folder {self.name}, and no model of this name"
            if self.kind == "model"
            else f"there is no data set {self.name}"
        )
        return (
            f"{what} on the Hugging Face hub, or it is private: if it is yours, log in with "
            "`hf auth login`"
        )

    def unreachable(self) -> str:
        """The sentence for a hub that does not answer."""
        nowhere = f"and {self.name} is not in its cache on this machine: check the"
        if self.kind == "model":
            return (
                f"there is no file or folder {self.name}, the Hugging Face hub cannot be reached, "
                f"{nowhere} path or the network, or copy the model's folder here and name it"
            )
        return f"the Hugging Face hub cannot be reached, {nowhere} network"


def download_dataset(name: str, revision: str, files: list[str]) -> Path:
    """The folder with the files of the data set ``name`` ("owner/name") that match these patterns.

    revision: a commit. Raises as ``download`` does.
    """
    data = _Repository(name, revision, "dataset")
    hub = _library(data)
    with _errors_as_sentences(hub, data):
        local = not _answers(hub)
        return Path(
            hub.snapshot_download(
                name, repo_type=data.kind, revision=revision, allow_patterns=files,
                local_files_only=local,
            )
        )  # fmt: skip


def download(model: str, file: str | None = None, revision: str | None = None) -> Path:
    """The folder with the files of ``model`` ("owner/name"), or ``file`` alone, a GGUF file.

    revision: a branch, tag or commit; by default the latest. Raises UserError if huggingface_hub is
    not installed, if the hub cannot be reached and the files are not in its cache, and if the model
    is not there, is not public, or has other files.
    """
    repository = _Repository(model, revision)
    hub = _library(repository)
    with _errors_as_sentences(hub, repository):
        wanted = SMALL if file is None else [file]
        options = {"local_files_only": not _answers(hub)}
        folder = Path(
            hub.snapshot_download(model, revision=revision, allow_patterns=wanted, **options)
        )
        if file is not None:
            return _present(folder, file, model)
        if not (folder / CONFIG).is_file():
            raise UserError(
                f"the model {model} on the Hugging Face hub has no {CONFIG}: if it has GGUF files, "
                f"name one of them, as {model}/FILE.gguf"
            )
        files = _weights(folder)
        older = [] if (folder / "tokenizer.json").is_file() else OLDER
        more = [*files, *older]
        hub.snapshot_download(model, revision=folder.name, allow_patterns=more, **options)
        for name in files:
            _present(folder, name, model)
    return folder


def _present(folder: Path, file: str, model: str) -> Path:
    if not (folder / file).is_file():
        raise UserError(
            f"the model {model} has no file {file} on the Hugging Face hub: weights are read from "
            f"safetensors and GGUF files; see {_Repository(model, None).page}"
        )
    return folder / file


def _weights(folder: Path) -> list[str]:
    """The names of the files that hold the weights."""
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    where = read_json(folder / INDEX, INDEX_SCHEMA, max_bytes=MAX_INDEX)["weight_map"]
    return sorted(set(where.values()))


def _library(wanted: _Repository) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise UserError(
            f"{wanted.name} is a {wanted.kind_in_words} on the Hugging Face hub, and the library "
            f"that downloads from there is not installed: {INSTALL}"
        ) from None


def _answers(hub: Any) -> bool:
    """Whether the hub can be reached, asked once: the library itself tries for minutes."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    constants = importlib.import_module(f"{hub.__name__}.constants")
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        error.close()
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the library has certificates of its own
    except (OSError, http.client.HTTPException):
        return False
    return True


@contextmanager
def _errors_as_sentences(hub: Any, wanted: _Repository) -> Iterator[None]:
    """Turn what huggingface_hub raises into a UserError of one sentence."""
    errors = importlib.import_module(f"{hub.__name__}.errors")
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError:
        raise UserError(
            f"{wanted.words} is only for those who have accepted its terms: accept them on "
            f"{wanted.page} and log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(wanted.unknown()) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{wanted.words} has no revision {wanted.revision}: see {wanted.page}"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise UserError(wanted.unreachable()) from None
    except errors.EntryNotFoundError as error:
        raise UserError(f"{wanted.words} has no such file ({short_reason(error)})") from None
    except Exception as error:  # of the library, of its HTTP client, of the disk
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            reason = os.strerror(error.errno)  # type: ignore[attr-defined]
            raise UserError(
                f"{wanted.name} cannot be stored in the cache of huggingface_hub ({reason}): free "
                "some space, or set HF_HOME to another folder"
            ) from None
        reason = short_reason(error) or type(error).__name__
        raise UserError(
            f"{wanted.name} cannot be downloaded from the Hugging Face hub ({reason})"
        ) from None
