"""The derivations are executed: each README's code must be what the kernels compute.

The one Python block of a folder's README defines forward and backward line for line from the
formulas. Here it runs in float64 beside the folder's reference, and its backward beside finite
differences of its forward.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, grad, ops, use_kernels
from autograd.device import numpy_namespace
from autograd.kernels import adamw

FOLDER = Path(ops.__file__).parent.parent / "kernels"
RNG = np.random.default_rng(8)
TARGETS = np.array([2, -100, 0, 4])
KEEP = RNG.random((3, 4)) < 0.7


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


# op: (differentiable inputs, the other arguments of the README's functions, the same op in ops)
CASES = {
    "layer_norm": ([normal(2, 3, 5), normal(5), normal(5)], (1e-5,), ops.layer_norm),
    "rms_norm": ([normal(2, 3, 5), normal(5)], (1e-5,), ops.rms_norm),
    "softmax": ([normal(3, 5)], (), ops.softmax),
    "gelu none": ([normal(4, 3), normal(3)], ("none",), lambda x, b: ops.gelu(x + b, "none")),
    "gelu tanh": ([normal(4, 3), normal(3)], ("tanh",), lambda x, b: ops.gelu(x + b, "tanh")),
    "attention": ([normal(2, 5, 12)], (2,), lambda x: ops.causal_attention(x, 2)),
    "linear": ([normal(2, 3, 4), normal(5, 4), normal(5)], (), ops.linear),
    "embedding": (
        [normal(5, 3)],
        (np.array([[1, 3, 1], [0, 0, 4]]),),
        lambda w: ops.embedding(w, np.array([[1, 3, 1], [0, 0, 4]])),
    ),
    "dropout": ([normal(3, 4)], (KEEP, 0.3), lambda x: ops.nn.Dropout(KEEP, 0.3)(x)),
}
for _reduction in ("mean", "sum", "none"):
    CASES[f"cross_entropy {_reduction}"] = (
        [normal(4, 5)],
        (TARGETS, -100, _reduction),
        lambda x, r=_reduction: ops.cross_entropy(x, TARGETS, reduction=r),
    )
    CASES[f"linear_cross_entropy {_reduction}"] = (
        [normal(4, 3), normal(5, 3)],
        (TARGETS, -100, _reduction),
        lambda h, w, r=_reduction: ops.linear_cross_entropy(h, w, TARGETS, reduction=r),
    )


def readme_code(op):
    """The functions that the README's Python block defines."""
    text = (FOLDER / op / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 1, f"{op}/README.md must hold exactly one Python block"
    scope = {"np": np, "erf": numpy_namespace.erf}
    exec(compile(blocks[0], f"{op}/README.md", "exec"), scope)  # our own documentation
    return scope


class Derived(Op):
    """An op made from a README's forward and backward (first derivatives only)."""

    def __init__(self, code, options):
        self.code, self.options = code, options

    def forward(self, xp, *inputs):
        self.arrays = inputs
        return self.code["forward"](*inputs, *self.options)

    def backward(self, xp, g):
        return self.code["backward"](g, *self.arrays, *self.options)


def test_every_folder_has_a_derivation():
    folders = {p.parent.name for p in FOLDER.glob("*/reference.py")}
    assert folders == {case.split()[0] for case in CASES} | {"adamw"}
    for folder in folders:
        assert len((FOLDER / folder / "README.md").read_text().splitlines()) > 30


@pytest.mark.parametrize("case", CASES)
def test_the_derivation_is_the_reference(case):
    inputs, options, op = CASES[case]
    code = readme_code(case.split()[0])
    with use_kernels("reference"):
        xs = [Tensor(x, requires_grad=True) for x in inputs]
        y = op(*xs)
        w = np.random.default_rng(0).standard_normal(y.shape)
        expected = grad(y, xs, w)
    np.testing.assert_allclose(code["forward"](*inputs, *options), y.data, rtol=1e-12, atol=1e-14)
    derived = code["backward"](w, *inputs, *options)
    assert isinstance(derived, tuple) and len(derived) == len(inputs)
    for a, b in zip(derived, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b.data, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_the_derivation_is_right(case):
    inputs, options, _ = CASES[case]
    code = readme_code(case.split()[0])
    check_grad(lambda *xs: Derived(code, options)(*xs), *inputs, order=1)


def test_adamw_derivation_is_the_reference():
    code = readme_code("adamw")
    p, g, m, v = (normal(4, n) for n in (2, 3, 4, 5))
    p, g, m, v = (a[:, :2] for a in (p, g, m, v))
    options = (1e-2, 0.9, 0.95, 1e-8, 0.1)
    for step in (1, 2, 10):
        arguments = (p, g, m, v * v, *options, step, 0.5)
        expected = adamw.update.implementation("reference")(numpy_namespace, *arguments)
        for a, b in zip(code["update"](*arguments), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)
