"""One tile of a matrix product in bf16, by hand: rounding, packing, and what an instruction does.

What it teaches. Processors multiply numbers of 16 bits several times as fast as numbers of 32. A
bf16 is the upper half of a float32. Products of two of them are exact in float32, and the sums stay
float32: only the operands are rounded, to within 1/256. The instructions take the numbers in pairs,
and that decides how the operands have to lie in memory.

Part 1 rounds numbers bit by bit. Part 2 packs a tile of A and one of B as the instructions read
them. Part 3 does in NumPy what two instructions do: vdpbf16ps, with registers of 16 sums, and
tdpbf16ps, with tiles of 16 x 16. Part 4 shows what rounding does to longer and longer sums, and why
the sums must not be rounded. Part 5 measures the speed, if this processor has the instructions.

Before: 30_sgd_to_muon.py. autograd/kernels/product/README.md derives all of this, and has pictures;
autograd/_bfloat16.py rounds, and autograd/kernels/product/tiles.py packs.

Exercises, answered in solutions/31_one_tile_by_hand.py. Try first.

1. The worst number. Rounding may be off by 1/256 of a number, says part 1. Try all float32 numbers
   from 1 to 2. Which loses most, and why not 1/256 of it?
2. Half a pair. With 31 numbers along the contraction, the last pair lacks one. Is it enough to fill
   up B with zeros, and to leave in A what was in memory before?
3. Digits back. Write x = h + l, where h is x rounded to bf16 and l the rest, rounded. Which
   products of these parts give a result that is nearly as exact as float32, and at what price?
"""

import textwrap
import time

import numpy as np

from autograd._bfloat16 import from_bf16, rounded, to_bf16
from autograd.device import numpy_namespace
from autograd.kernels import product

F32_EPS = 2.0**-24  # the most by which rounding to float32 changes a number, relative to it


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def multiplied(a, b, precision="bf16"):
    """The project's product."""
    return product.product(numpy_namespace, a, b, None, precision)


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


# --- part 1: rounding -----------------------------------------------------------------------------


def to_bf16_by_hand(x):
    """The upper 16 bits of one float32 number, rounded to the nearest, ties to even."""
    bits = int(np.float32(x).view(np.uint32))
    kept, cut = bits >> 16, bits & 0xFFFF
    half = 0x8000
    if cut > half or (cut == half and kept % 2 == 1):
        kept += 1  # a carry out of the mantissa goes on into the exponent, as it should
    return kept


def part_1_rounding():
    say("""
        1. Rounding, bit by bit

                   x   sign exponent kept cut away        rounded      off by
    """)
    cases = [
        (np.pi, "below the middle: down"),
        (1.0 + 2.0**-8, "a tie, to even: down"),
        (1.0 + 3 * 2.0**-8, "a tie, to even: up"),
        (0.1, "above the middle: up"),
        (255.75, "the carry goes far"),
        (3.4e38, "beyond the largest"),
    ]
    for x, why in cases:
        x = np.float32(x)
        bits = f"{int(x.view(np.uint32)):032b}"
        found = to_bf16_by_hand(x)
        assert found == to_bf16(np, np.array([x]))[0]
        y = from_bf16(np.array([found], np.uint16))[0]
        off = "" if np.isinf(y) else f"{abs(y / float(x) - 1) * 256:.3f} / 256"
        fields = f"{bits[0]} {bits[1:9]} {bits[9:16]} {bits[16:]}"
        print(f"  {x:9.7g} {fields} {y:9.7g} {off:>11s}   {why}")
    x = np.exp2(np.random.default_rng(0).uniform(-20, 20, 100_000)).astype(np.float32)
    errors = np.abs(rounded(np, x) / x.astype(np.float64) - 1)
    one = np.sqrt((errors**2).mean())
    two = np.sqrt(2) * one
    assert errors.max() <= 1 / 256
    say(f"""

        Of 100,000 numbers none is off by more than {errors.max() * 256:.3f} / 256.
        The root mean square is {one:.2%}, so a product of two is off by {two:.2%}, typically.

    """)


# --- part 2: packing ------------------------------------------------------------------------------


