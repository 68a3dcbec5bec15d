"""Products of vectors, matrices and tensors, and Einstein summation, which contains them all."""

import math
from string import ascii_letters
from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.activations import OPERANDS
from autograd.engine import Op
from autograd.ops.arguments import (
    described,
    integer,
    normalize_axes,
    normalize_axis,
    operand,
    operands,
)
from autograd.ops.arithmetic import multiply
from autograd.ops.conversion import astype
from autograd.ops.matrices import diagonal
from autograd.ops.shape import expand_dims, moveaxis, reshape, squeeze, transpose
from autograd.precision import PRECISIONS

__all__ = ["cross", "dot", "einsum", "inner", "kron", "matmul", "outer", "product", "tensordot"]


class MatMul(Op):
    """Y = A B over the last two axes.

    Shapes: A (..., N, K), B (..., K, M) -> (..., N, M); the leading axes broadcast
    Saves: A, B
    Derivative: g_A = g @ B^T, g_B = A^T @ g
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    fresh_gradients = True

    def forward(self, xp, a, b):
        return xp.matmul(a, b)

    def backward(self, xp, g, a, b):
        return (
            g @ b.swapaxes(-1, -2) if self.needs[0] else None,  # (..., N, K)
            a.swapaxes(-1, -2) @ g if self.needs[1] else None,  # (..., K, M)
        )


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """The matrix product of NumPy's ``@``: vectors are rows on the left, columns on the right.

    It computes in the type of its operands, whatever ``matmul_precision`` says. Raises ValueError
    for a 0-d operand or shapes that do not fit.
    """
    a, b = operand(a), operand(b)
    if a.ndim > 1 and b.ndim > 1:
        return MatMul()(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul takes no scalars, got shapes {a.shape} and {b.shape}: use *")
    row, column = a.ndim == 1, b.ndim == 1
    y = MatMul()(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b)
    return squeeze(y, axis=(-2,) * row + (-1,) * column)


class Product(Op):
    """Y = A B over the last two axes, of numbers rounded to bf16 first if they are float32.

    Shapes: A (..., N, K), B (..., K, M) -> (..., N, M); the leading axes broadcast
    Saves: A, B
    Derivative: g_A = g @ B^T, g_B = A^T @ g
    Note: these products round too; rounding itself counts as the identity, since its own derivative
        is 0 wherever it exists (the straight-through rule of Bengio et al. 2013)
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    multiplied = (0, 1)
    packing = OPERANDS

    def forward(self, xp, a, b):
        return xp.product(a, b, "bf16")

    def backward(self, xp, g, a, b):
        return (
            xp.product(g, xp.swapaxes(b, -1, -2), "bf16") if self.needs[0] else None,
            xp.product(xp.swapaxes(a, -1, -2), g, "bf16") if self.needs[1] else None,
        )


def product(a: TensorLike, b: TensorLike, precision: str = "float32") -> Tensor:
    """The matrix product at a precision: (..., N, K) and (..., K, M) -> (..., N, M).

    At "float32" it is ``matmul``. At "bf16" float32 numbers are rounded to bf16 first, here and in
    backward, and added up in float32; other types are multiplied as they are. (For the product of
    the elements of one array see ``prod``.) Raises ValueError for operands that are no matrices,
    and for another precision.
    """
    a, b = operand(a), operand(b)
    if precision not in PRECISIONS:
        raise ValueError(f"product: unknown precision {precision!r}: choose one of {PRECISIONS}")
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"product takes matrices, got shapes {a.shape} and {b.shape}")
    op = MatMul() if precision == "float32" else Product()
    return op(a, b)


