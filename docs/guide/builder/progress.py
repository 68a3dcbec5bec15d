"""What the builder shows while it works: a bar on a terminal, plain lines elsewhere.

with Progress() as progress:
    with progress.task("running the chapters", total=16) as task:
        task.at("03 The engine")      # what it does now
        task.advance()
    progress.say("PDF  guide.pdf")    # a line that stays
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bars,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Task:
    """One piece of work with a known number of parts."""

    def __init__(self, progress: "Progress", title: str, total: int, bar: TaskID) -> None:
        self._progress, self._title, self._total, self._bar = progress, title, total, bar

    def at(self, what: str) -> None:
        """Say which part is being worked on."""
        self._progress.bars.update(self._bar, description=f"{self._title}: {what}")
        if not self._progress.console.is_terminal:
            self._progress.say(f"{self._title}: {what}")

    def detail(self, what: str) -> None:
        """Say it more closely, on a terminal alone."""
        self._progress.bars.update(self._bar, description=f"{self._title}: {what}")

    def advance(self) -> None:
        """One more part is done."""
        self._progress.bars.advance(self._bar)


class Progress:
    """The builder's progress; see the module."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def say(self, line: str) -> None:
        """A line that stays on the screen."""
        self.console.print(line, markup=False)

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Task]:
        """A piece of work; its time is said at the end."""
        bar, start = self.bars.add_task(title, total=total), time.perf_counter()
        yield Task(self, title, total, bar)
        self.bars.remove_task(bar)
        self.say(f"{title}: {time.perf_counter() - start:.1f} s")
