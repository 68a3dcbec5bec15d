"""``train --log``: the metrics of a run for other programs, written by callbacks.

    csv           metrics.csv, a table for spreadsheets and pandas
    tensorboard   the folder tensorboard/, for `tensorboard --logdir RUN`; needs tensorboardX

metrics.jsonl stays what the run itself reads. Both are as complete as the last checkpoint, and a
resumed run goes on with them.
"""

import csv
import io
from pathlib import Path
from typing import Any, Literal

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.training.metrics import Metrics, read_metrics
from tinygrad_llm.training.runs import METRICS_FILE

CSV_FILE, TENSORBOARD = "metrics.csv", "tensorboard"
Log = Literal["csv", "tensorboard"]


def check_log(kind: Log | None) -> None:
    """Raise UserError if a log needs a package that is not installed, before the work begins."""
    if kind == "tensorboard":
        _summary_writer()


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError(
            "--log tensorboard needs the package tensorboardX: install it with "
            "`pip install 'tinygrad-llm[tensorboard]'`, or use --log csv"
        ) from None
    return SummaryWriter


def make_log(kind: Log, run: Path) -> "CsvLog | TensorBoardLog":
    """The callback that writes this kind of log into the run's folder."""
    return CsvLog(run) if kind == "csv" else TensorBoardLog(run)


class CsvLog:
    """Writes metrics.csv anew with each checkpoint, from metrics.jsonl."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def on_save(self, trainer: Any, checkpoint: Path) -> None:
        self.close()

    def close(self) -> None:
        """Write the file: a column for each key, and nothing where a line has none."""
        lines = read_metrics(self.run / METRICS_FILE)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(dict.fromkeys(key for line in lines for key in line)))
        writer.writeheader()
        writer.writerows(lines)
        write_atomically(self.run / CSV_FILE, table.getvalue().encode())


class TensorBoardLog:
    """Writes the numbers of each step as scalars."""

    def __init__(self, run: Path) -> None:
        self._make = _summary_writer()
        self._folder = run / TENSORBOARD
        self._writer: Any = None

    def on_step(self, trainer: Any, line: Metrics) -> None:
        if self._writer is None:  # what a killed process has written of later steps is hidden
            step = line["step"]
            self._writer = self._make(
                str(self._folder), purge_step=step, filename_suffix=f".from-{step}"
            )
        for name, value in line.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, line["step"])

    def on_save(self, trainer: Any, checkpoint: Path) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
