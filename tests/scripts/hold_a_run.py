"""Hold the lock of the run in argv[1] until a line comes in."""

import sys
from pathlib import Path

from tinygrad_llm.files.lock import RunLock

with RunLock(Path(sys.argv[1])):
    print("locked", flush=True)
    input()
