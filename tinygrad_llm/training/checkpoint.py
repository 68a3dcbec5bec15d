"""Checkpoints: everything a run needs to continue bit for bit, as a Hugging Face model directory.

    checkpoints/
      index.json                    {"last": "step-000500", "best": "step-000400"}
      step-000500/
        config.json model.safetensors tokenizer.json tokenizer_config.json
        training_state.safetensors  the optimizer's moments
        training_state.json         step, position in the data, states of all random generators
        SHA256SUMS                  the checksum of each of these files

Other programs open the first four files; the next two continue the training. A folder is written
under another name and renamed when all of it is on disk, then the index is replaced, and only then
is an older checkpoint deleted: whenever a process is killed, the index names whole checkpoints.
None is ever overwritten. Never pickle: opening a checkpoint must not run code.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import (
    PARTIAL,
    remove_partials,
    user_path,
    write_atomically,
    write_folder_atomically,
)
from tinygrad_llm.files.checksums import SUMS, verify, write_sums
from tinygrad_llm.files.json_file import Text, Whole, read_json
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training.runs import CHECKPOINTS, FORMAT, RUN_FILE, options_sha256

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer

INDEX = "index.json"
MODEL_FILE, ADAPTER_FILE = "model.safetensors", "adapter_model.safetensors"
STATE_ARRAYS, STATE = "training_state.safetensors", "training_state.json"
STATE_BYTES = 1 << 26  # GRPO saves the answers that it has not learned all from
_NAME = re.compile(r"step-(\d{6,})(-\d+)?", re.ASCII)

INDEX_SCHEMA = dict.fromkeys(("last", "best"), Text(_NAME.pattern, "step-000500"))
GENERATOR_SCHEMA = {
    "bit_generator": "PCG64",
    "state": {"state": Whole(0, 2**128 - 1), "inc": Whole(0, 2**128 - 1)},
    "has_uint32": Whole(0, 1),
    "uinteger": Whole(0, 2**32 - 1),
}
CORPUS_SCHEMA = {
    "tokens": Whole(1),
    "batch_size": Whole(1),
    "block_size": Whole(1),
    "bit_generator": GENERATOR_SCHEMA,
}


def state_schema(task: Any) -> dict[str, Any]:
    """What a training state looks like, with that of the run's task (``Task.state_dict``) in it."""
    return {
        "format": FORMAT,
        "options?": (Text("[0-9a-f]{64}", "a sha256"), None),
        "step": Whole(0),
        "best": ({"step": Whole(0), "val_loss": float}, None),
        "loader": task,
        "random": {"model?": GENERATOR_SCHEMA},
    }


STATE_SCHEMA = state_schema(CORPUS_SCHEMA)


