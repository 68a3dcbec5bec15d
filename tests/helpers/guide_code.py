"""The modules of docs/guide/code, and one model in both: the package's and the guide's."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model import GPT
from tinygrad_llm.pretrained.gpt2 import CONV1D

CODE = Path(__file__).parents[2] / "docs" / "guide" / "code"
FILES = sorted(CODE.glob("*.py"))
TIED = {"vocab_size": 23, "block_size": 12, "n_layer": 2, "n_head": 2, "n_embd": 8}


def module(name):
    """A module of the guide's code, which lies in no package."""
    if str(CODE) not in sys.path:
        sys.path.insert(0, str(CODE))
    found = import_module(name)
    assert Path(found.__file__).parent == CODE, f"{name} is another module: {found.__file__}"
    return found


def as_in_the_guide(name, array):
    """An array of the package as the guide's code stores it: linear layers are (in, out)."""
    return array.T if name.endswith(CONV1D) else array


def both_models(dtype=np.float64, seed=0, **sizes):
    """The package's GPT and the guide's, with the same weights, of which each counts."""
    config = GPTConfig(**{**TIED, **sizes})
    package, rng = GPT(config, seed=seed), np.random.default_rng(seed)
    for p in package.parameters():
        p.data = p.data + 0.3 * rng.standard_normal(p.shape)
    package = package.astype(dtype).eval()
    model = module("model")
    arrays = {
        name: as_in_the_guide(name, p.numpy()).copy() for name, p in package.named_parameters()
    }
    names = ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    guide = model.GPT(model.Config(*(getattr(config, n) for n in names)), arrays)
    return package, guide


def differences_of_gradients(package, guide):
    """For each parameter, how far the two gradients are apart, relative to the largest number."""
    theirs = {n: as_in_the_guide(n, p.grad.numpy()) for n, p in package.named_parameters()}
    assert list(guide.parameters) == list(theirs)
    return {
        name: np.abs(p.grad - theirs[name]).max() / np.abs(theirs[name]).max()
        for name, p in guide.parameters.items()
    }
