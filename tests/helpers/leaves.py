"""Tensors to differentiate with respect to."""

import numpy as np

from autograd import Tensor


def leaf(*shape, seed=0):
    """A tensor of normal numbers that requires a gradient."""
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)
