"""metrics.jsonl: one JSON object per line, one line per training step.

Every line has a step, counted from 1, grad_norm and tokens_per_second. In pretraining the other
keys are train_loss and lr, and at evaluations val_loss, val_perplexity and val_bits_per_byte. Fine-
tuning has those of Hugging Face's TRL: loss, learning_rate, eval_loss, rewards/margins and so on.
The last line of a finished run has ``"final": true``, the evaluation of all validation data, and
val_median_bits_per_byte, the median over its documents.

Lines are collected and written together. A process that is killed may leave a torn last line, and
lines of later steps than its last checkpoint; the reader drops the former, ``truncate`` the latter.
"""

import io
import json
import math
import os
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import Whole, check_json, parse_json
from tinygrad_llm.terminal import shell_command

Metrics = dict[str, Any]

_NUMBER = (float, None)
LINE_SCHEMA = {
    "step": Whole(0),
    "train_loss?": _NUMBER,
    "lr?": _NUMBER,
    "grad_norm?": _NUMBER,
    "tokens_per_second?": _NUMBER,
    "val_loss?": _NUMBER,
    "val_perplexity?": _NUMBER,
    "val_bits_per_byte?": _NUMBER,
    "val_median_bits_per_byte?": _NUMBER,
    "final?": True,
}
FINE_TUNING_SCHEMA = {"step": Whole(0), "final?": True, ...: _NUMBER}
MAX_LINE = 4096  # bytes


class MetricsWriter:
    """Appends to a metrics file; use it as a context manager, or call ``close``.

    The file is opened, or created, when the first lines are written. Raises UserError if it cannot
    be written, on a full disk for example.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[bytes] = []
        self._file: io.FileIO | None = None

    def write(self, metrics: Metrics) -> None:
        """Add one line. A number that JSON does not have (NaN, an infinity) becomes null."""
        line = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in metrics.items()
        }
        self._lines.append(json.dumps(line, allow_nan=False).encode() + b"\n")

    def flush(self) -> None:
        """Pass the lines to the system: they survive the end of this process."""
        self._write_out(sync=False)

    def sync(self) -> None:
        """fsync: the lines survive a power failure."""
        self._write_out(sync=True)

    def _write_out(self, sync: bool) -> None:
        data = b"".join(self._lines)
        self._lines = []
        try:
            if self._file is None:
                self._file = open(self.path, "ab", buffering=0)
            while data:  # the system may accept only a part
                data = data[self._file.write(data) :]
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Write the remaining lines and close the file."""
        try:
            if self._lines:
                self.flush()
        finally:
            if self._file is not None:
                self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[Metrics]:
    """All whole lines, in order; a torn last line is left out, and a missing file has none.

    Raises UserError, naming the line, if the file contains anything else.
    """
    metrics: list[Metrics] = []
    try:
        if path.exists() and not path.is_file():  # opening a FIFO would wait for ever
            raise UserError(f"cannot read {path} (it is not a regular file)")
        with open(path, "rb") as file:
            while (line := file.readline(MAX_LINE + 1)).endswith(b"\n"):
                name = f"line {len(metrics) + 1} of {path}"
                metrics.append(_parse(line, name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    if len(line) > MAX_LINE:
        raise UserError(
            f"line {len(metrics) + 1} of {path} has more than {MAX_LINE:,} bytes, too many for a "
            "line of metrics: the file is damaged"
        )
    return metrics


def _parse(line: bytes, name: str) -> Metrics:
    advice = "remove that line"
    content: Metrics = parse_json(line, name, {...: object}, advice=advice)
    fine_tuning = "loss" in content or "eval_loss" in content
    check_json(content, name, FINE_TUNING_SCHEMA if fine_tuning else LINE_SCHEMA, advice=advice)
    return content


def check_steps(path: Path, step: int) -> None:
    """Raise UserError unless the file has a line of every step from 1 to ``step``, in order."""
    steps = [m["step"] for m in read_metrics(path) if not m.get("final") and m["step"] <= step]
    for expected, actual in zip(range(1, step + 1), [*steps, None], strict=False):
        if actual != expected:
            raise UserError(
                f"{path} has lost the line of step {expected}, though the checkpoint is of step "
                f"{step}; restore the file, or use --no-verify to continue without it"
            )


def truncate(path: Path, step: int) -> None:
    """Remove every line after ``step``, a torn one and the final evaluation."""
    lines = [m for m in read_metrics(path) if m["step"] <= step and not m.get("final")]
    text = "".join(json.dumps(m) + "\n" for m in lines)
    write_atomically(path, text.encode())


def is_finished(path: Path) -> bool:
    """Whether the last line is the final evaluation."""
    metrics = read_metrics(path)
    return bool(metrics) and bool(metrics[-1].get("final"))


def cannot_write(path: Path, error: OSError) -> UserError:
    """What to say when a file in the folder of a run cannot be written."""
    command = shell_command("tinygrad-llm", "train", "--resume", path.parent)
    return UserError(
        f"cannot write {path} ({error.strerror}); the checkpoints are intact: free some space and "
        f"continue with `{command}`"
    )
