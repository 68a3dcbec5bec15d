"""metrics.jsonl: one JSON object per line, one line per training step.

Keys: step (counted from 1), train_loss, lr, grad_norm, tokens_per_second; at evaluations also
val_loss, val_perplexity and val_bits_per_byte. The last line of a finished run has ``"final":
true`` and the evaluation of the whole validation text.

Lines are collected and written together. A process that is killed may leave the last line torn
and later lines than its last checkpoint; the reader drops the one, ``truncate`` the others.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically

Metrics = dict[str, Any]


class MetricsWriter:
    """Appends to a metrics file; use it as a context manager, or call ``close``."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")

    def write(self, metrics: Metrics) -> None:
        """Add one line. A number that JSON does not have (NaN, an infinity) becomes null."""
        line = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in metrics.items()
        }
        self._file.write(json.dumps(line, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Hand the lines to the system: they outlive this process."""
        self._file.flush()

    def sync(self) -> None:
        """Wait until the lines are on the disk: they outlive the machine's power."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def read_metrics(path: Path) -> list[Metrics]:
    """All whole lines, in order; a torn last line is left out, and a missing file has none.

    Raises UserError, naming the line, where the file holds anything else.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    metrics = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is torn
        try:
            parsed = json.loads(line)
            valid = isinstance(parsed, dict) and isinstance(parsed.get("step"), int)
        except ValueError:
            valid = False
        if not valid:
            raise UserError(
                f"line {number} of {path} is not a JSON object with a step; remove that line"
            )
        metrics.append(parsed)
    return metrics


def truncate(path: Path, step: int) -> None:
    """Remove every line after ``step``, a torn one and the final evaluation."""
    kept = [m for m in read_metrics(path) if m["step"] <= step and not m.get("final")]
    text = "".join(json.dumps(m) + "\n" for m in kept)
    write_atomically(path, text.encode())


def is_finished(path: Path) -> bool:
    """Whether the last line is the final evaluation."""
    metrics = read_metrics(path)
    return bool(metrics) and bool(metrics[-1].get("final"))
