"""One process per run: a lock that the system releases when its owner dies, for whatever reason.

Two processes that train in one folder would delete each other's checkpoints. A file that merely
says "in use" would outlive a process that is killed; a lock on an open file does not. The file
stays; only the lock on it counts, and its content says who holds it.

On a network file system the lock is as good as the server's: NFS before version 4, or mounted with
``nolock``, does not protect against another machine.
"""

import errno
import os
import platform
from pathlib import Path

from tinygrad_llm.errors import UserError

LOCK_FILE = ".lock"
# The content of the lock file is overwritten, so a link to a file elsewhere must not be followed.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
_FAR = 1 << 30  # Windows locks the byte at this position: everything before it can be read
TAKEN = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class RunLock:
    """Context manager that locks a run; entering raises UserError if another process has it.

    ``held`` is False if the file system has no locks: then nothing keeps other processes away.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.path = run, run / LOCK_FILE
        self.held = False

    def __enter__(self) -> "RunLock":
        try:
            self._descriptor = os.open(self.path, _FLAGS, 0o644)
        except OSError as error:
            raise UserError(
                f"cannot write to the run {self.run} ({error.strerror}: {self.path.name})"
            ) from None
        try:
            lock_file(self._descriptor)
            self.held = True
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
        except OSError as error:
            if error.errno in TAKEN:
                holder = self._holder()
                os.close(self._descriptor)
                raise UserError(
                    f"the run {self.run} is in use by {holder}: wait for it or stop it, or start "
                    "another run"
                ) from None
            # On a full disk the name cannot be written, but the lock is held all the same.
            if not self.held and error.errno not in _NO_LOCKS:
                os.close(self._descriptor)
                raise
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)  # which releases the lock
        self.held = False

    def _holder(self) -> str:
        text = os.read(self._descriptor, 200).decode("utf-8", "replace").strip()
        return text if text.isprintable() and text else "another process"


def lock_file(descriptor: int) -> None:
    """Take the lock on an open file, until it is closed, or raise OSError at once."""
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
