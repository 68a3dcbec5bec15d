"""NumPy as an oracle: random calls of every function, right ones and wrong ones.

tests/helpers/oracle/numpy_table.py has a line for each function. A call is drawn with operands of
any shape, type and layout, lists and numbers, and with arguments that may be wrong; where NumPy
computes we must compute the same, and where it refuses we must refuse in a sentence. The gradient
of what is computed is compared with finite differences of NumPy's function.

    pytest -m soak tests/autograd/test_numpy_oracle.py      # more calls, others
"""

import zlib
from collections import Counter

import numpy as np
import pytest
from oracle import numpy_neural  # noqa: F401 (it enters its lines into the table)
from oracle.choices import CHOICES, WITHOUT_ENTRY
from oracle.judge import judge
from oracle.numpy_table import TABLE, Entry

from autograd import Op, Tensor, ops, use_kernels


def compare(entry, count, seed=0):
    rng = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
    with use_kernels("reference"):  # the others are compiled anew for each layout
        found = Counter(judge(entry.draw(rng), rng, CHOICES) for _ in range(count))
    assert found["same"] >= count / 6, f"of {count} calls only {found} could be compared"
    return found


@pytest.mark.parametrize("name", sorted(TABLE))
def test_numpy_agrees(name):
    compare(TABLE[name], 60)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(TABLE))
def test_numpy_agrees_for_longer(name):
    compare(TABLE[name], 1000, seed=1)


def test_every_function_is_compared():
    functions = {n for n in ops.__all__ if n != "linalg"} | {
        f"linalg.{n}" for n in ops.linalg.__all__
    }
    assert functions == set(TABLE) | set(WITHOUT_ENTRY)
    assert not set(TABLE) & set(WITHOUT_ENTRY)
    assert all(len(reason) > 20 for reason in WITHOUT_ENTRY.values())


# --- The oracle is no use if it sees nothing -----------------------------------------------------


class Wrong(Op):
    """y = 2 x, for whom anything may be wrong."""

    def __init__(self, factor=2.0, slope=2.0):
        self.factor, self.slope = factor, slope

    def forward(self, xp, x):
        return xp.multiply(x, self.factor)

    def backward(self, xp, g):
        return self.slope * g


def axis_unchecked(x, axis=0):
    return Tensor(np.asarray(x.data if isinstance(x, Tensor) else x)).sum(axis % 2)


@pytest.mark.parametrize(
    "ours, message",
    [
        (lambda x, axis=0: Wrong(2.001)(ops.sum(x, axis)), "NumPy gives"),
        (lambda x, axis=0: Wrong(slope=2.001)(ops.sum(x, axis)), "finite differences"),
        (lambda x, axis=0: ops.sum(x, axis, keepdims=True) * 2.0, "NumPy's is"),
        (lambda x, axis=0: ops.astype(ops.sum(x, axis), "f4") * 2.0, "NumPy's is"),
        (lambda x, axis=0: axis_unchecked(x, axis) * 2.0, "we accept it|no clear sentence"),
        (lambda x, axis=0: ops.sum(x, axis)[0:1] * 2.0, "NumPy"),
        (lambda x, axis=0: ops.sum(x) * axis.missing, "wrong kind"),
    ],
)
def test_a_wrong_function_is_found(ours, message):
    right = TABLE["sum"]
    options = {"axis": right.options["axis"]}
    wrong = Entry("sum", right.operands, options, lambda x, axis=0: 2.0 * np.sum(x, axis), ours,
                  None, False, right.dtypes)  # fmt: skip
    with pytest.raises(AssertionError, match=message):
        compare(wrong, 60)
