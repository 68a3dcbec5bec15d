"""Solutions to the exercises of 31_one_tile_by_hand.py."""

import numpy as np
from _solutions import answer, example_of

from autograd._bfloat16 import from_bf16, rounded

lab = example_of(__file__)


def exercise_1():
    """The worst number.

    The bf16 numbers from 1 to 2 are 2^-7 apart, so all of them may lose up to 2^-8, and the
    smallest loses most of itself. The first middle is at x = 1 + 2^-8, a tie, which goes down to 1,
    the even one. It loses 2^-8 of 1 + 2^-8, which is 1/257: a number that loses 2^-8 is larger than
    1. The bound of 1/256 is a little generous. The same holds in every octave, since a power of two
    changes the exponent alone.
    """
    x = (np.arange(2**23, dtype=np.uint32) + np.float32(1).view(np.uint32)).view(np.float32)
    loss = np.abs(rounded(np, x) - x) / x.astype(np.float64)
    worst = x[np.argmax(loss)]
    print(f"   {worst} = 1 + 2^-8 loses 1 / {1 / loss.max():.1f} of itself")
    assert worst == 1 + 2.0**-8 and np.isclose(loss.max(), 1 / 257)


def exercise_2():
    """Half a pair.

    A number times 0 is 0, and what was in memory is mostly a number. But it may also be an infinity
    or NaN, and NaN is what these make of 0. One of 256 patterns of 16
    bits is such a number, and one of these spoils a whole row of C: in one run of many, depending
    on what the program did before. So the kernel fills up both operands.
    """
    a, b = lab.packed_a(lab.normal(16, 32)), lab.packed_b(lab.normal(32, 16, seed=1))
    b[15, 1::2] = 0  # the last row of 32: the second number of each last pair
    zeros = np.zeros((16, 16), np.float32)
    for left, name in ((0x0000, "zero"), (0x4AC3, "6,389,760"), (0x7F80, "infinity")):
        a[3, 31] = left
        with np.errstate(invalid="ignore"):
            c = lab.tdpbf16ps(zeros, a, b)
        print(f"   {name:10s} was left in row 3 of A: {np.isnan(c).sum():2d} sums are NaN")
        assert np.isnan(c[3]).all() == np.isinf(from_bf16(a[3, 31:])[0])
        assert np.isfinite(np.delete(c, 3, axis=0)).all()


def exercise_3():
    """Digits back.

    The rest l = x - h is exact in float32, and rounded it has 8 digits more. Of the four products
    of parts the one of both rests is 2^-16 of the whole, so three are enough: h h + h l + l h. What
    is left is the rounding of the rests, about 2^-17. That is three products, on operands that are
    packed from two parts. It pays only where the instructions are more than three times as fast as
    float32, as tiles are.
    """
    a, b = lab.normal(64, 512), lab.normal(512, 64, seed=1)
    exact = a.astype(np.float64) @ b

    def error(c):
        return np.linalg.norm(c - exact) / np.linalg.norm(exact)

    (ah, al), (bh, bl) = ((rounded(np, x), x - rounded(np, x)) for x in (a, b))
    one = lab.multiplied(ah, bh)
    two = one + lab.multiplied(al, bh)
    three = two + lab.multiplied(ah, bl)
    four = three + lab.multiplied(al, bl)
    float32 = lab.multiplied(a, b, "float32")
    errors = [error(c) for c in (one, two, three, four, float32)]
    names = ("h h", "and l h", "and h l", "and l l", "in float32")
    for name, value in zip(names, errors, strict=True):
        print(f"   {name:10s} {value:.1e}")
    assert errors[1] > errors[0] / 2 and errors[2] < errors[0] / 100
    assert errors[4] < errors[2] < 2e-5 and errors[3] > errors[4]


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
