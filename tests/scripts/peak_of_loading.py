"""Load a model; print its bytes, and by how many the process grew at most.

A small model of the same kind is loaded first, so imports and compiled kernels do not count. A
matrix that stays in the file counts as a part of the model.
"""

import sys
from pathlib import Path

import numpy as np

from tinygrad_llm.model.quantize import stored_matrices
from tinygrad_llm.pretrained import load_pretrained


def resident(key):
    """Bytes of this process in memory, now (VmRSS) or at most so far (VmHWM)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return 1024 * int(line.split()[1])


small, path, dtype, weights = sys.argv[1:]
load_pretrained(small, dtype, weights)
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the highest figure so far is forgotten
model, _ = load_pretrained(path, dtype, weights)
peak = resident("VmHWM")
matrices = stored_matrices(model)
assert all(np.isfinite(p.data).all() for p in model.parameters())
print(sum(x.nbytes for x in [*model.parameters(), *matrices]), peak - before)
