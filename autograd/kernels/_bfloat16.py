"""float32 arrays to bf16 and back, as ``autograd/_bfloat16.py`` defines it, in one pass each."""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part

UINT = np.uint32  # numba's integer arithmetic widens uint32: each result is cut back to it
SIGN, SIZE, INFINITY = UINT(0x80000000), UINT(0x7FFFFFFF), UINT(0x7F800000)
SMALLEST, QUIET, HALF = UINT(0x00800000), UINT(0x00400000), UINT(0x7FFF)
ONE, HIGH = UINT(1), UINT(16)


def to_bf16(x):
    """A contiguous float32 array as an array of uint16."""
    u = np.empty(x.shape, np.uint16)
    bits = x.reshape(-1).view(np.uint32)
    parallel_rows(_to_bf16, x.size, rows_per_part(x.size, 1), bits, u.reshape(-1))
    return u


def from_bf16(u):
    """A contiguous array of uint16 as float32."""
    x = np.empty(u.shape, np.float32)
    bits = x.reshape(-1).view(np.uint32)
    parallel_rows(_from_bf16, u.size, rows_per_part(u.size, 1), u.reshape(-1), bits)
    return x


@jit
def _to_bf16(bits, u, start, stop):
    bits, u = bits[start:stop], u[start:stop]
    for i in range(len(u)):
        b = UINT(bits[i])
        size = UINT(b & SIZE)
        up = UINT(HALF + UINT(UINT(b >> HIGH) & ONE))  # half of the last bit kept; ties to even
        nearest = UINT(b + up)
        nearest = UINT(b & SIGN) if size < SMALLEST else nearest
        nearest = UINT(b | QUIET) if size > INFINITY else nearest
        u[i] = np.uint16(UINT(nearest >> HIGH))


@jit
def _from_bf16(u, bits, start, stop):
    u, bits = u[start:stop], bits[start:stop]
    for i in range(len(u)):
        bits[i] = UINT(UINT(u[i]) << HIGH)
