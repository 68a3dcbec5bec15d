"""Differentiable functions with NumPy's names and signatures, and the neural ones beside them.

    elementwise.py  reduce.py  shape.py  linalg.py  index.py   what NumPy has
    nn.py  loss.py                                             what a network needs
    constants.py                                               zeros, ones, arange, ...

To follow one, open its class: ``forward`` is the formula, ``backward`` its derivative. This module
is also a namespace to compute on, as ``numpy`` is: under ``create_graph=True`` every backward runs
with it, on Tensors, and so can be differentiated again.
"""

from autograd.ops import constants, elementwise, index, linalg, loss, nn, reduce, shape
from autograd.ops.constants import *  # noqa: F403
from autograd.ops.elementwise import *  # noqa: F403
from autograd.ops.index import *  # noqa: F403
from autograd.ops.linalg import *  # noqa: F403
from autograd.ops.loss import *  # noqa: F403
from autograd.ops.nn import *  # noqa: F403
from autograd.ops.reduce import *  # noqa: F403
from autograd.ops.shape import *  # noqa: F403

DIFFERENTIABLE = tuple(
    sorted(
        name
        for module in (elementwise, index, linalg, loss, nn, reduce, shape)
        for name in module.__all__
    )
)
"""The names of all operations that carry a gradient; each has an entry in autograd/samples.py."""

__all__ = [*DIFFERENTIABLE, *constants.__all__]
