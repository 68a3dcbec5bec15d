"""Differentiable functions with NumPy's names and signatures, and those of neural networks.

    arithmetic.py  exponential.py  trigonometric.py  piecewise.py   element by element
    reduce.py  cumulative.py  sorting.py                            along an axis
    shape.py  rearrange.py  joining.py  index.py                    moving elements
    products.py  matrices.py                                        linear algebra
    linalg.py  decompositions.py  norms.py                          and numpy.linalg's
    dense.py  lookup.py  mlp.py                                     the layers of a network,
    attention.py  grouped_attention.py                              attention,
    activation.py  glu.py  normalization.py  rotary.py              and what comes between them
    dropping.py  loss.py                                            in training
    constants.py  ranges.py                                         zeros, ones, arange, linspace
    conversion.py                                                   to another type
    discrete.py                                                     rounding, positions: no gradient
    unsmooth.py                                                     gradients by convention
    transfer.py                                                     to another device

To follow one, open its class: ``forward`` is the formula, ``backward`` its derivative. This module
is also a namespace to compute with, like ``numpy``: under ``create_graph=True`` every backward runs
on it, with Tensors, and so can be differentiated again.
"""

from autograd.ops import linalg, transfer  # noqa: F401 (Tensor.to calls transfer)
from autograd.ops.activation import *  # noqa: F403
from autograd.ops.arithmetic import *  # noqa: F403
from autograd.ops.attention import *  # noqa: F403
from autograd.ops.constants import *  # noqa: F403
from autograd.ops.conversion import *  # noqa: F403
from autograd.ops.cumulative import *  # noqa: F403
from autograd.ops.dense import *  # noqa: F403
from autograd.ops.discrete import *  # noqa: F403
from autograd.ops.dropping import *  # noqa: F403
from autograd.ops.exponential import *  # noqa: F403
from autograd.ops.glu import *  # noqa: F403
from autograd.ops.grouped_attention import *  # noqa: F403
from autograd.ops.index import *  # noqa: F403
from autograd.ops.joining import *  # noqa: F403
from autograd.ops.lookup import *  # noqa: F403
from autograd.ops.loss import *  # noqa: F403
from autograd.ops.matrices import *  # noqa: F403
from autograd.ops.mlp import *  # noqa: F403
from autograd.ops.normalization import *  # noqa: F403
from autograd.ops.piecewise import *  # noqa: F403
from autograd.ops.products import *  # noqa: F403
from autograd.ops.ranges import *  # noqa: F403
from autograd.ops.rearrange import *  # noqa: F403
from autograd.ops.reduce import *  # noqa: F403
from autograd.ops.rotary import *  # noqa: F403
from autograd.ops.shape import *  # noqa: F403
from autograd.ops.sorting import *  # noqa: F403
from autograd.ops.trigonometric import *  # noqa: F403

_module_of = {
    name: value.__module__
    for name, value in globals().items()
    if callable(value) and not name.startswith("_")
}
_of_constants = ("autograd.ops.constants", "autograd.ops.discrete")

DIFFERENTIABLE = tuple(
    sorted(
        [name for name, module in _module_of.items() if module not in _of_constants]
        + [f"linalg.{name}" for name in linalg.__all__]
    )
)
"""The names of all operations that carry a gradient; each has an entry in autograd/samples."""

__all__ = [*_module_of, "linalg"]
