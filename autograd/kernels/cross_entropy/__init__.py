"""Log-softmax and negative log-likelihood in one op (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
