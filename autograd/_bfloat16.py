"""bf16, the upper half of a float32: sign, 8 bits of exponent, 7 of the 23 bits of mantissa.

A number has the range of float32 and two to three decimal digits: the nearest bf16 number is at
most 1/256 of it away. What is rounded here is what the processors' instructions for bf16 round
(VCVTNEPS2BF16 of AVX512-BF16): to the nearest, ties to the even mantissa; NaN stays NaN, infinity
infinity; a denormal, below 1.2e-38, becomes a zero of its sign. NumPy has no such type, so bf16
numbers are stored as uint16, or as those float32 numbers whose lower half is zero.
"""

SIGN = 0x80000000
INFINITY = 0x7F800000  # the bits of infinity; those of NaN are above
SMALLEST = 0x00800000  # the smallest number that is not denormal
QUIET = 0x00400000  # a bit of NaN's mantissa: with it NaN stays NaN whatever else is cut off


def to_bf16(xp, x):
    """The float32 array x as bf16 in an array of uint16."""
    bits = x.view(xp.uint32)
    size = bits & (SIGN - 1)
    bits = xp.where(size > INFINITY, (bits & 0xFFFF0000) | QUIET, bits)
    bits = xp.where(size < SMALLEST, bits & SIGN, bits)
    nearest = bits + (0x7FFF + ((bits >> 16) & 1))  # half of the last bit kept; ties to even
    return (nearest >> 16).astype(xp.uint16)


def from_bf16(u):
    """bf16 in an array of uint16 as float32, exactly."""
    return (u.astype("uint32") << 16).view("float32")


def rounded(xp, x):
    """x with each number rounded to bf16, if it is float32; arrays of another type as they are."""
    return from_bf16(to_bf16(xp, x)) if x.dtype == xp.float32 else x