def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's dot: the sum over the last axis of a and the second to last of b (or its only one).

    If one is a scalar, their product. Raises ValueError when the lengths differ.
    """
    a, b = operands(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    return tensordot(a, b, axes=(-1, -2 if b.ndim > 1 else -1))


def inner(a: TensorLike, b: TensorLike) -> Tensor:
    """The sum over the last axis of a and of b; the other axes remain, a's first.

    If one is a scalar, their product. Raises ValueError when the lengths differ.
    """
    a, b = operands(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"inner: the last axes of shapes {a.shape} and {b.shape} differ in length")
    return tensordot(a, b, axes=(-1, -1))


def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """a_i b_j for all i and j, of the flattened a and b."""
    a, b = operands(a, b)
    return multiply(reshape(a, (a.size, 1)), reshape(b, (1, b.size)))


def kron(a: TensorLike, b: TensorLike) -> Tensor:
    """The Kronecker product: a with each element replaced by that element times all of b.

    Shapes: a (N, M), b (K, L) -> (N K, M L), and likewise for any number of axes; where one has
    fewer than the other, axes of length 1 are added in front.
    """
    a, b = operands(a, b)
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    pairs = list(zip(shape_a, shape_b, strict=True))
    blocks = reshape(a, tuple(length for n, _ in pairs for length in (n, 1)))  # (N, 1, M, 1)
    whole = reshape(b, tuple(length for _, k in pairs for length in (1, k)))  # (1, K, 1, L)
    return reshape(multiply(blocks, whole), tuple(n * k for n, k in pairs))


def tensordot(a: TensorLike, b: TensorLike, axes: Any = 2) -> Tensor:
    """The sum of products over axes of a paired with axes of b; the others remain, a's first.

    ``axes`` is a number n (the last n of a with the first n of b), two integers, or two lists of
    integers. Raises ValueError when their numbers or lengths differ.
    """
    a, b = operand(a), operand(b)
    if isinstance(axes, (tuple, list)) or getattr(axes, "ndim", 0) > 0:
        if len(axes) != 2:
            raise ValueError(
                "tensordot: axes must be a number, or axes of a and axes of b, not "
                f"{described(axes)}"
            )
        over_a = normalize_axes("tensordot", axes[0], a.ndim)
        over_b = normalize_axes("tensordot", axes[1], b.ndim)
    else:
        n = integer("tensordot", "axes", axes)
        if not 0 <= n <= min(a.ndim, b.ndim):
            raise ValueError(
                f"tensordot: cannot sum over {n} axes of shapes {a.shape} and {b.shape}"
            )
        over_a, over_b = tuple(range(a.ndim - n, a.ndim)), tuple(range(n))
    lengths, others = [a.shape[k] for k in over_a], [b.shape[k] for k in over_b]
    if lengths != others:
        raise ValueError(
            f"tensordot: axes {over_a} of shape {a.shape} have lengths {lengths}, but axes "
            f"{over_b} of shape {b.shape} have {others}"
        )
    free_a = tuple(k for k in range(a.ndim) if k not in over_a)
    free_b = tuple(k for k in range(b.ndim) if k not in over_b)
    shape_a, shape_b = tuple(a.shape[k] for k in free_a), tuple(b.shape[k] for k in free_b)
    n = math.prod(lengths)
    rows = reshape(transpose(a, free_a + over_a), (math.prod(shape_a), n))
    columns = reshape(transpose(b, over_b + free_b), (n, math.prod(shape_b)))
    return reshape(MatMul()(rows, columns), shape_a + shape_b)


class Cross(Op):
    """y = a x b, the vector product along the last axis.

    Shapes: a (..., 3), b (..., 3) -> (..., 3); the leading axes broadcast
    Saves: a, b
    Derivative: g_a = cross(b, g), g_b = cross(g, a)
    Note: the triple product is the same for all three in turn: g (a x b) = a (b x g) = b (g x a)
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}

    def forward(self, xp, a, b):
        return xp.cross(a, b)

    def backward(self, xp, g, a, b):
        return (
            xp.cross(b, g) if self.needs[0] else None,
            xp.cross(g, a) if self.needs[1] else None,
        )


