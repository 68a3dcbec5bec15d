"""The packages ship their annotations, and to a type checker they are right."""

import configparser
import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

RIGHT = """\
import numpy as np
from autograd import Parameter, Tensor, check_grad, functional, grad, no_grad, ops, tensor
from autograd.debug import detect_anomaly
from tinygrad_llm import GPT, DataLoader, GPTConfig, Linear

x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
loss: Tensor = (ops.exp(x) * x + 2 * x - 1).sum()
loss.backward()
if x.grad is not None:
    total: Tensor = x.grad.sum()
(slope,) = grad((x**2).mean(axis=0, keepdims=True), [x])
first: float = float(slope[0].detach())
n: int = len(x) + x.ndim + x.shape[0]
scaled: Tensor = np.ones(3) * x + np.float64(2) * x
w = Parameter(tensor([[1.0, 2.0]]).data)
with no_grad(), detect_anomaly():
    w.assign_(w.data - 0.1)
y: Tensor = ops.where(x > 0, x, 0) @ ops.reshape([1, 2, 3], (3, -1))
u, s, vh = ops.linalg.svd(w)
q: Tensor = ops.linalg.qr(w).Q
parts: list[Tensor] = ops.split(x, 3)
check_grad(lambda a, b: ops.matmul(a, b), w, [[1.0], [2.0]])
g = functional.grad(lambda a: (a * a).sum())(x)

model: GPT = GPT(GPTConfig(vocab_size=5))
mean: Tensor = model.loss(np.zeros((1, 2), int), np.zeros((1, 2), int))
layer: Tensor = Linear(3, 4)(x)
for inputs, targets in DataLoader(np.arange(9), 1, 4, seed=0):
    rows: np.ndarray = inputs


@no_grad()
def twice(a: int) -> int:
    return 2 * a


four: int = twice(2)
"""

WRONG = """\
import autograd
import tinygrad_llm
from autograd import Tensor, grad, ops

x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
ops.sum(x, axis="0")
ops.exp("x")
ops.expp(x)
ops.concatenate(x, axis=0.5)
x.sum(keepdim=True)
x + "1"
n: int = x.mean()
x.backward(create_graph="yes")
grad(x.sum(), [1.0])
autograd.tensr([1.0])
tinygrad_llm.Gpt()
tinygrad_llm.GPTConfig(n_layers=3)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment in which the packages lie as setup.cfg installs them."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for package, patterns in settings["options.package_data"].items():
        for pattern in ["**/*.py", *patterns.split()]:
            for path in (ROOT / package).glob(pattern):
                target = packages / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    (packages / "others.pth").write_text(str(Path(np.__file__).parent.parent))
    return Path(sysconfig.get_path("scripts", "venv", vars=variables)) / Path(sys.executable).name


def reported(python, folder, program):
    """The lines of a program of which mypy reports an error, with the messages."""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(python), "program.py",
         "--no-error-summary", "--show-error-codes", "--hide-error-context"],
        cwd=folder, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "MYPYPATH"},
    )  # fmt: skip
    assert done.stderr == ""
    found = [line.split(":", 3) for line in done.stdout.splitlines() if ": error:" in line]
    assert all(file == "program.py" for file, *_ in found), done.stdout
    return {program.splitlines()[int(line) - 1]: message for _, line, _, message in found}


needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")


@needs_mypy
def test_a_program_that_is_right_passes(python, tmp_path):
    assert reported(python, tmp_path, RIGHT) == {}


@needs_mypy
def test_every_mistake_is_reported(python, tmp_path):
    found = reported(python, tmp_path, WRONG)
    assert list(found) == WRONG.splitlines()[5:]
    assert '"axis"' in found['ops.sum(x, axis="0")']


def test_every_public_function_of_ops_says_its_types():
    from autograd import ops

    functions = [getattr(ops, name) for name in ops.__all__ if name != "linalg"]
    functions += [getattr(ops.linalg, name) for name in ops.linalg.__all__]
    for function in functions:
        names = inspect.signature(function).parameters
        assert function.__annotations__.keys() == {*names, "return"}, function.__qualname__
