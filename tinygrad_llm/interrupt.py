"""Ctrl-C and SIGTERM as a polite request: finish what is being done, save, and stop.

The first signal is only noted; the training loop looks at ``received`` between two steps. It also
puts the usual handlers back, so that a second signal stops at once. Checkpoints are renamed into
place when they are whole (files.py), so even that loses only the steps since the last one.
"""

import signal
import threading


class StopSignals:
    """Context manager in which SIGINT and SIGTERM set ``received`` instead of ending the process.

    Only the main thread can handle signals; in any other, they keep their usual effect.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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
