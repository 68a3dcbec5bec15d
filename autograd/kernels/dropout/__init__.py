"""Inverted dropout with a given mask (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
