"""Optimizers: how a step moves the weights, given their gradients.

    SGD     against the gradient, or its running sum     sgd.py
    AdamW   the same, each number by its own size        adamw.py
    Muon    the same, each matrix by its own shape       muon.py

Each is a rule for one parameter. What they share, the names, groups, checks and saved state, is
``Optimizer`` (optimizer.py). The formulas are in ``autograd/kernels``.
"""

from tinygrad_llm.training.optim.adamw import AdamW
from tinygrad_llm.training.optim.clipping import clip_scale, global_norm
from tinygrad_llm.training.optim.muon import Muon, in_a_block
from tinygrad_llm.training.optim.optimizer import Group, Optimizer
from tinygrad_llm.training.optim.sgd import SGD

__all__ = [
    "SGD", "AdamW", "Group", "Muon", "Optimizer", "clip_scale", "global_norm", "in_a_block",
]  # fmt: skip
