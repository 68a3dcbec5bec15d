"""Solutions to the exercises of 11_faster_stage_by_stage.py."""

import math

import numpy as np
from _solutions import answer

RNG = np.random.default_rng(0)


class Counted(np.ndarray):
    """An array whose operations add the bytes that they read and write to ``Counted.moved``."""

    moved = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        arrays = [x for x in plain if isinstance(x, np.ndarray)]
        Counted.moved += sum(x.nbytes for x in arrays) + result.nbytes
        return result.view(Counted)


def exercise_1():
    """How far the bytes travel.

    Each operation of a formula reads its arrays and writes a new one. GELU's tanh form has nine:
    five with one array to read, and four with two, which makes 5 x 2 + 4 x 3 = 22 passes over the
    array. A loop that does everything to one number before it takes the next needs two: one to
    read, one to write. That is why the fused loop wins although it does the same arithmetic, and
    why it wins most where the array is larger than the caches.
    """
    x = RNG.standard_normal((64, 256)).astype(np.float32).view(Counted)
    Counted.moved = 0
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    _ = 0.5 * x * (1 + np.tanh(inner))
    passes = Counted.moved / x.nbytes
    print(f"   {passes:.0f} passes over the array, in place of 2: {Counted.moved:,} bytes")
    assert passes == 5 * 2 + 4 * 3


def exercise_2():
    """Softmax without the row.

    A weighted mean is a quotient of two sums, of e^s v and of e^s, and sums can be taken block by
    block. The only trouble is the maximum, which is taken out of the exponents to keep them small,
    and which is not known until the end. So take out the largest *so far*. When a block brings a
    larger one, what has been summed is too large by e^(new - old): multiply both sums by
    e^(old - new), and go on. A query needs one pass, a running maximum, one sum and one vector,
    whatever the number of keys. This is the inside of the kernel that never stores (B, H, T, T).
    """
    T, D, block = 1000, 8, 64
    scores, values = 30 * RNG.standard_normal(T), RNG.standard_normal((T, D))
    largest, total, y = -np.inf, 0.0, np.zeros(D)
    for begin in range(0, T, block):
        s, v = scores[begin : begin + block], values[begin : begin + block]
        new = max(largest, s.max())
        shrink = np.exp(largest - new)  # 0 at first, as e^-inf is
        weights = np.exp(s - new)
        total = total * shrink + weights.sum()
        y = y * shrink + weights @ v
        largest = new
    e = np.exp(scores - scores.max())
    whole = e / e.sum() @ values
    error = np.abs(y / total - whole).max()
    print(f"   {T} keys in blocks of {block}: from the whole softmax by {error:.0e}")
    assert error < 1e-13


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