class Checkpoints:
    """The checkpoints of one run. Keeps the last ones and the best one, and deletes the others."""

    def __init__(
        self,
        run: Path,
        tokenizer: "Tokenizer",
        save_model: Callable[["Model", Path], None] | None = None,
        keep: int = 1,
    ) -> None:
        """``save_model`` writes what a run trains into a folder; None means ``save_pretrained``.

        ``keep`` is how many of the last checkpoints stay.
        """
        self.run, self.tokenizer, self._save_model = run, tokenizer, save_model
        self.keep = keep
        self.folder = run / CHECKPOINTS
        self._options = options_sha256(run) if (run / RUN_FILE).is_file() else None

    def save(
        self,
        model: "Model",
        arrays: dict[str, np.ndarray],
        state: dict[str, Any],
        best_step: int | None = None,
    ) -> Path:
        """Write the checkpoint of ``state["step"]`` and make it the last; returns its folder.

        ``arrays`` and ``state`` are the training state, as named arrays and as JSON data.
        ``best_step`` is the step of the best checkpoint, which is kept too; None means this one.
        Raises UserError if it cannot be written; then the earlier checkpoints are untouched.
        """
        from tinygrad_llm.pretrained.save import save_pretrained
        from tinygrad_llm.pretrained.tensor_file import write_tensors

        def fill(folder: Path) -> None:
            if self._save_model is not None:
                self._save_model(model, folder)
            else:
                save_pretrained(model, self.tokenizer, folder)
            write_tensors(folder / STATE_ARRAYS, arrays)
            content = {"format": FORMAT, "options": self._options, **state}
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
            (folder / STATE).write_text(text, encoding="utf-8")
            write_sums(folder)

        try:
            name = self._free_name(state["step"])
            write_folder_atomically(self.folder / name, fill)
            best = name if best_step in (None, state["step"]) else self._newest_of(best_step)
            self._write_index(name, best or name)
        except (OSError, UserError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot save the checkpoint of step {state['step']} in {self.folder} ({reason}); "
                + self._what_is_left()
            ) from error
        self._remove_all_but({best or name, *self._last(state["step"])})
        return self.folder / name

    def continue_from(self, checkpoint: Path, best_step: int | None = None) -> None:
        """Make ``checkpoint`` the last one, before a run continues from it.

        Removes what later steps and killed processes left, after the index names only what stays.
        """
        best = self._newest_of(best_step)
        self._write_index(checkpoint.name, best or checkpoint.name)
        self.tidy({best or checkpoint.name, checkpoint.name, *self._last(step_of(checkpoint))})

    def tidy(self, keep: set[str]) -> None:
        """Remove what a killed process left, and every checkpoint not named in ``keep``."""
        remove_partials(self.run)
        remove_partials(self.folder)
        self._remove_all_but(keep)

    def _write_index(self, last: str, best: str) -> None:
        text = json.dumps({"last": last, "best": best}, indent=2) + "\n"
        path = self.folder / INDEX
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text.encode())

    def _free_name(self, step: int) -> str:
        """step-000500; if that folder exists, -2 (-3, ...) is appended: none is replaced."""
        name = step_name(step)
        number = 1
        while (self.folder / name).exists():
            number += 1
            name = f"{step_name(step)}-{number}"
        return name

    def _last(self, step: int) -> list[str]:
        """The names of the last checkpoints that stay, up to that of a step."""
        folders = [p.name for p in saved_checkpoints(self.run) if step_of(p) <= step]
        return folders[-self.keep :]

    def _newest_of(self, step: int | None) -> str | None:
        """The name of this step's checkpoint (if there are several, the latest), or None."""
        folders = [p for p in saved_checkpoints(self.run) if step_of(p) == step]
        return folders[-1].name if folders else None

    def _remove_all_but(self, keep: set[str]) -> None:
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)

    def _what_is_left(self) -> str:
        if not self.run.is_dir():
            return (
                "the run's folder was moved or removed: continue with `train --resume` on its new "
                "path"
            )
        try:
            left = f"{read_index(self.run)['last']} is safe"
        except UserError:
            left = "there is no earlier one"
        command = shell_command("tinygrad-llm", "train", "--resume", self.run)
        return f"{left}: free some space and continue with `{command}`"


def step_name(step: int) -> str:
    """The folder's name of a step: step-000500."""
    return f"step-{step:06d}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's folder is named after; -1 if it has another name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def saved_checkpoints(run: Path) -> list[Path]:
    """The checkpoints in a run's folder by step, whether the index names them or not."""
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        return []
    checkpoints = [p for p in folder.iterdir() if _NAME.fullmatch(p.name)]
    return sorted(checkpoints, key=lambda p: (step_of(p), len(p.name), p.name))


def read_index(run: Path) -> dict[str, str]:
    """Names of the last and best checkpoints; raises UserError unless both exist."""
    path = run / CHECKPOINTS / INDEX
    if not path.is_file():
        raise UserError(
            f"the run {run} has no checkpoint: it was stopped before the first was saved, or its "
            f"folder {CHECKPOINTS} was removed; train again"
        )
    left = saved_checkpoints(run)
    advice = f"name a checkpoint yourself, such as {left[-1]}" if left else "train again"
    names = read_json(path, INDEX_SCHEMA, advice=advice)
    for name in names.values():
        if not (path.parent / name).is_dir():
            raise UserError(
                f"{path} names {name}, but there is no such folder next to it; {advice}"
            )
    return names


def put_back(run: Path) -> None:
    """Undo what an earlier version may have left when it was killed: a checkpoint moved away.

    It replaced one by renaming it first, so for a moment neither the old nor the new one had its
    name.
    """
    for old in (run / CHECKPOINTS).glob(f"{PARTIAL}old-step-*"):
        path = old.with_name(old.name.removeprefix(f"{PARTIAL}old-"))
        if not path.exists():
            os.rename(old, path)


