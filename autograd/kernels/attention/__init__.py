"""Causal self-attention from the packed projection (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
