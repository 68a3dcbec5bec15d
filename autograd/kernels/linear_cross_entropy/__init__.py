"""The last linear layer and its loss in one op (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
