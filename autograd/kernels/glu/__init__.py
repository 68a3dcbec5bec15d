"""Gated linear units, SwiGLU and GeGLU (README.md has the derivation)."""

from autograd.kernels.dispatch import dispatch

forward, backward = dispatch(__name__)
