"""The machine's limit: how many operations its cores do if nothing is asked but multiply-adds.

A loop of multiply-adds whose operands and sums stay in registers. There are so many sums that none
is waited for. A matrix product also has to bring its operands there, and cannot be faster.
"""

import platform
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from _machine import cores, seconds_of
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd.kernels import _processor
from autograd.kernels.product import method
from autograd.kernels.product.block import INSTRUCTIONS, TILE_SCHEDULE, begin, end
from autograd.kernels.product.tiles import F32, I8, I64, PAIRS, call, load, pointer, store

TIMES = 1 << 19  # rounds of the loop in a call: some milliseconds
NUMBERS = 512  # of operands in memory: as many as 32 registers have


def _lanes_and_sums():
    """Numbers in a vector register, and how many registers hold sums; (0, 0) if unknown."""
    if _processor.has("avx512f"):
        return 16, 24
    if _processor.has("avx2", "fma"):
        return 8, 12
    return (4, 24) if platform.machine() in ("arm64", "aarch64") else (0, 0)


LANES, SUMS = _lanes_and_sums()
FLOPS = {
    "float32": 2 * LANES * SUMS,
    "avx512-bf16": 2 * 32 * SUMS,  # a register has 32 numbers: 16 pairs
    "amx": 4 * 2 * 16 * 16 * 32,  # four quarters of a block
}
"""Operations in one round of the loop."""


def _with_vectors(context, builder, signature, arguments):
    """SUMS multiply-adds a round. The sums begin differently, or one would do for all of them."""
    instructions, address, times = arguments
    bf16 = signature.args[0].dtype == types.uint16
    floats = ir.VectorType(F32, LANES)
    x, y = (load(builder, address, 4 * k, PAIRS if bf16 else floats) for k in (0, LANES))
    first = [load(builder, address, 4 * LANES * (2 + k), floats) for k in range(SUMS)]
    before = builder.block
    body, after = builder.append_basic_block("round"), builder.append_basic_block("done")
    builder.branch(body)
    builder.position_at_end(body)
    count, sums = builder.phi(I64), [builder.phi(floats) for _ in first]
    if bf16:
        name, order = "llvm.x86.avx512bf16.dpbf16ps.512", lambda s: [s, x, y]
    else:
        name, order = f"llvm.fma.v{LANES}f32", lambda s: [x, y, s]
    new = [call(builder, name, floats, order(s)) for s in sums]
    following = builder.add(count, I64(1))
    for phi, start, later in ((count, I64(0), following), *zip(sums, first, new, strict=True)):
        phi.add_incoming(start, before)
        phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_signed("<", following, times), body, after)
    builder.position_at_end(after)
    for k, value in enumerate(new):  # so that the loop has a purpose
        store(builder, value, address, 4 * LANES * (2 + k))
    return context.get_dummy_value()


def _with_tiles(context, builder, signature, arguments):
    """The product's four instructions a round. The tile registers are loaded once."""
    _, address, times = arguments
    nothing, before = ir.VoidType(), builder.block
    for register in range(8):
        to = pointer(builder, address, 0, I8)
        call(builder, "llvm.x86.tileloadd64", nothing, [I8(register), to, I64(64)])
    body, after = builder.append_basic_block("round"), builder.append_basic_block("done")
    builder.branch(body)
    builder.position_at_end(body)
    count = builder.phi(I64)
    for operation, *registers in TILE_SCHEDULE:
        if operation == "multiply":
            call(builder, "llvm.x86.tdpbf16ps", nothing, [I8(r) for r in registers])
    following = builder.add(count, I64(1))
    count.add_incoming(I64(0), before)
    count.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, times), body, after)
    builder.position_at_end(after)
    return context.get_dummy_value()


@intrinsic
def rounds(typing_context, instructions, address, times):
    """So many rounds of the loop, with operands from an address."""
    generate = _with_tiles if instructions.dtype == types.uint8 else _with_vectors
    return types.none(instructions, types.intp, types.intp), generate


@numba.njit(nogil=True)
def _multiply_add(instructions, operands, times):
    begin(instructions)
    rounds(instructions, operands.ctypes.data, times)
    end(instructions)


def limit(precision, seconds=0.2, threads=None):
    """Operations per second of all cores, or of some threads; None if this cannot tell."""
    instructions = "float32" if precision == "float32" else method()
    if instructions is None or (LANES == 0 and instructions != "amx"):
        return None
    threads = threads or cores()
    operands = np.zeros((threads, NUMBERS), np.float32)  # tiles, or vectors and their sums
    _multiply_add(INSTRUCTIONS[instructions], operands[0], 1)  # compiles it
    with ThreadPoolExecutor(threads) as pool:

        def all_cores():
            return list(pool.map(
                lambda own: _multiply_add(INSTRUCTIONS[instructions], own, TIMES), operands
            ))  # fmt: skip

        took = seconds_of(all_cores, seconds)
    return threads * TIMES * FLOPS[instructions] / took
