"""Sample: how to try one operation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """How to try one operation.

    ``call`` is the operation on Tensors, and ``numpy`` the same on arrays in plain NumPy.
    ``definition``, if there is one, is the same on Tensors in terms of simpler operations, so that
    the engine can derive its gradient.
    """

    op: str
    call: Callable
    numpy: Callable
    shapes: tuple
    domain: str = "real"
    """The domain of random inputs: real, positive, nonzero (|x| >= 0.2), distinct (no ties), unit
    (|x| < 0.9), between (no integer or half of one within 0.1) or invertible (square matrices)."""
    empty: tuple | None = None
    """Shapes that contain a 0 and that the operation accepts."""
    keeps: tuple = ()
    """What stays in memory for backward: positions of inputs, and "y"."""
    cache: int = 0
    """The number of floating-point elements that are cached in addition."""
    definition: Callable | None = None
    dtypes: tuple = (np.float16, np.float32, np.float64)
    """The types that the operation accepts and preserves."""
    kernel: bool = False
    """Whether it has a folder in autograd/kernels."""
    note: str = ""

    @property
    def name(self):
        return f"{self.op}{f' ({self.note})' if self.note else ''}"

    def inputs(self, seed=0, dtype=np.float64, shapes=None):
        """Random arrays of this sample's shapes in its domain."""
        rng = np.random.default_rng([seed, 77])
        return [_draw(rng, self.domain, s).astype(dtype) for s in shapes or self.shapes]


def _draw(rng, domain, shape):
    x = rng.standard_normal(shape)
    if domain == "positive":
        return 0.5 + np.abs(x)
    if domain == "nonzero":
        return np.asarray(x + 0.2 * np.sign(x))
    if domain == "distinct":
        return np.asarray(0.1 * rng.permutation(x.size).reshape(shape) + 0.01 * rng.random(shape))
    if domain == "unit":
        return np.asarray(0.9 * np.tanh(x))
    if domain == "between":
        return np.asarray(np.round(3 * x) + rng.choice([-0.25, 0.25], shape) + 0.1 * np.tanh(x))
    if domain == "invertible" and x.ndim > 1 and shape[-1] == shape[-2]:
        return x + 2 * shape[-1] * np.eye(shape[-1])
    return np.asarray(x)
