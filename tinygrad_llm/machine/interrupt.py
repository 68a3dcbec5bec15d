"""Ctrl-C and SIGTERM: at any moment one of two things, and never a traceback.

While a model trains they are a polite request (``StopSignals``): finish the step, save, and stop.
The first signal is only noted; the training loop looks at ``received`` between two steps. It also
puts the handlers back that were there before, so that a second signal stops at once. Checkpoints
are renamed into place when they are whole (files/atomic.py), so even that loses only the
steps since the last one.

Anywhere else they end the program (``end_program_at_signals``): the first raises ``Stopped``, so
that what is half made is cleared away, and the second does not wait for that.

A signal that is ignored when the program starts stays ignored: that is how nohup, cron and a
script's ``&`` keep the terminal's Ctrl-C from a job in the background.
"""

import os
import signal
import sys
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The program was told to stop, by the signal ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM: what a shell reports of a process that a signal ended."""
    return 128 + getattr(error, "number", signal.SIGINT)


class StopSignals:
    """Context manager in which SIGINT and SIGTERM set ``received`` instead of ending the process.

    Only the main thread can handle signals; in any other, they keep their usual effect.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if not _is_ignored(number):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc_info) -> None:
        self._restore()

    def _note(self, number, frame) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]


def _is_ignored(number: int) -> bool:
    """Whether a signal is ignored, or handled by something that Python could not put back."""
    return signal.getsignal(number) in (signal.SIG_IGN, None)


# --- for a process that is the command line from start to end ------------------------------------

_stopped_by: int | None = None  # the signal that stopped the program
_raised = False  # Stopped is on its way up: the next signal does not wait


def end_program_at_signals() -> None:
    """From now on SIGINT and SIGTERM raise Stopped, and a second one ends the process at once."""
    for number in SIGNALS:
        if not _is_ignored(number):
            signal.signal(number, _stop)
    sys.unraisablehook = _send_again


def ignore_signals() -> None:
    """The work is done: a signal while the interpreter shuts down would only end in a traceback."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def stopped_by() -> int | None:
    """The signal that has raised Stopped, or is about to once more; None if there was none."""
    return _stopped_by


def _stop(number, frame) -> None:
    global _stopped_by, _raised
    if _raised:
        os._exit(128 + number)
    _stopped_by, _raised = number, True
    raise Stopped(number)


def _send_again(unraisable) -> None:
    """Python drops an exception in a finalizer or a callback; ours comes again a moment later.

    Until then ``stopped_by`` names the signal: what waited for the callback may fail first.
    """
    global _raised
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    _raised = False
    again = threading.Timer(0.05, os.kill, (os.getpid(), unraisable.exc_value.number))
    again.daemon = True
    again.start()
