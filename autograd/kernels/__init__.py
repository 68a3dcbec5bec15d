"""Fused operations: one folder each, with derivation, readable definition and fast kernel.

    README.md       the derivation, and the definition
    reference.py    the definition: plain array code that runs on NumPy, CuPy and Tensors
    cpu.py          the numba kernel, if it is measurably faster

``dispatch.py`` chooses between them; nothing else in the project knows which one ran.

The kernels share ``_jit.py`` (compiling), ``_disk_cache.py`` (compiled kernels on disk),
``_functions.py`` (exp, erf, tanh, maximum), ``_gemm.py`` and ``_blas.py`` (matrix products),
``_threads.py`` and ``_stages.py`` (threads), and ``_calls.py`` (calls by address).
"""
