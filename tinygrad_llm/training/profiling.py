"""``train --profile``: where the time of a few training steps goes, as a table and as a trace.

The first step is left out: it allocates memory that all later ones reuse. Only ops are measured;
the rest of a step (the batch, the norm of the gradients, the optimizer) is the difference between
the last two lines of the table, the time in ops and the total.
"""

from pathlib import Path
from typing import Any

from autograd.debug import profile
from tinygrad_llm.counts import counted
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.trainer import Trainer

TABLE_FILE, TRACE_FILE = "profile.txt", "trace.json"


class ProfilingTrainer(Trainer):
    """A Trainer that profiles steps 2 to 4 (or as many as there are) into ``folder``."""

    def __init__(self, *args: Any, folder: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.config.steps is not None
        self.folder = folder
        self.profile = profile()
        self.profiled = range(min(2, self.config.steps), min(4, self.config.steps) + 1)

    def train_step(self) -> Metrics:
        """The step, profiled if it is one of those."""
        number = self.step + 1
        if number not in self.profiled:
            return super().train_step()
        with self.profile:
            line = super().train_step()
        if number == self.profiled[-1]:
            self._write()
        return line

    def _write(self) -> None:
        by_op, by_line = self.profile.table("op"), self.profile.table("line")
        table, trace = self.folder / TABLE_FILE, self.folder / TRACE_FILE
        try:
            table.write_text(f"{by_op}\n\n{by_line}\n", encoding="utf-8")
            self.profile.chrome_trace(trace)
            where = f"also by line: {table}; for ui.perfetto.dev: {trace}"
        except OSError as error:  # no reason to stop training
            where = f"note: it could not be written to {self.folder} ({error.strerror})"
        self.console.say(
            f"\nprofile of {counted(len(self.profiled), 'step')}; the time outside ops is batches, "
            f"the norm of the gradients and the optimizer\n{by_op}\n{where}\n"
        )
