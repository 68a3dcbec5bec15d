"""Compile a kernel, or load it from the disk; print its result and whether it was loaded."""

import numpy as np

from autograd.kernels._functions import exp
from autograd.kernels._jit import jit


@jit
def fill(x):
    for i in range(x.size):
        x[i] = exp(x[i])


x = np.zeros(1)
fill(x)
print(x[0], "loaded" if fill.stats.cache_hits else "compiled")
