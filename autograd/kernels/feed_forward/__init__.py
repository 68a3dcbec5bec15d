"""A transformer's feed-forward layer, GELU between two matrices (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
