"""Causal attention with grouped heads, a window and a cap (README.md has the derivation)."""

from autograd.kernels.dispatch import any_layout, dispatch

forward, backward = dispatch(__name__, takes=any_layout)