def cross(
    a: TensorLike,
    b: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """The vector at right angles to a and b: (a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0).

    The three components lie along ``axisa`` of a and ``axisb`` of b, the other axes broadcast, and
    those of the result along ``axisc``; ``axis`` sets all three. Raises ValueError unless the
    vectors have three components (NumPy deprecates two).
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = operand(a), operand(b)
    a = moveaxis(a, normalize_axis("cross", axisa, a.ndim), -1)
    b = moveaxis(b, normalize_axis("cross", axisb, b.ndim), -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"cross: vectors must have 3 components, got {a.shape[-1]} and {b.shape[-1]}"
        )
    y = Cross()(a, b)
    return moveaxis(y, -1, normalize_axis("cross", axisc, y.ndim))


class Einsum(Op):
    """y[out] = the sum of a[..] b[..] ... over all letters that are not in out.

    Shapes: one letter per axis; no letter twice in one operand
    Saves: the operands
    Derivative: the same sum with g in a's place, over all letters that a does not have
    Note: a letter that only a has was summed over, and along it the gradient is constant
    """

    broadcasts = True  # an axis of length 1 stands for any length

    def __init__(self, letters, out, optimize):
        self.letters, self.out, self.optimize = letters, out, optimize
        self.save_inputs = tuple(range(len(letters)))
        self.saved_for = {i: tuple(j for j in self.save_inputs if j != i) for i in self.save_inputs}
        self.returns_view = len(letters) == 1

    def forward(self, xp, *operands):
        subscripts = f"{','.join(self.letters)}->{self.out}"
        return xp.einsum(subscripts, *operands, optimize=self.optimize)

    def backward(self, xp, g, *operands):
        return tuple(
            self._gradient(xp, g, operands, i) if need else None
            for i, need in enumerate(self.needs)
        )

    def _gradient(self, xp, g, operands, i):
        others = [k for k in range(len(operands)) if k != i]
        letters = [self.out, *(self.letters[k] for k in others)]
        own = self.letters[i]
        summed = "".join(c for c in own if any(c in word for word in letters))
        y = xp.einsum(
            f"{','.join(letters)}->{summed}",
            *(g, *(operands[k] for k in others)),
            optimize=self.optimize,
        )
        inputs = dict(zip(own, self.inputs[i].shape, strict=True))
        lengths = dict(zip(summed, y.shape, strict=True))
        shape = tuple(inputs[c] if lengths.get(c, 1) == 1 else lengths[c] for c in own)
        if y.shape == shape:
            return y
        return xp.broadcast_to(xp.reshape(y, tuple(lengths.get(c, 1) for c in own)), shape)


def einsum(subscripts: str, *operands: TensorLike, optimize: Any = True) -> Tensor:
    """Einstein summation in np.einsum's notation: ``einsum("bthd,bshd->bhts", q, k)``.

    There is one letter per axis. A letter that is missing after ``->`` is summed over, one that
    occurs twice in an operand takes its diagonal, and ``...`` stands for axes that broadcast.
    Without ``->`` the letters that occur once remain, in alphabetical order. ``optimize``, NumPy's,
    chooses the order of the products and uses BLAS.

    Raises TypeError when the first argument is not a string (NumPy's list form is not supported),
    and ValueError for subscripts that do not fit the operands.
    """
    if not isinstance(subscripts, str):
        raise TypeError('einsum: the first argument must be a string, such as "ij,jk->ik"')
    arrays = [operand(a) for a in operands]
    if len({a.dtype for a in arrays}) > 1:  # otherwise a part of the sum is in the smaller type
        dtype = np.result_type(*[a.dtype for a in arrays])
        arrays = [astype(a, dtype) for a in arrays]
    letters, out = _parse(subscripts.replace(" ", ""), arrays)
    for i, word in enumerate(letters):
        while (twice := next((c for c in word if word.count(c) > 1), None)) is not None:
            first, second = word.index(twice), word.rindex(twice)
            shape = arrays[i].shape
            if shape[first] != shape[second]:
                raise ValueError(
                    f"einsum: {twice!r} stands for two axes of different lengths in shape {shape}"
                )
            arrays[i] = diagonal(arrays[i], axis1=first, axis2=second)
            word = word[:first] + word[first + 1 : second] + word[second + 1 :] + twice
        letters[i] = word
    return Einsum(letters, out, optimize)(*arrays)


def _parse(subscripts, operands):
    """The letters of each operand and of the output, with every "..." spelled out."""
    left, arrow, out = subscripts.partition("->")
    words = left.split(",")
    if len(words) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(words)} operands, got {len(operands)}")
    unused = [c for c in ascii_letters if c not in subscripts]
    extra = [a.ndim - len(w.replace("...", "")) for w, a in zip(words, operands, strict=True)]
    dots = "".join(
        unused[: max([n for n, w in zip(extra, words, strict=True) if "..." in w] + [0])]
    )
    letters = []
    for word, a, n in zip(words, operands, extra, strict=True):
        if n < 0 or (n > 0 and "..." not in word):
            raise ValueError(
                f"einsum: {word!r} in {subscripts!r} does not fit an operand of shape {a.shape}"
            )
        letters.append(word.replace("...", dots[len(dots) - n :] if n else ""))
    if arrow:
        out = out.replace("...", dots)
    else:
        named = "".join(words).replace(".", "")
        out = dots + "".join(sorted(c for c in set(named) if named.count(c) == 1))
    known = set("".join(letters))
    if not all(c in ascii_letters for c in known | set(out)):
        raise ValueError(f"einsum: {subscripts!r} may contain only letters, commas, '...' and '->'")
    if len(set(out)) != len(out) or not set(out) <= known:
        raise ValueError(
            f"einsum: the output {out!r} of {subscripts!r} must name each of its letters once, and "
            "only letters of the operands"
        )
    return letters, out
