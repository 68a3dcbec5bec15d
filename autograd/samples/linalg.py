"""Samples of matrix products and linear algebra."""

from typing import Any

import numpy as np

from autograd import ops
from autograd.samples.sample import Sample

PRODUCTS = [
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((3, 4), (4, 2)),
        empty=((0, 4), (4, 2)),
        keeps=(0, 1),
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((2, 1, 3, 4), (5, 4, 2)),
        keeps=(0, 1),
        note="broadcast batches",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((4,), (4,)),
        keeps=(0, 1),
        note="vector vector",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((4,), (2, 4, 3)),
        keeps=(0, 1),
        note="vector matrices",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((2, 3, 4), (4,)),
        keeps=(0, 1),
        note="matrices vector",
    ),
    Sample(
        "product",
        ops.product,
        np.matmul,
        ((3, 4), (4, 2)),
        empty=((0, 4), (4, 2)),
        keeps=(0, 1),
    ),
    Sample(
        "product",
        lambda a, b: ops.product(a, b, "bf16"),
        np.matmul,
        ((2, 1, 3, 4), (3, 4, 2)),
        keeps=(0, 1),
        note="bf16",  # float64 and float16 are not rounded
    ),
    *[
        Sample("dot", ops.dot, np.dot, shapes, keeps=(0, 1), note=note)
        for note, shapes in {
            "vectors": ((4,), (4,)),
            "matrices": ((3, 4), (4, 2)),
            "more axes": ((2, 3, 4), (3, 4, 2)),
            "matrix vector": ((3, 4), (4,)),
            "scalar": ((), (3,)),
        }.items()
    ],
    Sample("outer", ops.outer, np.outer, ((3,), (2, 2)), empty=((0,), (2,)), keeps=(0, 1)),
    Sample("inner", ops.inner, np.inner, ((2, 4), (3, 4)), empty=((2, 0), (3, 0)), keeps=(0, 1)),
    Sample("inner", ops.inner, np.inner, ((), (3,)), keeps=(0, 1), note="scalar"),
    Sample("kron", ops.kron, np.kron, ((2, 3), (3, 2)), empty=((0, 3), (3, 2)), keeps=(0, 1)),
    Sample("kron", ops.kron, np.kron, ((3,), (2, 1, 2)), keeps=(0, 1), note="of different axes"),
    Sample(
        "cross", ops.cross, np.cross, ((4, 3), (4, 3)), empty=((0, 3), (0, 3)), keeps=(0, 1),
        definition=lambda a, b: (
            a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]
        ),
    ),
    Sample(
        "cross",
        lambda a, b: ops.cross(a, b, axisa=0, axisc=1),
        lambda a, b: np.cross(a, b, axisa=0, axisc=1),
        ((3, 4, 1), (2, 3)),
        keeps=(0, 1),
        note="broadcast",
    ),
    *[
        Sample(
            "diag",
            lambda x, k=k: ops.diag(x, k),
            lambda x, k=k: np.diag(x, k),
            shape,
            empty=((0,),) if len(shape[0]) == 1 else ((0, 2),),
            note=f"of {len(shape[0])} axes, {k}",
        )
        for shape in (((3,),), ((3, 4),))
        for k in (0, -2, 1)
    ],
    Sample("diagflat", ops.diagflat, np.diagflat, ((2, 2),), empty=((0, 2),)),
    Sample(
        "tensordot", ops.tensordot, np.tensordot, ((2, 3, 4), (3, 4, 5)),
        empty=((2, 0, 4), (0, 4, 5)), keeps=(0, 1),
        definition=lambda a, b: ops.einsum("ijk,jkl->il", a, b),
    ),
    Sample(
        "tensordot",
        lambda a, b: ops.tensordot(a, b, axes=([0, -1], [2, 0])),
        lambda a, b: np.tensordot(a, b, axes=([0, -1], [2, 0])),
        ((2, 3, 4), (4, 5, 2)),
        keeps=(0, 1),
        note="by axes",
    ),
    *[
        Sample(
            "einsum",
            lambda *xs, s=subscripts: ops.einsum(s, *xs),
            lambda *xs, s=subscripts: np.einsum(s, *xs),
            shapes,
            keeps=tuple(range(len(shapes))) if len(shapes) > 1 else (),
            note=subscripts,
        )
        for subscripts, shapes in {
            "ij,jk->ik": ((3, 4), (4, 2)),
            "bthd,bshd->bhts": ((2, 3, 1, 2), (2, 4, 1, 2)),
            "...i,...i": ((2, 1, 3), (4, 3)),
            "ij->ji": ((3, 4),),
            "ij->j": ((3, 4),),
            "ij,k->k": ((2, 3), (4,)),
            "iij->j": ((3, 3, 2),),
            "ij,j,jk->ik": ((2, 3), (3,), (3, 2)),
            "ij,ij->": ((1, 3), (2, 1)),
        }.items()
    ],
    Sample(  # only the diagonal of the first operand is kept
        "einsum",
        lambda a, b: ops.einsum("ii,ij->i", a, b),
        lambda a, b: np.einsum("ii,ij->i", a, b),
        ((3, 3), (3, 4)),
        keeps=(1,),
        cache=3,
        note="ii,ij->i",
    ),
    *[
        Sample(
            op,
            lambda x, op=op, k=k: getattr(ops, op)(x, k),
            lambda x, op=op, k=k: getattr(np, op)(x, k),
            ((2, 3, 4),),
            empty=((2, 0, 4),),
            note=f"k {k}",
        )
        for op in ("tril", "triu")
        for k in (-1, 0, 1)
    ],
    *[
        Sample(
            op,
            lambda x, op=op, o=options: getattr(ops, op)(x, *o),
            lambda x, op=op, o=options: getattr(np, op)(x, *o),
            shape,
            note=note,
        )
        for op in ("diagonal", "trace")
        for note, options, shape in [
            ("square", (), ((3, 3),)),
            ("above", (1,), ((3, 4),)),
            ("below, last axes", (-1, -1, 1), ((2, 3, 4),)),
        ]
    ],
]  # fmt: skip


