"""What the tests of the kernels rely on: ``compared`` notices a kernel that is wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
from kernel_checks import compared, fast, normal, xp

softmax = fast("softmax")


def slightly_wrong(xp, x):
    return softmax.forward(xp, x) * 1.001


def writes_to_its_input(xp, x):
    y = softmax.forward(xp, x)
    x += 1
    return y


def random_in_the_last_bit(xp, x, calls=[0]):  # noqa: B006 (it counts its calls)
    calls[0] += 1
    return softmax.forward(xp, x) * (1 + 2**-51 * (calls[0] % 2))


def in_another_dtype(xp, x):
    return softmax.forward(xp, x).astype("f4")


@pytest.mark.parametrize(
    "forward, message",
    [
        (slightly_wrong, r"softmax.forward\(x=float64 \(2, 3\)\), result 0"),
        (writes_to_its_input, r"softmax.forward\(x=float64 \(2, 3\)\) changed an argument"),
        (random_in_the_last_bit, r"softmax.forward\(x=float64 \(2, 3\)\), called a second time"),
        (in_another_dtype, r"softmax.forward\(x=float64 \(2, 3\)\) gives float32 \(2, 3\), not f8"),
    ],
)
def test_a_wrong_kernel_is_noticed_at_its_call(forward, message):
    f = compared("softmax", "f8", functions=SimpleNamespace(forward=forward, backward=None))
    with pytest.raises(AssertionError, match=message):
        f.forward(xp, normal(2, 3))


def test_a_right_kernel_passes_and_its_result_is_returned():
    x = normal(2, 3)
    np.testing.assert_array_equal(compared("softmax", "f8").forward(xp, x), softmax.forward(xp, x))
