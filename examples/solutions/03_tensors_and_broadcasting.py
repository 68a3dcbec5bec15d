"""Solutions to the exercises of 03_tensors_and_broadcasting.py."""

from itertools import product

import numpy as np
from _solutions import answer

from autograd import Tensor, grad

RNG = np.random.default_rng(0)


def shape_of_product(a, b):
    """The shape of a @ b, or None where they do not fit."""
    return (a.shape[0], b.shape[1]) if a.shape[1] == b.shape[0] else None


def exercise_1():
    """A row without its mean.

    y = x - m has two paths from x. The direct one passes on g. The other goes through m, which was
    copied along the row (so its gradient is the sum of -g over the row), and which is a sum divided
    by n (so each x gets 1/n of that). Together: g - mean(g). The gradient has had its own mean
    removed, just like the value. It must be so: adding the same number to a whole row does not
    change y, so the gradient along that direction is 0.
    """
    x = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    g = RNG.standard_normal((3, 4))
    (by_engine,) = grad(x - x.mean(axis=-1, keepdims=True), x, g)
    by_hand = g - g.mean(axis=-1, keepdims=True)
    sums = by_engine.data.sum(axis=-1)
    print(f"   difference {np.abs(by_engine.data - by_hand).max():.0e}, sums of the rows {sums}")
    assert np.allclose(by_engine.data, by_hand, rtol=1e-13)
    assert np.abs(sums).max() < 1e-14


def exercise_2():
    """The same without keepdims.

    The means have shape (3,). Next to x (3, 4) this does not fit, and the error says so. Next to
    x (3, 3) it fits, but as a row: element (i, j) loses the mean of row j in place of row i. That
    is silent, and no gradient check can find it, because the gradient of this wrong function is
    right. A test on a square array cannot see it from the shapes. Test with sizes that are all
    different, and test a property of the result: here, that every row has the mean 0.
    """
    try:
        x = Tensor(RNG.standard_normal((3, 4)))
        x - x.mean(axis=-1)
    except ValueError as error:
        print(f"   (3, 4)   an error: {str(error)[:70]} ...")
    else:
        raise AssertionError("(3, 4) and (3,) should not fit")
    x = RNG.standard_normal((3, 3))
    y = Tensor(x) - Tensor(x).mean(axis=-1)
    print(f"   (3, 3)   no error, and the rows have the means {y.data.mean(axis=-1).round(3)}")
    assert np.allclose(y.data[0, 1], x[0, 1] - x[1].mean())
    assert np.abs(y.data.mean(axis=-1)).max() > 0.1


def exercise_3():
    """Square matrices.

    Two factors in two orders, each plain or transposed, make eight candidates. For A (2, 3),
    B (3, 4) and G (2, 4) only one of them has the shape of A. For square matrices all eight have,
    and one is right. So the shapes are a check, and not a proof: the formula comes from the
    elements, A_nk enters Y_nm by way of B_km. When you use the shapes to remember it, think of
    sizes that are all different.
    """
    for a, b in (((2, 3), (3, 4)), ((3, 3), (3, 3))):
        A = Tensor(RNG.standard_normal(a), requires_grad=True)
        B = RNG.standard_normal(b)
        y = A @ B
        G = RNG.standard_normal(y.shape)
        (right,) = grad(y, A, G)
        pairs = [*product((G, G.T), (B, B.T)), *product((B, B.T), (G, G.T))]
        fitting = [m @ n for m, n in pairs if shape_of_product(m, n) == a]
        correct = [c for c in fitting if np.allclose(c, right.data)]
        print(f"   A {a}, B {b}: of 8 candidates {len(fitting)} fit, and {len(correct)} is right")
        assert (len(fitting), len(correct)) == ((1, 1) if a == (2, 3) else (8, 1))


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