def _eigh(linalg, x):
    """eigh of x + x^T, since eigh reads only one triangle."""
    return linalg.eigh(0.5 * (x + x.swapaxes(-1, -2)))


def _svd(linalg, x):
    return linalg.svd(x, full_matrices=False)


def _qr(linalg, x):
    return linalg.qr(x)


def _squared(f, part):
    """The square of one result of a factorization, whose vectors have an arbitrary sign."""
    return lambda linalg, x: getattr(f(linalg, x), part) ** 2


def _plain(f, part):
    return lambda linalg, x: getattr(f(linalg, x), part)


_decompositions: dict[str, Any] = {"domain": "invertible", "dtypes": (np.float32, np.float64)}

LINEAR_ALGEBRA = [
    Sample(
        "linalg.inv", ops.linalg.inv, np.linalg.inv, ((2, 3, 3),), empty=((0, 3, 3),), keeps=("y",),
        **_decompositions, definition=lambda a: ops.linalg.solve(a, np.eye(a.shape[-1])),
    ),
    Sample(
        "linalg.solve", ops.linalg.solve, np.linalg.solve, ((2, 3, 3), (2, 3, 2)),
        empty=((0, 3, 3), (0, 3, 2)), keeps=(0, "y"),
        **_decompositions, definition=lambda a, b: ops.linalg.inv(a) @ b,
    ),
    Sample(
        "linalg.solve", ops.linalg.solve, np.linalg.solve, ((3, 3), (3,)), keeps=(0, "y"),
        **_decompositions, note="a vector",
    ),
    Sample(
        "linalg.solve", ops.linalg.solve, np.linalg.solve, ((3, 3), (2, 3, 4)), keeps=(0, "y"),
        **_decompositions, note="one matrix for all",
    ),
    Sample(
        "linalg.det", ops.linalg.det, np.linalg.det, ((2, 3, 3),), empty=((0, 3, 3),),
        keeps=(0,), **_decompositions,
    ),
    Sample(  # of x + x^T, since the factorization reads only one triangle
        "linalg.cholesky",
        lambda x: ops.linalg.cholesky(x @ ops.swapaxes(x, -1, -2)),
        lambda x: np.linalg.cholesky(x @ np.swapaxes(x, -1, -2)),
        ((2, 3, 3),),
        empty=((0, 3, 3),),
        keeps=(0, "y"),
        **_decompositions,
    ),
    Sample(
        "linalg.norm", ops.linalg.norm, np.linalg.norm, ((3, 4),), empty=((0, 4),),
        keeps=(0, "y"), definition=lambda x: ops.sqrt(ops.sum(ops.square(x))),
    ),
    *[
        Sample(
            f"linalg.{op}",
            lambda x, f=f: f(ops.linalg, x),
            lambda x, f=f: f(np.linalg, x),
            (shape,),
            empty=empty,
            keeps=(0,),
            cache=cache,
            dtypes=(np.float32, np.float64),
            note=note,
        )
        for op, note, f, shape, empty, cache in [
            # cached: the factorization; and (for eigh) the symmetric matrix is kept, not x
            ("eigh", "values", _plain(_eigh, "eigenvalues"), (2, 3, 3), ((0, 3, 3),), 24),
            ("eigh", "vectors", _squared(_eigh, "eigenvectors"), (3, 3), None, 12),
            ("svd", "values", _plain(_svd, "S"), (2, 3, 2), ((0, 3, 2),), 24),
            ("svd", "U, tall", _squared(_svd, "U"), (3, 2), None, 12),
            ("svd", "Vh, tall", _squared(_svd, "Vh"), (3, 2), None, 12),
            ("svd", "U, wide", _squared(_svd, "U"), (2, 3), None, 12),
            ("svd", "Vh, wide", _squared(_svd, "Vh"), (2, 2, 3), None, 24),
            ("qr", "Q", _plain(_qr, "Q"), (2, 3, 2), ((0, 3, 2),), 20),
            ("qr", "R", _plain(_qr, "R"), (3, 3), None, 18),
            ("slogdet", "", _plain(lambda linalg, x: linalg.slogdet(x), "logabsdet"),
             (2, 3, 3), ((0, 3, 3),), 0),
        ]
    ],
    Sample(  # the first columns, their Q and their R
        "linalg.qr", lambda x: ops.linalg.qr(x).R, lambda x: np.linalg.qr(x).R, ((2, 3),),
        cache=4 + 4 + 4, dtypes=_decompositions["dtypes"], note="R, wide",
    ),
    *[
        Sample(
            "linalg.pinv", ops.linalg.pinv, np.linalg.pinv, (shape,), keeps=(0, "y"),
            dtypes=_decompositions["dtypes"], note=str(shape),
        )
        for shape in [(3, 2), (2, 2, 3), (3, 3)]
    ],
    *[
        Sample(
            "linalg.matrix_norm",
            lambda x, o=ord: ops.linalg.matrix_norm(x, ord=o, keepdims=o == 2),
            lambda x, o=ord: np.linalg.matrix_norm(x, ord=o, keepdims=o == 2),
            ((2, 3, 4),),
            keeps=keeps,
            cache=cache,
            dtypes=_decompositions["dtypes"] if ord in ("nuc", 2, -2) else Sample.dtypes,
            note=f"ord {ord}",
        )
        for ord, keeps, cache in [
            ("fro", (0, "y"), 0),
            ("nuc", (0,), 2 * (9 + 3 + 12)),
            (2, (0,), 2 * (9 + 3 + 12) + 2),
            (-2, (0,), 2 * (9 + 3 + 12) + 2),
            (-1, (0,), 8 + 2),
            (np.inf, (0,), 6 + 2),
        ]
    ],
    *[
        Sample(
            "linalg.vector_norm",
            lambda x, o=ord, a=axis: ops.linalg.vector_norm(x, ord=o, axis=a, keepdims=a == 1),
            lambda x, o=ord, a=axis: np.linalg.vector_norm(x, ord=o, axis=a, keepdims=a == 1),
            ((2, 3, 4),),
            "nonzero",
            keeps=(0, "y"),
            cache=cache,
            note=f"ord {ord}, axis {axis}",
        )
        for ord, axis, cache in [
            (2, None, 0),
            (1, (0, 2), 0),
            (3, (0, 2), 0),
            (0.5, 1, 0),
            (-1, (1, 2), 0),
            (-2.5, None, 0),
            (-np.inf, (0, 1), 24),  # |x|
        ]
    ],
    *[
        Sample(
            "linalg.norm",
            lambda x, o=ord, a=axis: ops.linalg.norm(x, o, a, keepdims=a == 1),
            lambda x, o=ord, a=axis: np.linalg.norm(x, o, a, keepdims=a == 1),
            ((3, 4),),
            "nonzero",
            keeps=(0,) if ord == 1 else (0, "y"),
            cache=cache,
            note=f"ord {ord}, axis {axis}",
        )
        for ord, axis, cache in [
            (2, 1, 0),
            (3, 0, 0),
            (1.5, 1, 0),
            ("fro", (0, 1), 0),
            (np.inf, 0, 12),  # |x|
            (1, (0, 1), 5),  # the sums of |x|, and the largest
        ]
    ],
]  # fmt: skip
