"""The same computation by this engine and by PyTorch, to first and second derivatives."""

import numpy as np
import torch

from autograd import Tensor, grad


def ours(f, arrays, w, v=None):
    """[y, dL/dx ..., dG/dx ...] as arrays, for L = sum(w y) and, with v, G = sum(v dL/dx)."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    return _results(f, xs, Tensor(w), v and list(map(Tensor, v)), grad, lambda a: a.data)


def exact(a):
    """The array as a torch.Tensor in float64."""
    return torch.tensor(np.array(a, dtype="f8", order="C"))


def theirs(f, arrays, w, v=None):
    """The same by PyTorch, always in float64."""
    xs = [exact(a).requires_grad_() for a in arrays]
    v = v and list(map(exact, v))
    return _results(f, xs, exact(w), v, torch.autograd.grad, lambda a: a.numpy(force=True))


def _results(f, xs, w, v, differentiate, array):
    y = f(*xs)
    first = differentiate(y, xs, w, create_graph=v is not None, allow_unused=True)
    found = [y, *first]
    if v is not None:
        total = sum((g * d).sum() for g, d in zip(first, v, strict=True) if g is not None)
        second = [None] * len(xs)
        if getattr(total, "requires_grad", False):
            second = differentiate(total, xs, allow_unused=True)
        found += second
    like = [y, *xs, *xs]  # what does not depend on an input has the gradient 0
    return [
        np.zeros(tuple(x.shape)) if a is None else array(a)
        for a, x in zip(found, like, strict=False)
    ]


def assert_near(found, expected, tolerance, what, floor=0.05):
    """|found - expected| <= tolerance * max|expected|, or * ``floor`` where that is larger: the
    numbers that went in are of order 1, and what cancels keeps their rounding."""
    assert len(found) == len(expected)
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape, f"{what}, result {k}: {a.shape} for {b.shape}"
        scale = max(np.abs(b).max(initial=0), floor)
        difference = np.abs(a.astype("f8") - b).max(initial=0)
        assert difference <= tolerance * scale, (
            f"{what}, result {k}: {difference} of {scale}, allowed {tolerance}"
        )
