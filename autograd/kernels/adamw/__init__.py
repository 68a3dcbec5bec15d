"""One step of AdamW, and the norm that clipping wants (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

update, square_sum = dispatch(__name__, "update", "square_sum")
