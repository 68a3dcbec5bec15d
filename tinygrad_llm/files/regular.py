"""Opening a file that a user named: it may be missing, a folder, or a pipe without end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tinygrad_llm.errors import UserError


def open_regular(path: str | os.PathLike, expected: str = "a file") -> BinaryIO:
    """A regular file, opened to read its bytes; raises UserError for anything else.

    ``expected`` is what the file should have been, for the sentence.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):  # opening a FIFO would wait for ever, /dev/zero has no end
            return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"cannot read {path} (there is no such file)") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path} ({reason})") from None
    what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
    raise UserError(f"{path} is {what}, expected {expected}")