def packed_a(a):
    """A (16, 32) as a tile: 16 rows of 16 pairs. The pairs follow each other in a row anyway."""
    return to_bf16(np, a)  # (16, 32)


def packed_b(b):
    """B (32, 16) as a tile: row k has rows 2k and 2k + 1 of B, interleaved."""
    pairs = to_bf16(np, b).reshape(16, 2, 16)  # (pair, which of the two, column)
    return pairs.transpose(0, 2, 1).reshape(16, 32)  # (pair, column and which of the two)


def part_2_packing(a, b):
    say("""
        2. Packing: where the numbers go

          The first rows of A's tile                       and of B's; "1,2" is row 1, column 2
    """)
    names_a = np.array([[f"{i},{k}" for k in range(32)] for i in range(16)])
    names_b = np.array([[f"{k},{j}" for j in range(16)] for k in range(32)])
    names_b = names_b.reshape(16, 2, 16).transpose(0, 2, 1).reshape(16, 32)
    for k in range(3):
        left, right = (
            " ".join(f"[{' '.join(row[2 * e : 2 * e + 2])}]" for e in range(4))
            for row in (names_a[k], names_b[k])
        )
        print(f"  {left} ...      {right} ...")
    tile_a, tile_b = packed_a(a), packed_b(b)
    assert tile_a.nbytes == tile_b.nbytes == 1024
    say("""

        A bracket is an element, 32 bits: two numbers that follow each other along the contraction.
        A row is 64 bytes: a register, and a line of the cache. A tile is 1 KB.
    """)
    if product.method() is None:
        print(f"\n(The project packs nothing here:\n{product.why_not()}.)\n")
        return
    from autograd.kernels.product import cpu

    panel = cpu.pack(b, product.method()).memory.view(np.uint16)
    assert np.array_equal(panel[:512].reshape(16, 32), tile_b)
    print("\nThe project packs B into the same bytes.\n")


# --- part 3: what the instructions do -------------------------------------------------------------


def vdpbf16ps(c, a, b):
    """16 sums; a and b are registers of 16 pairs. Each product is exact, each sum is rounded."""
    a, b = from_bf16(a), from_bf16(b)
    c = fused(a[1::2], b[1::2], c)  # the odd numbers of the pairs first
    return fused(a[0::2], b[0::2], c)


