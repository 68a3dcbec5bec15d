"""Checkpoints: everything a run needs to go on bit for bit, as a Hugging Face model directory.

    checkpoints/
      index.json                    {"last": "step-000500", "best": "step-000400"}
      step-000500/
        config.json model.safetensors tokenizer.json tokenizer_config.json
        training_state.safetensors  the optimizer's moments
        training_state.json         step, position in the data, states of all random generators

The first four files are what other programs open; the last two continue the training. A folder is
written under another name and renamed when all of it is on the disk, then the index is replaced:
whenever a process is killed, the index names whole checkpoints. Never pickle: opening a checkpoint
must not run code.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import remove_partials, write_atomically, write_folder_atomically
from tinygrad_llm.runs import CHECKPOINTS, FORMAT, read_json

INDEX = "index.json"
MODEL_FILE = "model.safetensors"
STATE_ARRAYS, STATE = "training_state.safetensors", "training_state.json"
_NAME = re.compile(r"step-\d{6,}")


class Checkpoints:
    """The checkpoints of one run. Keeps the last and the best one, and deletes the others."""

    def __init__(self, run: Path, tokenizer) -> None:
        self.run, self.tokenizer = run, tokenizer
        self.folder = run / CHECKPOINTS

    def save(
        self,
        model,
        arrays: dict[str, np.ndarray],
        state: dict[str, Any],
        best_step: int | None = None,
    ) -> Path:
        """Write the checkpoint of ``state["step"]`` and make it the last; returns its folder.

        ``arrays`` and ``state`` are the training state, as named arrays and as JSON data.
        ``best_step`` is the step of the best checkpoint, which is kept too; None is this one.
        Raises UserError where it cannot be written; the checkpoints before it are untouched then.
        """
        from tinygrad_llm.pretrained.gpt2 import save_model
        from tinygrad_llm.pretrained.tensor_file import write_tensors

        name = step_name(state["step"])

        def fill(folder: Path) -> None:
            eot = self.tokenizer.eot_id
            save_model(model, folder, bos_token_id=eot, eos_token_id=eot)
            self.tokenizer.save(folder, model_max_length=model.config.block_size)
            write_tensors(folder / STATE_ARRAYS, arrays)
            text = json.dumps({"format": FORMAT, **state}, indent=2) + "\n"
            (folder / STATE).write_text(text, encoding="utf-8")

        try:
            write_folder_atomically(self.folder / name, fill)
            best = step_name(state["step"] if best_step is None else best_step)
            if not (self.folder / best).is_dir():
                best = name
            index = json.dumps({"last": name, "best": best}, indent=2) + "\n"
            write_atomically(self.folder / INDEX, index.encode())
        except (OSError, UserError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot save the checkpoint of step {state['step']} in {self.folder} ({reason}); "
                + self._what_is_left()
            ) from error
        self._remove_all_but({name, best})
        return self.folder / name

    def tidy(self) -> None:
        """Before a run goes on: remove what a killed process left, and what the index omits."""
        remove_partials(self.run)
        remove_partials(self.folder)
        self._remove_all_but(set(read_index(self.run).values()))

    def _remove_all_but(self, kept: set[str]) -> None:
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def _what_is_left(self) -> str:
        try:
            last = read_index(self.run)["last"]
        except UserError:
            return "there is no earlier one; free some space and start again"
        return (
            f"{last} is safe: free some space and continue with "
            f"`tinygrad-llm train --resume {self.run}`"
        )


def step_name(step: int) -> str:
    """The folder's name of a step: step-000500."""
    return f"step-{step:06d}"


def read_index(run: Path) -> dict[str, str]:
    """Names of the last and best checkpoints; raises UserError unless both are there."""
    path = run / CHECKPOINTS / INDEX
    if not path.is_file():
        raise UserError(
            f"the run {run} has no checkpoint: it was stopped before the first was saved, or its "
            f"folder {CHECKPOINTS} was removed; train again"
        )
    content = read_json(path)
    names = {}
    for which in ("last", "best"):
        name = content.get(which)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserError(f"{path} has {name!r} for {which!r}, expected a name like step-000500")
        if not (path.parent / name).is_dir():
            raise UserError(f"{path} names {name}, but there is no such folder beside it")
        names[which] = name
    return names


def resolve(run: str | Path) -> Path:
    """The checkpoint that RUN means: the best one of a run, or the checkpoint itself.

    Any model directory in Hugging Face's layout counts as a checkpoint. Raises UserError where
    the path is neither.
    """
    return _resolve(run, "best")


def resolve_resume(run: str | Path) -> tuple[Path, Path]:
    """(run, checkpoint) to continue: the last checkpoint of a run, or the one that is named."""
    checkpoint = _resolve(run, "last")
    if not (checkpoint / STATE).is_file():
        raise UserError(
            f"{checkpoint} has no {STATE}: it is a model, but not a checkpoint that training can "
            "continue from"
        )
    if checkpoint.parent.name != CHECKPOINTS:
        raise UserError(
            f"{checkpoint} lies outside a run, and its options are in the run's run.json; name the "
            "run's folder"
        )
    return checkpoint.parent.parent, checkpoint


def _resolve(run: str | Path, which: str) -> Path:
    path = Path(run).expanduser()
    if not path.is_dir():
        what = "a file, not a folder" if path.exists() else "not there"
        raise UserError(f"the run {path} is {what}; expected a folder that `train` has written")
    if (path / MODEL_FILE).is_file():
        return path.resolve()
    if (path / CHECKPOINTS).is_dir() or (path / "run.json").is_file():
        return path / CHECKPOINTS / read_index(path)[which]
    raise UserError(
        f"{path} is neither a run nor a checkpoint: expected {CHECKPOINTS}/{INDEX} or {MODEL_FILE} "
        "in it"
    )


def load_training_state(checkpoint: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, state) as they were saved; raises UserError where they are missing or damaged."""
    from tinygrad_llm.pretrained.tensor_file import read_tensors

    state = read_json(checkpoint / STATE)
    if state.get("format") != FORMAT or not isinstance(state.get("step"), int):
        raise UserError(
            f"{checkpoint / STATE} has format {state.get('format')!r}, expected {FORMAT}: it was "
            "written by another version or another program"
        )
    return read_tensors(checkpoint / STATE_ARRAYS), state
