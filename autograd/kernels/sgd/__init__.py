"""One step of stochastic gradient descent with momentum (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

(update,) = dispatch(__name__, "update")
