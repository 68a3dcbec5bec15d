"""One step of Muon, and the Newton-Schulz iteration in it (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

update, orthogonalize = dispatch(__name__, "update", "orthogonalize")
