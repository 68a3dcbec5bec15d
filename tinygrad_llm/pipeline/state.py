"""pipeline.json: which stages of a pipeline are done, with what, and how long they took.

A stage is done if its outputs are the files that were written then, made from the same inputs: both
are compared by sha256. The file is replaced atomically after each stage, so whenever a process is
killed, it names only what is whole.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256, write_atomically
from tinygrad_llm.files.json_file import Number, Text, read_json
from tinygrad_llm.precision_options import PrecisionOptions
from tinygrad_llm.training import runs

STATE_FILE = "pipeline.json"
FORMAT = 1
_SHA256 = Text("[0-9a-f]{64}", "a sha256")
_STAGE = {"inputs": {...: _SHA256}, "outputs": (_SHA256, None), "seconds": Number(0)}
SCHEMA = {
    "format": FORMAT,
    "options": {...: (str, int, None)},
    "versions": {...: str},
    "stages": {...: _STAGE},
}


@dataclass
class Record:
    """A stage that was begun. inputs: name -> sha256. outputs: sha256, None: not done yet.
    seconds: how long it has worked, in all sessions that could still say so."""

    inputs: dict[str, str]
    outputs: str | None = None
    seconds: float = 0.0


@dataclass
class State:
    """The content of pipeline.json in ``folder``."""

    folder: Path
    options: dict[str, Any]
    stages: dict[str, Record] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file."""
        content = {
            "format": FORMAT,
            "options": self.options,
            "versions": runs.versions(),
            "stages": {name: vars(record) for name, record in self.stages.items()},
        }
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        write_atomically(self.folder / STATE_FILE, text.encode())

    def changed(self, stage: str, inputs: Mapping[str, str], outputs: str | None) -> str | None:
        """Why a stage that was done must be done again; None if it need not be."""
        record = self.stages[stage]
        names = [name for name in inputs if record.inputs.get(name) != inputs[name]]
        if names:
            return f"another {' and another '.join(names)}"
        if outputs is None:
            return "files of it are missing"
        return None if outputs == record.outputs else "its files have changed since"


def open_state(folder: Path, options: dict[str, Any]) -> State:
    """The state of the pipeline in ``folder``, or a new one if it is empty.

    Raises UserError for a file that is damaged, for a folder with other things in it, and for a
    pipeline with other options.
    """
    path = folder / STATE_FILE
    if not path.exists():
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise UserError(
                f"{folder} exists and holds no pipeline, but {others[0]}: choose another --out"
            )
        return State(folder, options)
    advice = f"choose another --out, or remove the folder {folder} to begin anew"
    content = read_json(path, SCHEMA, file_names=True, advice=advice)
    before = asdict(PrecisionOptions()) | content["options"]  # which earlier versions did not have
    for name, value in options.items():
        if before.get(name) != value:
            raise UserError(
                f"{folder} holds a pipeline with another {name}: "
                f"{before.get(name)!r} and not {value!r}; choose another --out"
            )
    stages = {name: Record(**record) for name, record in content["stages"].items()}
    return State(folder, options, stages)


def sha256_of(content: Any) -> str:
    """sha256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def files_sha256(paths: Iterable[Path]) -> str | None:
    """sha256 of the names and contents of files; None if one is missing, or there are none."""
    paths = sorted(paths)
    if not paths or not all(path.is_file() for path in paths):
        return None
    return sha256_of([[path.name, file_sha256(path)] for path in paths])
