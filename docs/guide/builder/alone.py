"""One build of a guide at a time: two would empty each other's working folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from builder.problems import GuideError


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the guide's lock; it goes with the process. Raises GuideError where another has it."""
    if os.name != "posix" or not folder.is_dir():
        yield
        return
    import fcntl

    (folder / "_build").mkdir(exist_ok=True)
    with (folder / "_build" / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "another build of this guide is running: wait until it has ended"
            raise GuideError(message) from None
        yield
