"""Differentiable functions with NumPy's names and signatures, and the neural ones beside them.

    arithmetic.py  exponential.py  trigonometric.py  piecewise.py   number by number
    reduce.py  cumulative.py  sorting.py                            along an axis
    shape.py  rearrange.py  joining.py  index.py                    moving elements about
    products.py  matrices.py                                        linear algebra
    linalg.py  decompositions.py  norms.py                          and numpy.linalg's
    activation.py  normalization.py  nn.py  attention.py  loss.py   what a network needs
    constants.py  ranges.py                                         zeros, ones, arange, linspace
    discrete.py                                                     steps, places: no gradient
    unsmooth.py                                                     gradients by convention

To follow one, open its class: ``forward`` is the formula, ``backward`` its derivative. This module
is also a namespace to compute on, as ``numpy`` is: under ``create_graph=True`` every backward runs
with it, on Tensors, and so can be differentiated again.
"""

from autograd.ops import (
    activation,
    arithmetic,
    attention,
    constants,
    cumulative,
    discrete,
    exponential,
    index,
    joining,
    linalg,
    loss,
    matrices,
    nn,
    normalization,
    piecewise,
    products,
    ranges,
    rearrange,
    reduce,
    shape,
    sorting,
    trigonometric,
)
from autograd.ops.activation import *  # noqa: F403
from autograd.ops.arithmetic import *  # noqa: F403
from autograd.ops.attention import *  # noqa: F403
from autograd.ops.constants import *  # noqa: F403
from autograd.ops.cumulative import *  # noqa: F403
from autograd.ops.discrete import *  # noqa: F403
from autograd.ops.exponential import *  # noqa: F403
from autograd.ops.index import *  # noqa: F403
from autograd.ops.joining import *  # noqa: F403
from autograd.ops.loss import *  # noqa: F403
from autograd.ops.matrices import *  # noqa: F403
from autograd.ops.nn import *  # noqa: F403
from autograd.ops.normalization import *  # noqa: F403
from autograd.ops.piecewise import *  # noqa: F403
from autograd.ops.products import *  # noqa: F403
from autograd.ops.ranges import *  # noqa: F403
from autograd.ops.rearrange import *  # noqa: F403
from autograd.ops.reduce import *  # noqa: F403
from autograd.ops.shape import *  # noqa: F403
from autograd.ops.sorting import *  # noqa: F403
from autograd.ops.trigonometric import *  # noqa: F403

_FLAT = (
    activation, arithmetic, attention, cumulative, exponential, index, joining, loss, matrices, nn,
    normalization, piecewise, products, ranges, rearrange, reduce, shape, sorting, trigonometric,
)  # fmt: skip
_flat_names = [name for module in _FLAT for name in module.__all__]

DIFFERENTIABLE = tuple(sorted([*_flat_names, *(f"linalg.{name}" for name in linalg.__all__)]))
"""The names of all operations that carry a gradient; each has an entry in autograd/samples/."""

__all__ = [*_flat_names, *constants.__all__, *discrete.__all__, "linalg"]
