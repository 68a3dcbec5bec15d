"""Ctrl-C and SIGTERM: they stop the program in one of two ways, and never with a traceback.

While a model trains they are a polite request (``StopSignals``): finish the step, save, and stop.
The first signal is only recorded; the training loop checks ``received`` between two steps. It also
restores the previous handlers, so a second signal stops at once. Checkpoints are renamed into place
when they are whole (files/atomic.py), so even that loses only the steps since the last one.

In a chat Ctrl-C is a request to end the answer, and at the prompt it is only a KeyboardInterrupt
(``ctrl_c_raises``).

At any other time they end the program (``end_program_at_signals``): the first raises ``Stopped``,
so that unfinished files are removed, and the second does not wait for that.

A signal that is ignored when the program starts stays ignored: nohup, cron and a script's ``&``
protect a background job from the terminal's Ctrl-C in this way.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The program must stop, because of the signal ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM: a shell's exit code for a process ended by that signal."""
    return 128 + getattr(error, "number", signal.SIGINT)


class StopSignals:
    """Context manager in which signals set ``received`` instead of having their usual effect.

    The second signal has its usual effect again. Only the main thread can handle signals; in any
    other thread nothing changes.
    """

    def __init__(self, signals: tuple[int, ...] = SIGNALS) -> None:
        self.received: int | None = None
        self._signals = signals
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                if not _is_ignored(number):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """Context in which Ctrl-C is a KeyboardInterrupt each time, and does not end the program."""
    main = threading.current_thread() is threading.main_thread()
    if not main or _is_ignored(signal.SIGINT):
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ignored(number: int) -> bool:
    """Whether a signal is ignored, or handled by something that Python could not restore."""
    return signal.getsignal(number) in (signal.SIG_IGN, None)


# --- for a process that runs only the command line -----------------------------------------------

_stopped_by: int | None = None  # the signal that stopped the program
_raised = False  # Stopped has been raised: the next signal does not wait


def end_program_at_signals() -> None:
    """From now on SIGINT and SIGTERM raise Stopped, and a second one ends the process at once."""
    for number in SIGNALS:
        if not _is_ignored(number):
            signal.signal(number, _stop)
    sys.unraisablehook = _send_again


def ignore_signals() -> None:
    """Ignore signals once the work is done: during shutdown they would only cause a traceback."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def stopped_by() -> int | None:
    """The signal that has raised Stopped, or is about to raise it again; None if there was none."""
    return _stopped_by


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped_by, _raised
    if _raised:
        os._exit(128 + number)
    _stopped_by, _raised = number, True
    raise Stopped(number)


def _send_again(unraisable: Any) -> None:
    """Repeat a signal whose exception was lost, since Python drops exceptions in finalizers.

    It comes again a moment later. Until then ``stopped_by`` names the signal: code that waited for
    a callback may fail first.
    """
    global _raised
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    _raised = False
    number = getattr(unraisable.exc_value, "number", signal.SIGINT)
    retry = threading.Timer(0.05, os.kill, (os.getpid(), number))
    retry.daemon = True
    retry.start()