def fused(a, b, c):
    """a b + c, rounded once: a float64 holds a product of two bf16 numbers, and more."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def tdpbf16ps(c, a, b):
    """A tile of 16 x 16 sums, tiles of 16 rows of 16 pairs."""
    a, b = from_bf16(a).reshape(16, 16, 2), from_bf16(b).reshape(16, 16, 2)
    sums = np.zeros((16, 16, 2), np.float32)
    for k in range(16):  # the even and the odd products by themselves
        sums = fused(a[:, k, None], b[None, k], sums)
    return c + (sums[..., 0] + sums[..., 1])


def by_registers(tile_a, tile_b):
    """Row i of C: for each pair of A's row, the pair in all 16 lanes, times a row of B's tile."""
    c = np.zeros((16, 16), np.float32)
    for i in range(16):
        for k in range(16):
            lanes = np.tile(tile_a[i, 2 * k : 2 * k + 2], 16)
            c[i] = vdpbf16ps(c[i], lanes, tile_b[k])
    return c


def part_3_instructions(a, b):
    tile_a, tile_b = packed_a(a), packed_b(b)
    x, y = rounded(np, a).astype(np.float64), rounded(np, b).astype(np.float64)
    size = np.abs(x) @ np.abs(y)  # the sum of the terms' sizes, for each element
    bound = 32 * F32_EPS / (1 - 32 * F32_EPS)  # of a sum of 32 terms in any order
    results = {
        "256 times vdpbf16ps": by_registers(tile_a, tile_b),
        "once tdpbf16ps": tdpbf16ps(np.zeros((16, 16), np.float32), tile_a, tile_b),
        "the project's product": multiplied(a, b),
        "NumPy's, of rounded operands": rounded(np, a) @ rounded(np, b),
    }
    say("""
        3. A tile of A times a tile of B: 8,192 products, 256 sums

        Largest error, relative to the sum of the sizes of an element's 32 terms:

                                         of the sums           of everything
    """)
    exact = a.astype(np.float64) @ b
    for name, c in results.items():
        sums, everything = np.abs(c - x @ y) / size, np.abs(c - exact) / size
        assert sums.max() <= bound and everything.max() < 2 / 256 + 1e-4
        digits, all_digits = sums.max() / F32_EPS, everything.max() * 256
        print(f"  {name:30s} {digits:6.2f} x 2^-24       {all_digits:6.2f} / 256")
    if product.method() == "avx512-bf16":
        by_hand = results["256 times vdpbf16ps"]
        assert np.array_equal(by_hand, results["the project's product"])
        print("\n  The project's product used vdpbf16ps, and has the same bits as ours by hand.")
    say("""

        The first column compares with the exact product of the rounded numbers. The orders of the
        sums differ, and so do last digits; the bound for any order is 32. The second compares with
        the product of the numbers before rounding, where the bound is 2: rounding is what counts.

    """)


# --- part 4: long sums ----------------------------------------------------------------------------


def with_rounded_sums(a, b):
    """The product with each sum rounded to bf16 as well."""
    a, b = rounded(np, a), rounded(np, b)
    c = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c = rounded(np, c + a[:, k, None] * b[k])
    return c


def part_4_long_sums():
    say("""
        4. Longer and longer sums: the relative error of the whole product

             K     random signs: float32      bf16   bf16 sums     all positive: bf16   bf16 sums
    """)
    found = []
    for K in (16, 64, 256, 1024, 4096, 16384):
        row = []
        for a, b in (
            (normal(16, K), normal(K, 16, seed=1)),
            (np.abs(normal(16, K)), np.abs(normal(K, 16, seed=1))),
        ):
            exact = a.astype(np.float64) @ b
            for c in (multiplied(a, b, "float32"), multiplied(a, b), with_rounded_sums(a, b)):
                row.append(np.linalg.norm(c - exact) / np.linalg.norm(exact))
        found.append(row)
        print(
            f"  {K:8,d}     {row[0]:21.1e}    {row[1]:6.2%}      {row[2]:6.1%}"
            f"     {row[4]:18.3%}      {row[5]:6.1%}"
        )
    found = np.array(found)
    assert (found[:, 0] < 2e-6).all() and (np.abs(found[1:, 1] / 0.00235 - 1) < 0.15).all()
    assert found[-1, 4] < found[0, 4] / 5 and found[-1, 2] > 0.02 and found[-1, 5] > 0.5
    say("""

        With float32 sums the length does not matter: the errors of the terms are independent, so
        they grow as a sum of random signs does. If all terms are positive the sum grows faster than
        that, and the error falls. With bf16 sums, a term is lost as soon as the sum is 256 times as
        large. That is why only operands are rounded.

    """)


# --- part 5: speed --------------------------------------------------------------------------------


def speed(precision, N=1024):
    """Operations per second of a product (N, N) x (N, N): the best of five."""
    a, b, best = normal(N, N), normal(N, N, seed=1), np.inf
    for _ in range(6):
        start = time.perf_counter()
        multiplied(a, b, precision)
        best = min(best, time.perf_counter() - start)
    return 2 * N**3 / best


def part_5_speed():
    print("5. How fast\n")
    if product.method() is None:
        print(f"  Not faster here: {product.why_not()}.")
        return
    float32, bf16 = speed("float32"), speed("bf16")
    print(f"  1024 x 1024 x 1024 in float32 {float32 / 1e9:8,.0f} billion operations a second")
    print(f"                     in bf16    {bf16 / 1e9:8,.0f}, with {product.method()}")
    print(f"                     {bf16 / float32:.1f} times as fast, packing and rounding included")


def main():
    a, b = normal(16, 32), normal(32, 16, seed=1)
    part_1_rounding()
    part_2_packing(a, b)
    part_3_instructions(a, b)
    part_4_long_sums()
    part_5_speed()


if __name__ == "__main__":
    main()
