"""PyTorch as an oracle: every operation over random shapes, broadcasts, layouts and dtypes.

The tables in tests/oracle draw shapes and options and give the same operation twice. What PyTorch
computes in float64 from the same numbers is right; ours, in every dtype and memory layout, must be
near it: the output, the gradients for a random gradient of the output, and in float64 the second
derivatives of a random projection of the gradients.
"""

import zlib

import numpy as np
import pytest

pytest.importorskip("torch", reason="compares every operation with PyTorch")

from oracle import (  # noqa: E402, F401
    decompositions,
    linear,
    moving_elements,
    neural,
    number_by_number,
)
from oracle.compare import assert_near, exact, ours, theirs  # noqa: E402
from oracle.drawing import CASES, numbers  # noqa: E402

from autograd import Tensor, ops  # noqa: E402
from autograd.samples import SAMPLES  # noqa: E402

NEAR = {"float16": 3e-2, "float32": 2e-5, "float64": 1e-10}
"""The accepted difference, relative to the largest number of the array."""


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("name", sorted(CASES))
def test_operation(name, dtype):
    draw, domain = CASES[name]
    if not any(s.op == name and dtype in map(lambda d: d.__name__, s.dtypes) for s in SAMPLES):
        pytest.skip("linalg takes float32 and float64 only, and says so (test_samples.py)")
    for seed in range(6):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shapes, call, oracle = draw(rng)
        what = f"{name}, seed {seed}, shapes {shapes}"
        arrays = [numbers(rng, s, domain, dtype) for s in shapes]
        y = call(*map(Tensor, arrays)).data
        if name in ops.discrete.STEPS:  # PyTorch gives gradients of zeros, we give none
            x = Tensor(arrays[0], requires_grad=True)
            assert not call(x).requires_grad
            assert_near([y], [oracle(exact(arrays[0])).numpy()], 0, what)
            continue
        w = rng.standard_normal(y.shape).astype(dtype)
        v = [rng.standard_normal(s) for s in shapes] if dtype == "float64" else None
        found, expected = ours(call, arrays, w, v), theirs(oracle, arrays, w, v)
        assert {a.dtype for a in found[: 1 + len(arrays)]} == {np.dtype(dtype)}, what
        assert_near(found, expected, NEAR[dtype], what)


def test_every_operation_is_compared():
    assert set(CASES) == set(ops.DIFFERENTIABLE) | set(ops.discrete.STEPS)