def resolve(run: str | Path) -> Path:
    """The checkpoint that RUN means: the best one of a run, or the checkpoint itself.

    Any model directory in Hugging Face's layout counts as a checkpoint. Raises UserError if the
    path is neither.
    """
    path = _folder(run)
    return path if _is_checkpoint(path) else path / CHECKPOINTS / read_index(path)["best"]


def run_of(run: str | Path) -> Path:
    """The run's folder that RUN means, which may also be one of its checkpoints.

    Raises UserError for a model that is not a checkpoint of a run.
    """
    path = _folder(run)
    if not _is_checkpoint(path):
        return path
    if path.parent.name != CHECKPOINTS:
        raise UserError(
            f"{path} is not inside a run folder, so its run.json cannot be found; name the run's "
            "folder"
        )
    return path.parent.parent


def resolve_resume(run: str | Path) -> tuple[Path, Path | None]:
    """(run, checkpoint) to continue: the last checkpoint of a run, or the one that is named.

    The checkpoint is None if the run was stopped before its first one.
    """
    path = _folder(run)
    if _is_checkpoint(path):
        checkpoint = path
    elif (path / CHECKPOINTS / INDEX).exists():
        checkpoint = path / CHECKPOINTS / read_index(path)["last"]
    elif saved := saved_checkpoints(path):
        checkpoint = saved[-1]  # killed between the folder and the index
    else:
        return path, None
    if not (checkpoint / STATE).is_file():
        raise UserError(
            f"{checkpoint} has no {STATE}: it is a model, but training cannot continue from it"
        )
    return run_of(checkpoint), checkpoint


def _folder(run: str | Path) -> Path:
    """The folder of a run or of a model; raises UserError for anything else."""
    path = user_path(run)
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise UserError(f"the run {path} {what}; expected a folder that `train` has written")
    if _is_checkpoint(path):
        return path.resolve()
    if (path / CHECKPOINTS).is_dir() or (path / RUN_FILE).is_file():
        return path
    raise UserError(
        f"{path} is neither a run nor a checkpoint: expected {CHECKPOINTS}/{INDEX} or {MODEL_FILE} "
        "in it"
    )


def _is_checkpoint(path: Path) -> bool:
    """Whether a folder has a model, or an adapter."""
    return (path / MODEL_FILE).is_file() or (path / ADAPTER_FILE).is_file()


def verify_checkpoint(checkpoint: Path) -> str | None:
    """Check every file against SHA256SUMS; returns a note if a checkpoint has none.

    A model that was not saved by ``train`` need not have any, which is not worth a note.
    Raises UserError, naming the file, if one has changed since it was written.
    """
    if verify(checkpoint) or not (checkpoint / STATE).is_file():
        return None
    return f"note: {checkpoint} has no {SUMS}, so its files cannot be checked for changes"


def load_training_state(
    checkpoint: Path, schema: Any = STATE_SCHEMA
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, state) as they were saved; raises UserError if they are missing or damaged.

    ``schema`` describes the state (json_file.py).
    """
    from tinygrad_llm.pretrained.tensor_file import check_finite, read_tensors

    path = checkpoint / STATE
    advice = "resume from another checkpoint"
    state = read_json(path, schema, max_bytes=STATE_BYTES, advice=advice)
    if step_of(checkpoint) not in (-1, state["step"]):
        raise UserError(
            f"{path} is of step {state['step']}, but its folder is {checkpoint.name}: it belongs "
            "to another checkpoint"
        )
    arrays = read_tensors(checkpoint / STATE_ARRAYS)
    for name, array in arrays.items():
        check_finite(array, name, checkpoint / STATE_ARRAYS)
    return arrays, state


def check_same_run(run: Path, state: dict[str, Any]) -> None:
    """Raise UserError unless run.json has the options that the state was saved with."""
    # checkpoints of earlier versions have the checksum of all options
    known = (options_sha256(run), options_sha256(run, all_options=True))
    if state.get("options") not in (None, *known):
        raise UserError(
            f"the options in {run / RUN_FILE} have changed since the checkpoint of step "
            f"{state['step']} was saved, so the run would not continue as it was; restore them, or "
            "use --no-verify to continue with these"
        )
