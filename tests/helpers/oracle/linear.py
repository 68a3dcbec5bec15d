"""Linear algebra, each operation compared with PyTorch's."""

import math

import torch
from oracle.drawing import broadcastable, case, filled, shape

from autograd import ops


@case("matmul")
def matmul(rng):
    n, k, m = (int(i) for i in rng.integers(0, 5, 3))
    a, b = broadcastable(rng)
    pairs = [((k,), (k,)), ((k,), (*b, k, m)), ((*a, n, k), (k,)), ((*a, n, k), (*b, k, m))]
    return pairs[rng.integers(4)], ops.matmul, torch.matmul


@case("product")
def product(rng):
    n, k, m = (int(i) for i in rng.integers(0, 5, 3))
    a, b = broadcastable(rng)
    return ((*a, n, k), (*b, k, m)), ops.product, torch.matmul


@case("dot")
def dot(rng):
    n, k, m = (int(i) for i in rng.integers(1, 5, 3))
    return [((k,), (k,)), ((n, k), (k, m)), ((n, k), (k,))][rng.integers(3)], ops.dot, torch.matmul


@case("inner")
def inner(rng):
    n, m, k = (int(i) for i in rng.integers(0, 5, 3))
    shapes = [((n, k), (m, k)), ((k,), (2, m, k)), ((), (n, k))][rng.integers(3)]
    return shapes, ops.inner, torch.inner


@case("kron")
def kron(rng):
    return [filled(rng, 0, 3), filled(rng, 0, 3)], ops.kron, torch.kron


@case("cross")
def cross(rng):
    a, b = broadcastable(rng)
    return (
        [(*a, 3), (*b, 3)],
        ops.cross,
        lambda a, b: torch.linalg.cross(*torch.broadcast_tensors(a, b)),
    )


@case("diag")
def diag(rng):
    k = int(rng.integers(-3, 4))
    return [shape(rng, 1, 2)], lambda x: ops.diag(x, k), lambda x: torch.diag(x, k)


@case("diagflat")
def diagflat(rng):
    k = int(rng.integers(-3, 4))
    return [shape(rng)], lambda x: ops.diagflat(x, k), lambda x: torch.diagflat(x, k)


@case("outer")
def outer(rng):
    return [shape(rng, 1, 1), shape(rng, 1, 1)], ops.outer, torch.outer


@case("tensordot")
def tensordot(rng):
    n, axes = [
        (((2, 3, 4), (3, 4, 5)), 2),
        (((2, 3), (4,)), 0),
        (((2, 3, 4), (4, 2, 3)), ([1, 2], [2, 0])),
    ][rng.integers(3)]
    return n, lambda a, b: ops.tensordot(a, b, axes), lambda a, b: torch.tensordot(a, b, axes)


@case("einsum")
def einsum(rng):
    a, b = broadcastable(rng)
    subscripts, shapes = [
        ("ij,jk->ik", ((2, 3), (3, 4))),
        ("...ij,...kj->...ik", ((*a, 2, 3), (*b, 4, 3))),
        ("ii->i", ((3, 3),)),
        ("iijj->ji", ((3, 3, 2, 2),)),
        ("ij,kl->", ((2, 3), (4, 2))),
        ("abc,cd,d,bd->ad", ((2, 3, 4), (4, 2), (2,), (3, 2))),
        ("i,i,i->i", ((3,), (3,), (3,))),
        ("bthd,bshd->bhts", ((2, 3, 2, 4), (2, 5, 2, 4))),
    ][rng.integers(8)]
    return shapes, lambda *x: ops.einsum(subscripts, *x), lambda *x: torch.einsum(subscripts, *x)


@case("diagonal")
def diagonal(rng):
    k = int(rng.integers(-2, 3))
    f = [lambda x, f=f: f(x, k, -1, 0) for f in (ops.diagonal, torch.diagonal)]
    return [(3, 2, 4)], *f


@case("trace")
def trace(rng):
    n, m = (int(i) for i in rng.integers(0, 5, 2))
    return [(n, m)], ops.trace, torch.trace


for _name in ("tril", "triu"):

    @case(_name)
    def triangle(rng, name=_name):
        k, s = int(rng.integers(-2, 3)), shape(rng, 2)
        return [s], lambda x: getattr(ops, name)(x, k), lambda x: getattr(torch, name)(x, k)


for _name in ("inv", "det"):

    @case(f"linalg.{_name}", "invertible")
    def inverse_or_determinant(rng, name=_name):
        n = int(rng.integers(0, 5))
        return [(*shape(rng, 0, 2), n, n)], getattr(ops.linalg, name), getattr(torch.linalg, name)


@case("linalg.solve", "invertible")
def linalg_solve(rng):
    a, b = broadcastable(rng)
    n, k = int(rng.integers(1, 4)), 5
    if rng.random() < 0.3:
        return [(n, n), (n,)], ops.linalg.solve, torch.linalg.solve
    return [(*a, n, n), (*b, n, k)], ops.linalg.solve, torch.linalg.solve


@case("linalg.cholesky", "invertible")
def linalg_cholesky(rng):
    n = int(rng.integers(1, 5))
    return (
        [(*shape(rng, 0, 1), n, n)],
        lambda x: ops.linalg.cholesky(x @ ops.swapaxes(x, -1, -2)),
        lambda x: torch.linalg.cholesky(x @ x.mT),
    )


@case("linalg.norm", "distinct")
def linalg_norm(rng):
    keepdims = bool(rng.integers(2))
    ord, axis = [
        (None, None), (2, -1), (1, 0), (3.5, 1), (math.inf, -1), (-math.inf, 0),
        ("fro", (0, 1)), (1, (0, 1)), (-1, (1, 0)), (math.inf, (1, 2)), (-math.inf, (-1, 0)),
    ][rng.integers(11)]  # fmt: skip
    return (
        [(2, 3, 4)],
        lambda x: ops.linalg.norm(x + 0.03, ord, axis, keepdims),
        lambda x: torch.linalg.norm(x + 0.03, ord, axis, keepdims),
    )
