"""One recorded operation, run again: on arrays, or on Tensors as a new node.

Most operations need nothing but a copy that has not been called. A few were given more than their
inputs when they were called: a factorization that was computed for several results at once, a type
to convert to, the segment that a recomputed value comes from.
"""

from typing import Any

import numpy as np

from autograd.device import numpy_namespace
from autograd.engine import Op
from autograd.functional.recomputation import Recompute
from autograd.ops import decompositions
from autograd.ops.linalg import Cholesky, LogAbsDet
from autograd.ops.lookup import Embedding


def forward_of(op, dtype):
    """A function of arrays: the forward of ``op``, which may be called any number of times."""
    if isinstance(op, decompositions.Factor):
        return lambda a: _factors(op, _symmetric(op, a))[op.which]
    if isinstance(op, LogAbsDet):  # its forward returns what slogdet had computed before
        return lambda a: np.linalg.slogdet(a)[1]
    again = uncalled(op, dtype)
    again.needs = (False,) * len(op.needs)
    if isinstance(op, Embedding) and op.padding is not None:
        return _with_a_fixed_row(again)
    if isinstance(op, Cholesky):
        return lambda a: again.forward(numpy_namespace, _symmetric(op, a))
    return lambda *arrays: again.forward(numpy_namespace, *arrays)


SYMMETRIC = (Cholesky, decompositions.EigenValues, decompositions.EigenVectors)


def _symmetric(op, a):
    """The symmetric part of ``a``, for an operation that is defined on symmetric matrices alone.

    It reads one triangle, and its gradient is that of a change which keeps the matrix symmetric. Of
    any other change this is the part that it can see.
    """
    return (a + np.swapaxes(a, -1, -2)) / 2 if isinstance(op, SYMMETRIC) else a


def _with_a_fixed_row(op):
    """Embedding with a padding row, which is a constant by definition: it is as it was first."""
    first = []

    def forward(table):
        if not first:
            first.append(table[op.padding])
        table = table.copy()
        table[op.padding] = first[0].astype(table.dtype)
        return op.forward(numpy_namespace, table)

    return forward


def uncalled(op: Op, dtype: np.dtype | None) -> Op:
    """A copy of ``op`` that has not been called, and that computes in ``dtype`` if there is one."""
    again = op._uncalled_copy()
    again.read = ()  # what it read is on the tape as it was then
    to = vars(again).get("to")  # AsType and Linspace: the type to compute in
    if dtype is not None and to is not None and np.dtype(to).kind == "f":
        again.to = dtype
    for name, value in vars(again).items():  # tables of cosines, weights of classes
        if dtype is not None and type(value) is np.ndarray and value.dtype.kind == "f":
            setattr(again, name, value.astype(dtype))
    return again


FACTORIZATIONS: dict[type, Any] = {
    decompositions.EigenValues: lambda a, *options: np.linalg.eigh(a, *options),
    decompositions.EigenVectors: lambda a, *options: np.linalg.eigh(a, *options),
    decompositions.SingularValues: lambda a: np.linalg.svd(a, full_matrices=False),
    decompositions.LeftVectors: lambda a: np.linalg.svd(a, full_matrices=False),
    decompositions.RightVectors: lambda a: np.linalg.svd(a, full_matrices=False),
    decompositions.QFactor: lambda a: np.linalg.qr(a),
    decompositions.RFactor: lambda a: np.linalg.qr(a),
}


def _factors(op, a):
    """The factorization of ``a`` that ``op`` is one result of, with the signs that it had."""
    factors = list(FACTORIZATIONS[type(op)](a, *op.options))
    recorded = op.cache
    if isinstance(op, (decompositions.EigenValues, decompositions.EigenVectors)):
        factors[1] = factors[1] * _signs(factors[1], recorded, 1, -2)
    elif len(factors) == 3:
        factors[0] = factors[0] * _signs(factors[0], recorded, 0, -2)
        factors[2] = factors[2] * _signs(factors[2], recorded, 2, -1)
    return tuple(factors)


def _signs(vectors, recorded, which, axis):
    """1 or -1 for each vector: LAPACK may return any sign, and another one in another type."""
    if recorded is None:
        return 1
    along = np.sum(vectors * recorded[which], axis=axis, keepdims=True)
    return np.where(along < 0, -1.0, 1.0).astype(vectors.dtype)


class Same(Op):
    """y = x: a recomputed segment whose calls are on the tape."""

    def forward(self, xp, x):
        return x

    def backward(self, xp, g):
        return g


def call_again(op, args, dtype):
    """The Tensor that a new copy of ``op`` computes from ``args``, Tensors and numbers."""
    if isinstance(op, decompositions.Factor):
        return type(op)(*op.options, cache=_factors(op, args[0].data))(args[0])
    if isinstance(op, LogAbsDet):
        return LogAbsDet(np.asarray(np.linalg.slogdet(args[0].data)[1]))(args[0])
    if isinstance(op, Recompute):
        return Same()(args[0])
    return uncalled(op, dtype)(*args)
