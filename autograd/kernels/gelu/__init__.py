"""The Gaussian error linear unit, exact and tanh (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
