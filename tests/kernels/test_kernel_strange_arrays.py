"""Every kernel, called as the operations call it, on arrays that are not laid out as usual.

Arrays that suit the fast kernel are computed by it, all others by the reference; none is refused.
An array with axes of length 1 is the subtle case: NumPy calls it contiguous whatever the strides of
those axes are, so it does reach the kernels.
"""

import importlib

import numpy as np
import pytest
from kernel_cases import every_case
from kernel_checks import compared
from numpy.lib.stride_tricks import as_strided

from autograd import Tensor, ops, use_kernels


def odd_strides(step):
    """The same numbers, with ``step`` bytes as the stride of every axis of length 1."""

    def laid_out(x):
        strides = [step if n == 1 else s for n, s in zip(x.shape, x.strides, strict=True)]
        return as_strided(x, x.shape, strides)

    return laid_out


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x):
    """The same numbers read from the middle of a file, one byte behind where they would fit."""
    return np.frombuffer(b"#" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)


def swapped(x):
    """The same numbers in the other order of bytes, as a file from another machine has them."""
    return x.astype(x.dtype.newbyteorder())


def columns_first(x):
    return np.array(x, order="F")


def reversed_axes(x):
    backwards = (slice(None, None, -1),) * x.ndim
    return x[backwards].copy()[backwards]


LAYOUTS = {
    "as usual": np.copy,
    "strides of 0": odd_strides(0),
    "negative strides": odd_strides(-4),
    "strides of no element": odd_strides(3),
    "large strides": odd_strides(1 << 40),
    "columns first": columns_first,
    "backwards": reversed_axes,
    "read-only": read_only,
    "unaligned": unaligned,
    "other byte order": swapped,
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def dispatched(op):
    """The functions as the operations call them, each call compared with the reference's."""
    package = importlib.import_module(f"autograd.kernels.{op}")
    return compared(op, "f4", typical=1.0, functions=package)  # inputs of order 1


@every_case
@each_layout
def test_every_layout_is_computed(case, layout):
    for rows, columns in ((1, 1), (1, 4), (3, 1), (3, 4), (0, 4)):
        inputs = case.inputs(rows, columns, "f4")
        case.run(dispatched(case.op), **{name: layout(x) for name, x in inputs.items()})


@every_case
def test_rows_that_are_all_the_same_one(case):
    """A broadcast array: the stride of its first axis is 0, and it is read-only."""
    inputs = case.inputs(3, 4, "f4")
    if case.op == "attention":  # its first axis has length 1
        inputs = {name: np.repeat(x, 3, axis=0) for name, x in inputs.items()}
    repeated = {
        name: np.broadcast_to(x[:1], x.shape) if x.ndim > 1 else x for name, x in inputs.items()
    }
    assert any(0 in x.strides for x in repeated.values())
    case.run(dispatched(case.op), **repeated)


@pytest.mark.parametrize("kernels", ["auto", "cpu", "reference"])
def test_a_view_of_one_number_goes_through_a_linear_layer(kernels):
    x = np.arange(24, dtype="f4").reshape(4, 6)[1:2, ::2][:, :1]
    assert x.flags.c_contiguous and x.strides == (24, 8)
    weight, bias = Tensor(np.ones((2, 1), "f4"), requires_grad=True), np.zeros(2, "f4")
    with use_kernels(kernels):
        y = ops.linear(x, weight, bias)
        y.backward(np.ones((1, 2), "f4"))
    assert y.data.tolist() == [[6, 6]] and weight.grad.data.tolist() == [[6], [6]]
