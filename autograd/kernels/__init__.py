"""Fused operations: one folder each, with derivation, readable definition and fast kernels.

    README.md       the derivation, and the same formulas as NumPy code
    reference.py    the definition: plain array code that runs on NumPy, CuPy and Tensors
    cpu.py          the numba kernel, where it is measurably faster

``dispatch.py`` chooses between them; nothing else in the project knows which one ran.
"""
