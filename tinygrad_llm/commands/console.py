"""Output of long work: a progress bar on a terminal and in a notebook, calm plain lines elsewhere.

All kinds have the same methods, so the code that works need not know where its output goes. On all,
control codes in the text are shown as escapes (terminal.py).

    say(text)                    a line of report
    entries(rows)                names and values, as two columns
    write(text)                  text as it is generated, without a line end
    progress(label)              context manager that yields progress(done, total)
    start(done, total)           the training loop begins,
    step(metrics, loss, note)    has done a step (a line of metrics.py) and remarks on it,
    stop()                       and is over, for whatever reason
"""

import contextlib
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TextIO

from tinygrad_llm.notebook import NotebookBar, is_notebook
from tinygrad_llm.terminal import one_line, printable
from tinygrad_llm.training.metrics import Metrics

PACE = 10.0  # seconds between plain lines of training
Progress = Callable[[int, int | None], None]


def make_console(stream: TextIO | None = None) -> "PlainConsole":
    """The console that suits a stream (default: standard output)."""
    stream = sys.stdout if stream is None else stream
    if is_notebook(stream):
        return NotebookConsole(stream)
    return TerminalConsole(stream) if stream.isatty() else PlainConsole(stream)


class PlainConsole:
    """Lines of text, each written out at once: for files, pipes and logs."""

    peak_rate: float | None = None  # tokens/s if everything ran at the speed of matrix products

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def width(self) -> int | None:
        """The columns that a table may have; None, of a file or a pipe, for as many as it needs."""
        return None

    def entries(self, rows: Iterable[tuple[str, str]], names: int = 0) -> int:
        """Print names and values as two columns; a long value continues below its beginning.

        ``names`` is the least width of the first column, whose width is returned.
        """
        rows = [(one_line(name), one_line(value)) for name, value in rows]
        names = max(names, *(len(name) for name, _ in rows))
        for name, value in rows:
            line = f"{name:<{names}}  {value}"
            if self.width is not None:
                line = textwrap.fill(
                    line, self.width, subsequent_indent=" " * (names + 2),
                    break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
            self.say(line)
        return names

    def say(self, text: str = "") -> None:
        """Print a line of report."""
        print(printable(text), file=self.stream, flush=True)

    def write(self, text: str) -> None:
        """Print text without a line end."""
        self.stream.write(printable(text))
        self.stream.flush()

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Say what is being done, and then every PACE seconds how much of it is done."""
        self.say(f"{label} ...")
        shown = time.monotonic()

        def update(done: int, total: int | None) -> None:
            nonlocal shown
            if total and time.monotonic() - shown >= PACE:
                shown = time.monotonic()
                self.say(f"  {done / total:.0%}")

        yield update

    def start(self, done: int, total: int) -> None:
        """The training loop begins with ``done`` of ``total`` steps done."""
        self._pace = Pace(done, total, self.peak_rate)
        self._shown = time.monotonic()

    def step(self, line: Metrics, loss: float, note: str = "") -> None:
        """Show a step, given its line of metrics; one with a note is always shown."""
        self._pace.add(line, loss)
        now = time.monotonic()
        first = self._pace.done == self._pace.first_step + 1
        if first or note or now - self._shown >= PACE:
            self._shown = now
            self.say(step_text(self._pace, note))

    def stop(self) -> None:
        """The training loop is over."""


class TerminalConsole(PlainConsole):
    """A bar that stays at the bottom, with the report scrolling above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        super().__init__(stream)
        self._rich = Console(file=stream, markup=False, highlight=False, emoji=False)
        self._bar: Any = None

    @property
    def width(self) -> int | None:
        return self._rich.width

    def say(self, text: str = "") -> None:
        self._rich.print(printable(text), soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        from rich.progress import (
            BarColumn,
            Progress as Bar,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        description = TextColumn("{task.description}", markup=False)
        columns = description, BarColumn(), TaskProgressColumn()
        with Bar(*columns, TimeRemainingColumn(), console=self._rich, transient=True) as bar:
            task = bar.add_task(printable(label), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def start(self, done: int, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn

        self._pace = Pace(done, total, self.peak_rate)
        self._bar = Bar(
            TextColumn("[bold]training[/]"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            console=self._rich,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("training", completed=done, total=total, status="")
        self._bar.start()

    def step(self, line: Metrics, loss: float, note: str = "") -> None:
        self._pace.add(line, loss)
        pace = self._pace
        self._bar.update(
            self._task,
            completed=pace.done,
            status=f"loss [cyan]{pace.loss:.3f}[/]  {pace.rate_text().strip()}  "
            f"{clock(pace.seconds_left())} left",
        )
        if note:
            self.say(step_text(pace, note))

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class NotebookConsole(PlainConsole):
    """A bar below the cell for each kind of work, among the lines of the report."""

    _bar: NotebookBar | None = None

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        bar = NotebookBar(printable(label))
        try:
            yield bar.update
        finally:
            bar.stop()

    def start(self, done: int, total: int) -> None:
        self._pace = Pace(done, total, self.peak_rate)
        self._bar = NotebookBar("training", done, total)

    def step(self, line: Metrics, loss: float, note: str = "") -> None:
        self._pace.add(line, loss)
        assert self._bar is not None
        self._bar.update(self._pace.done, self._pace.total, step_text(self._pace))
        if note:
            self.say(step_text(self._pace, note))

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Working:
    """Progress that is shown from its first call on: not at all if the result is in the cache."""

    def __init__(self, console: PlainConsole, label: str) -> None:
        self._console, self._label = console, label
        self._stack = contextlib.ExitStack()
        self._progress: Progress | None = None

    @property
    def begun(self) -> bool:
        """Whether there was any work."""
        return self._progress is not None

    def __call__(self, done: int, total: int | None) -> None:
        if self._progress is None:
            self._progress = self._stack.enter_context(self._console.progress(self._label))
        self._progress(done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


class Pace:
    """Running averages over the steps: loss, tokens per second, time left.

    If ``peak_rate`` is known, tokens per second are also shown as a share of it.
    """

    def __init__(self, done: int, total: int, peak_rate: float | None = None) -> None:
        self.peak_rate = peak_rate
        self.first_step = self.done = done
        self.total = total
        self.started = time.monotonic()
        self.loss = self.tokens_per_second = 0.0
        self._weight = 0.0

    def add(self, line: Metrics, loss: float) -> None:
        """Add a step's line of metrics, and its loss, to the averages."""
        self.done = line["step"]
        # A moving average, corrected for its start at zero (as in Adam).
        self._weight = 0.95 * self._weight + 0.05
        share = 0.05 / self._weight
        self.loss += share * (loss - self.loss)
        self.tokens_per_second += share * (line["tokens_per_second"] - self.tokens_per_second)

    def rate_text(self) -> str:
        """Tokens per second, and the share of the machine's peak if that is known."""
        text = f"{self.tokens_per_second:>7,.0f} tokens/s"
        if self.peak_rate:
            text += f" ({self.tokens_per_second / self.peak_rate:.0%} of peak)"
        return text

    def seconds_left(self) -> float:
        """The time that the remaining steps will take at the pace so far."""
        steps = self.done - self.first_step
        return (time.monotonic() - self.started) / max(1, steps) * (self.total - self.done)


def step_text(pace: Pace, note: str = "") -> str:
    """The step that was added last as a line of text."""
    width = len(str(pace.total))
    text = (
        f"step {pace.done:>{width}}/{pace.total}  loss {pace.loss:.4f}  "
        f"{pace.rate_text()}  {clock(pace.seconds_left())} left"
    )
    return f"{text}  {note}" if note else text


def clock(seconds: float) -> str:
    """1:05, or 1:01:05 from an hour on."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
