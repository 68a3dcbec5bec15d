"""Solutions to the exercises of 29_depth.py."""

import math

import numpy as np
from _solutions import answer, example_of

from autograd import ops

depth = example_of(__file__)


def exercise_1():
    """The factor of GELU.

    For inputs of size 1 it is 0.65, and for small ones 0.5: near 0, GELU is x / 2. So no gain of
    the weights is right for all layers. If one layer makes the numbers smaller, the next one makes
    them smaller still. relu has the same shape near 0 as everywhere else, relu(s x) = s relu(x),
    and its factor, 1/sqrt(2), does not depend on the size. In a transformer the normalization
    before each branch gives GELU inputs whose size is known.
    """
    x = np.random.default_rng(0).standard_normal(1_000_000)
    print("     size of the input     gelu    relu")
    for size, expected in ((1.0, 0.652), (0.1, 0.509)):
        factors = [depth.rms(f(size * x).data) / size for f in (ops.gelu, ops.relu)]
        print(f"     {size:17.1f}{factors[0]:9.3f}{factors[1]:8.3f}")
        assert abs(factors[0] - expected) < 0.01 and abs(factors[1] - math.sqrt(0.5)) < 0.01


def exercise_2():
    """Matrices that are not square.

    An output is a sum over 64 inputs, and asks for 1/sqrt(64). The gradient of an input is a sum
    over 256 outputs, and asks for 1/sqrt(256): both at once is impossible (Glorot's compromise is
    the root of 2 / (64 + 256)). But the pair 64-256-64 with 1/sqrt(fan_in) is right in both
    directions: on the way down, one matrix multiplies by 2 and the other by 1/2. What counts is
    the size where branches meet the stream, and there all have the same width.
    """
    rng = np.random.default_rng(0)
    wide, narrow = depth.matrix(rng, 64, 256, 1.0).data, depth.matrix(rng, 256, 64, 1.0).data
    x, g = rng.standard_normal((500, 64)), rng.standard_normal((500, 64))
    up = depth.rms(x @ wide), depth.rms(x @ wide @ narrow)
    down = depth.rms(g @ narrow.T), depth.rms(g @ narrow.T @ wide.T)
    print(f"   up    1.00 -> {up[0]:.2f} -> {up[1]:.2f}")
    print(f"   down  {down[1]:.2f} <- {down[0]:.2f} <- 1.00")
    assert np.allclose(up, (1, 1), atol=0.1) and np.allclose(down, (0.5, 1), atol=0.1)


def exercise_3():
    """A stream without normalization.

    Each branch reads the stream and adds to the mean square 1/(2 L) of it: a factor of
    1 + 1/(2 L), 2 L times. That is compound interest, and the limit is e. So the size at the top is
    at most sqrt(e) = 1.65, and so is the gradient at the bottom. Nothing is wrong with that at the
    start. But only there: when training has doubled the branches, the factor is (1 + 4/(2 L)), and
    the limit e^4. With normalization in each branch it would be 1 + 4.
    """
    print("      L    predicted    size at the top    gradient at the bottom")
    for blocks in (1, 4, 24, 100):
        depth.BRANCHES = 2 * blocks
        rng = np.random.default_rng(0)
        gain = 1 / math.sqrt(depth.BRANCHES)
        up, down = depth.sizes(depth.stack_of(depth.added, gain, rng), rng)
        predicted = (1 + 1 / depth.BRANCHES) ** blocks
        print(f"   {blocks:4d}{predicted:13.2f}{up[-1]:19.2f}{down[0]:26.2f}")
        assert abs(up[-1] / predicted - 1) < 0.1 and abs(down[0] / predicted - 1) < 0.1
    assert predicted < math.sqrt(math.e) < predicted + 0.01


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
