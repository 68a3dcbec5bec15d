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
    others = {"adamw", "muon", "sgd", "product"}  # no operations: tested below and on their own
    assert set(folders()) == {case.split()[0] for case in CASES} | others
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


def phi(s):
    """The polynomial of muon/README.md."""
    return 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5


def test_the_numbers_of_the_derivation_of_muon():
    text = (FOLDER / "muon" / "README.md").read_text()
    s = np.linspace(0, 1, 100_001)
    np.testing.assert_allclose([s[np.argmax(phi(s))], phi(s).max()], [0.555, 1.203], atol=1e-3)
    assert "1.203 at $s = 0.555$" in text
    interval = phi(np.linspace(0.68, 1.21, 10_001))  # maps into itself
    assert 0.68 < interval.min() and interval.max() < 1.21 and "[0.68, 1.21]" in text
    after = phi(phi(phi(phi(phi(s)))))
    in_interval = (after >= 0.68) & (after <= 1.21)
    assert in_interval[s >= 0.0016].all() and not in_interval[s < 0.0014].any()
    assert "s \\ge 0.0016" in text


def test_newton_schulz_does_to_each_singular_value_what_the_derivation_says():
    orthogonalize, x = readme_code("muon")["orthogonalize"], normal(2, 5, 3)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    s = s / np.sqrt((s**2).sum(axis=-1, keepdims=True))  # by Frobenius' norm
    for steps in range(1, 6):
        s = phi(s)
        found = orthogonalize(numpy_namespace, x, steps)
        np.testing.assert_allclose(found, (u * s[:, None, :]) @ vt, rtol=1e-10, atol=1e-12)


def test_no_step_of_that_spectral_norm_lowers_the_loss_more_than_the_orthogonal_one():
    """The inequality of the derivation of Muon, for random steps."""
    g = normal(4, 3)
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    best = -(g * (u @ vt)).sum()
    np.testing.assert_allclose(best, -s.sum())
    for seed in range(50):
        step = np.random.default_rng(seed).standard_normal((4, 3))
        step /= np.linalg.norm(step, 2)
        assert (g * step).sum() > best


def test_nesterov_is_momentum_seen_from_the_point_ahead():
    """theta moves by the gradient at phi = theta - lr mu b; the README writes it for phi alone."""
    update, A = readme_code("sgd")["update"], np.diag([1.0, 20.0])
    lr, mu = 0.02, 0.9
    theta, b = np.array([1.0, 1.0]), np.zeros(2)
    phi_, buffer = theta.copy(), np.zeros(2)
    for _ in range(10):
        b = mu * b + A @ (theta - lr * mu * b)
        theta = theta - lr * b
        phi_, buffer = update(numpy_namespace, phi_, A @ phi_, buffer, lr, mu, True, 0.0, 1.0)
        np.testing.assert_allclose(phi_, theta - lr * mu * b, rtol=1e-12)


def test_momentum_converges_at_the_rate_of_the_derivation():
    """On a quadratic of condition number 100, the error shrinks by sqrt(mu) a step."""
    update, A = readme_code("sgd")["update"], np.diag([1.0, 100.0])
    root = (10 - 1) / (10 + 1)
    lr = (1 + root) ** 2 / 100  # the largest that keeps the steepest axis at sqrt(mu)
    p, b = np.ones(2), np.zeros(2)
    for _ in range(150):
        p, b = update(numpy_namespace, p, A @ p, b, lr, root**2, False, 0.0, 1.0)
    rate = np.linalg.norm(p) ** (1 / 150)
    assert root < rate < root * 1.05  # plain gradient descent: (100 - 1) / (100 + 1) = 0.98
