"""What an entry of autograd/samples.py is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """How to try one operation.

    ``call`` is the operation on Tensors, ``numpy`` the same on arrays in plain NumPy, and
    ``definition``, where given, the same on Tensors composed of simpler operations, whose
    derivative the engine finds by itself.
    """

    op: str
    call: Callable
    numpy: Callable
    shapes: tuple
    domain: str = "real"
    """Where inputs are drawn from: real, positive, nonzero (|x| >= 0.2) or distinct (no ties)."""
    empty: tuple | None = None
    """Shapes with a zero in them that the operation accepts."""
    keeps: tuple = ()
    """What stays in memory for backward: positions of inputs, and "y"."""
    cache: int = 0
    """Number of floating-point elements cached beside that."""
    definition: Callable | None = None
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
    return np.asarray(x)
