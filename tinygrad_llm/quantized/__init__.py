"""Quantized weights, used as they are stored."""
