"""The derivations are executed: the Python block of each README is the text of the reference.

So a reader who compares the formulas with the code below them has read what the engine runs. Here
the block runs in the reference's place, and its backward is compared with finite differences.
"""

import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from autograd import check_grad, kernels, ops, use_kernels
from autograd.device import numpy_namespace
from autograd.kernels.dispatch import folders
from autograd.ops.dropping import Dropout

FOLDER = Path(kernels.__file__).parent
TARGETS = np.array([2, -100, 0, 4])
IDS = np.array([[1, 3, 1], [0, 0, 4]])
ANGLES = np.random.default_rng(9).standard_normal((5, 3))
KEEP = np.random.default_rng(8).random((3, 4)) < 0.7


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


# op: (the inputs with a gradient, the function of ops)
CASES = {
    "layer_norm": ([normal(2, 3, 5), normal(5), normal(5)], ops.layer_norm),
    "rms_norm": ([normal(2, 3, 5), normal(5)], ops.rms_norm),
    "softmax": ([normal(3, 5)], ops.softmax),
    "attention": ([normal(2, 5, 12)], lambda x: ops.causal_attention(x, 2)),
    "linear": ([normal(2, 3, 4), normal(5, 4), normal(5)], ops.linear),
    "embedding": ([normal(5, 3)], lambda w: ops.embedding(w, IDS)),
    "dropout": ([normal(3, 4)], Dropout(KEEP, 0.3)),
}
for _layout in ("half", "interleaved"):
    CASES[f"rope {_layout}"] = (
        [normal(2, 5, 7)],
        lambda x, layout=_layout: ops.rope(x, np.cos(ANGLES), np.sin(ANGLES), layout),
    )
DOCUMENTS = np.array([[0, 1, 1], [2, 2, 4]])
for _options in (
    {}, {"window": 2}, {"softcap": 0.7, "window": 3}, {"documents": DOCUMENTS, "window": 2}
):  # fmt: skip
    CASES[f"grouped_query_attention {_options}"] = (
        [normal(2, 4, 3, 2), normal(2, 2, 5, 2), normal(2, 2, 5, 2)[::-1]],
        lambda q, k, v, o=_options: ops.grouped_query_attention(q, k, v, **o),
    )
CASES["glu silu"] = ([normal(4, 3), normal(4, 3)[::-1]], ops.swiglu)
for _form in ("none", "tanh"):
    CASES[f"glu gelu {_form}"] = (
        [normal(4, 3), normal(4, 3)[::-1]],
        lambda a, b, form=_form: ops.geglu(a, b, form),
    )
    CASES[f"gelu {_form}"] = ([normal(4, 3)], lambda x, form=_form: ops.gelu(x, form))
    CASES[f"feed_forward {_form}"] = (
        [normal(2, 3, 4), normal(5, 4), normal(5), normal(2, 5), normal(2)],
        lambda *inputs, form=_form: ops.feed_forward(*inputs, approximate=form),
    )
for _reduction in ("mean", "sum", "none"):
    CASES[f"cross_entropy {_reduction}"] = (
        [normal(4, 5)],
        lambda x, r=_reduction: ops.cross_entropy(x, TARGETS, reduction=r),
    )
    CASES[f"linear_cross_entropy {_reduction}"] = (
        [normal(4, 3), normal(5, 3)],
        lambda h, w, r=_reduction: ops.linear_cross_entropy(h, w, TARGETS, reduction=r),
    )
CASES["cross_entropy with weights and smoothing"] = (
    [normal(4, 5)],
    lambda x: ops.cross_entropy(x, TARGETS, weight=np.arange(1.0, 6), label_smoothing=0.1),
)


def readme_block(op):
    """The text of the README's Python block."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (FOLDER / op / "README.md").read_text(), re.M | re.S
    )
    assert len(blocks) == 1, f"{op}/README.md must hold exactly one Python block"
    return blocks[0]


def readme_code(op):
    """The functions that the README's Python block defines."""
    scope = {}
    exec(compile(readme_block(op), f"{op}/README.md", "exec"), scope)  # our own documentation
    return scope


def test_every_folder_has_a_derivation():
    assert set(folders()) == {case.split()[0] for case in CASES} | {"adamw"}
    for folder in folders():
        assert len((FOLDER / folder / "README.md").read_text().splitlines()) > 30


@pytest.mark.parametrize("op", folders())
def test_the_code_of_the_derivation_is_the_reference(op):
    text = (FOLDER / op / "reference.py").read_text()
    end_of_docstring = ast.parse(text).body[0].end_lineno
    assert readme_block(op) == "".join(text.splitlines(True)[end_of_docstring:]).lstrip()


@pytest.mark.parametrize("case", CASES)
def test_the_derivation_is_right(case, monkeypatch):
    inputs, function = CASES[case]
    op = case.split()[0]
    code, package = readme_code(op), importlib.import_module(f"autograd.kernels.{op}")
    for name in ("forward", "backward"):
        monkeypatch.setitem(getattr(package, name)._implementations, "reference", code[name])
    with use_kernels("reference"):
        check_grad(function, *inputs, order=2)


def test_the_first_step_of_adamw_is_the_sign_of_the_gradient():
    p, g, zeros = normal(4, 2), normal(4, 2) + 0.5, np.zeros((4, 2))
    options = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 0.0, "weight_decay": 0.1}
    update = readme_code("adamw")["update"]
    found, m, v = update(numpy_namespace, p, g, zeros, zeros, **options, step=1, grad_scale=0.5)
    np.testing.assert_allclose(found, p * (1 - 1e-3) - 1e-2 * np.sign(g), rtol=1e-13)
    np.testing.assert_allclose(m, 0.05 * g, rtol=1e-13)
    np.testing.assert_allclose(v, 0.05 * np.square(0.5 * g), rtol=1e-13)
