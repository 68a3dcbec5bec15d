"""What an entry of autograd/samples/check.py is made of."""

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
    """Where inputs are drawn from: real, positive, nonzero (|x| >= 0.2), distinct (no ties), unit
    (|x| < 0.9), between (no integer or half of one within 0.1) or invertible (square matrices)."""
    empty: tuple | None = None
    """Shapes with a zero in them that the operation accepts."""
    keeps: tuple = ()
    """What stays in memory for backward: positions of inputs, and "y"."""
    cache: int = 0
    """Number of floating-point elements cached beside that."""
    definition: Callable | None = None
    dtypes: tuple = (np.float16, np.float32, np.float64)
    """The types that the operation takes, and keeps."""
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
