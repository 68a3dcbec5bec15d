"""Load the model in a directory; print its bytes, and by how many the process grew at most."""

import sys
from pathlib import Path

import numpy as np

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.model import Llama
from tinygrad_llm.pretrained import load_pretrained, save_llama


def resident(key):
    """Bytes of this process in memory, now (VmRSS) or at most so far (VmHWM)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return 1024 * int(line.split()[1])


directory, dtype = sys.argv[1:]
small = Path(directory) / "small"
save_llama(Llama(LlamaConfig(8, 8, 1, 1, 1, 8, 8)), small)
load_pretrained(small, dtype)  # imports
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the highest figure so far is forgotten
model, _ = load_pretrained(directory, dtype)
peak = resident("VmHWM")
assert all(np.isfinite(p.data).all() for p in model.parameters())
print(sum(p.data.nbytes for p in model.parameters()), peak - before)
