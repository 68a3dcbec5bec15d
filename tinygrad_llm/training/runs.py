"""A run is a folder: its options, its measurements and its results.

    runs/llama-tiny/
      run.json            every option, the corpus, the versions: enough to repeat the run
      metrics.jsonl       one line per step (metrics.py)
      loss.png            the same as a picture (plot.py)
      .lock               locked by the process that trains (lock.py)
      checkpoints/        models in Hugging Face's layout, and index.json (checkpoint.py)

A run never overwrites another: if the folder exists, ``-2`` (``-3``, ...) is appended.
"""

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_atomically
from tinygrad_llm.files.json_file import Text, Whole, read_json
from tinygrad_llm.run_options import MAY_CHANGE
from tinygrad_llm.version import __version__

RUN_FILE, METRICS_FILE, PLOT_FILE, CHECKPOINTS = (
    "run.json",
    "metrics.jsonl",
    "loss.png",
    "checkpoints",
)
FORMAT = 1  # of run.json and of the training state in a checkpoint
PLACES = (
    "config", "init_from", "model", "adapter", "data", "validation_data", "test_data", "tokenizer",
    "out", "resume",
)  # fmt: skip
"""Options that say where things are."""
RUN_SCHEMA = {
    "format": FORMAT,
    "options": {...: (str, int, float, bool, None, [str], [float])},  # config.py knows each
    "model?": dict,
    "parameters?": Whole(0),
    "corpus?": {...: object},
    "sample_prompt?": str,
    "task?": Text("[a-z]{1,20}", "sft"),  # of a fine-tuning run: its kind ...
    "inputs?": {...: object},  # ... and the sha256 of its model and data
    "versions": {...: str},
}


def check_out(out: str | None) -> None:
    """Raise UserError if no folder can be made at ``out``, before the work for it begins."""
    parent = (user_path(out) if out else Path("runs")).absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        what = "cannot be written to" if parent.is_dir() else "is a file"
        raise UserError(
            f"cannot make the run folder {out or 'runs'}: {parent} {what}; choose another with "
            "--out"
        )


def create_run(out: str | None, preset: str) -> Path:
    """Make and return a new folder: ``out`` or runs/<preset>, with a number if that exists.

    Raises UserError if the folder cannot be made.
    """
    first = user_path(out) if out else Path("runs") / preset
    number, path = 1, first
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if path.parent.is_dir():
                number += 1
                path = first.with_name(f"{first.name}-{number}")
                continue
            raise UserError(f"cannot make the run folder {path}: {path.parent} is a file") from None
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {path} ({error.strerror}); choose another with --out"
            ) from None


def write_run_file(run: Path, options: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write run.json: the options, which ``--resume`` reads, and facts that identify the run."""
    _write(run, {"format": FORMAT, "options": options, **facts, "versions": versions()})


def read_run_file(run: Path) -> dict[str, Any]:
    """The content of run.json; raises UserError if it is missing, damaged or foreign."""
    path = run / RUN_FILE
    return read_json(path, RUN_SCHEMA, file_names=True, advice="start a new run")


def change_options(run: Path, changes: dict[str, Any]) -> None:
    """Replace options in run.json."""
    content = read_run_file(run)
    content["options"] |= changes
    _write(run, content)


def _write(run: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(run / RUN_FILE, text.encode())


def options_sha256(run: Path, *, all_options: bool = False) -> str:
    """sha256 of a run's options, except those about the machine: where things are, what is fast.

    Those that --resume may change are left out too, unless ``all_options``: fine-tuning has none.
    """
    content = read_run_file(run)
    may_change = () if all_options or "task" in content else MAY_CHANGE
    content = {
        name: value
        for name, value in content["options"].items()
        if name not in (*PLACES, "require_fast", *may_change)
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, this project and its libraries; "not installed" for a missing one."""
    versions = {"python": platform.python_version(), "tinygrad-llm": __version__}
    for package in ("numpy", "numba", "llvmlite", "tiktoken", "safetensors"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
