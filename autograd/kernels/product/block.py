"""The heart of the product: a block of 32 x 32 sums, from a panel of A and a panel of B.

A *panel* is what 32 rows of A (or 32 columns of B) hold for a stretch of the contraction: for each
*step* of 16 elements two tiles, for the first and the last 16 rows (columns).

    C[32, 32] = start + sum over steps of A[32, step] B[step, 32]

The instructions are chosen when this is compiled, by the type of the argument ``instructions``:

- float32: one multiply-add takes an element of a row of A, sixteen columns of B, and adds the
  products to sixteen sums. Eight rows of two registers each are held while all steps pass by.
- AVX512-BF16: the same with pairs (vdpbf16ps): two products are added to each sum.
- AMX: the four quarters of C are four tile registers, of 16 x 16 sums, and one instruction
  (tdpbf16ps) multiplies a tile of A with a tile of B.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from autograd.kernels.product.tiles import (
    F32,
    FLOATS,
    I8,
    I32,
    I64,
    PAIRS,
    TILE,
    call,
    fetch,
    is_bf16,
    load,
    pointer,
    shuffle,
    store,
    store_past,
)  # fmt: skip

SIDE = 32
"""Rows and columns of a block."""
STEP = 2 * TILE
"""Bytes of a panel for one step of 16 elements."""
HELD = 8
"""Rows of a block whose sums are held in registers at a time: 16 of 32 registers."""


def _configuration():
    """What AMX is told: palette 1, and for each of 8 tile registers 64 bytes a row and 16 rows."""
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1
    configuration[16:32:2] = 64
    configuration[48:56] = 16
    return configuration


INSTRUCTIONS = {
    "float32": np.zeros(0, np.float32),
    "avx512-bf16": np.zeros(0, np.uint16),
    "amx": _configuration(),
}
"""What a kernel is given: the type of its numbers says, when it is compiled, what to use."""

TILE_SCHEDULE = [
    ("load", 6, "b", 0),
    ("load", 4, "a", 0),
    ("multiply", 0, 4, 6),
    ("load", 7, "b", TILE),
    ("multiply", 1, 4, 7),
    ("load", 5, "a", TILE),
    ("multiply", 2, 5, 6),
    ("multiply", 3, 5, 7),
]
"""One step with tile registers: 0 to 3 are the quarters of C, 4 and 5 tiles of A, 6 and 7 of B."""


@intrinsic
def multiply_block(
    typing_context, instructions, a, b, steps, start, start_stride, c, c_stride, past
):
    """C = start + A B for two panels of ``steps`` steps, at least one.

    ``start`` is C itself, to add to it, or one row of 32 numbers with stride 0: a bias, or zeros.
    Vectors add it last: a long contraction is then summed stretch by stretch, which keeps more
    digits than one sum from its beginning to its end. With ``past`` not 0 they write C past the
    caches, whose lines its rows of 16 numbers must then be.
    """
    generate = _with_tiles if instructions.dtype == types.uint8 else _with_vectors
    return types.none(instructions, *[types.intp] * 8), generate


def _with_vectors(context, builder, signature, arguments):
    _, a, b, steps, start, start_stride, c, c_stride, past = arguments
    bf16, past = is_bf16(signature.args[0]), builder.icmp_signed("!=", past, I64(0))
    for first in range(0, SIDE, HELD):
        rows = range(first, first + HELD)
        a_rows = builder.add(a, I64(first // 16 * TILE + first % 16 * 64))
        c_rows = [builder.add(c, builder.mul(c_stride, I64(i))) for i in rows]
        with builder.if_then(builder.not_(past)):
            for row in c_rows:  # the sums take some thousand cycles: time to bring C's lines
                for half in (0, 64):
                    fetch(builder, row, half, 1, write=1)
        zeros = [ir.Constant(FLOATS, [F32(0)] * 16)] * (2 * HELD)
        sums = iter(_sum_steps(builder, bf16, a_rows, b, steps, zeros))
        numbers = []
        for i in rows:
            begin_row = builder.add(start, builder.mul(start_stride, I64(i)))
            for half in (0, 64):
                begun = load(builder, begin_row, half, FLOATS)
                numbers.append(builder.fadd(begun, next(sums)))
        with builder.if_else(past) as (there, here):
            for branch, write in ((there, store_past), (here, store)):
                with branch:
                    for k, number in enumerate(numbers):
                        write(builder, number, c_rows[k // 2], 64 * (k % 2))
    return context.get_dummy_value()


def _sum_steps(builder, bf16, a, b, steps, sums):
    """The loop over all steps for HELD rows: their sums, which stay in registers."""
    before = builder.block
    body, after = builder.append_basic_block("elements"), builder.append_basic_block("summed")
    count = builder.mul(steps, I64(16))
    builder.branch(body)
    builder.position_at_end(body)
    element, held = builder.phi(I64), [builder.phi(FLOATS) for _ in sums]
    step, k = builder.lshr(element, I64(4)), builder.and_(element, I64(15))
    passed = builder.mul(step, I64(STEP))
    a = builder.add(builder.add(a, passed), builder.mul(k, I64(4)))
    b = builder.add(builder.add(b, passed), builder.mul(k, I64(64)))
    new = list(held)
    columns = [load(builder, b, half * TILE, PAIRS) for half in (0, 1)]
    for i in range(HELD):
        number = load(builder, a, 64 * i, I32)
        row = builder.insert_element(ir.Constant(PAIRS, ir.Undefined), number, I32(0))
        row = shuffle(builder, row, row, [0] * 16)  # the element sixteen times
        for half in (0, 1):
            j = 2 * i + half
            new[j] = _multiply_add(builder, bf16, row, columns[half], new[j])
    following = builder.add(element, I64(1))
    incoming = ((element, I64(0), following), *zip(held, sums, new, strict=True))
    for phi, at_first, later in incoming:
        phi.add_incoming(at_first, before)
        phi.add_incoming(later, body)
    again = builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    _keep_rolled(builder.module, again)
    builder.position_at_end(after)
    return new


def _keep_rolled(module, branch):
    """Forbid the compiler to unroll a loop: it would move loads forward until registers run out."""
    no_unrolling = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [no_unrolling], name=str(len(module.metadata)))
    loop.operands = (loop, no_unrolling)  # LLVM wants the name of a loop to begin with itself
    branch.set_metadata("llvm.loop", loop)


def _multiply_add(builder, bf16, x, y, sums):
    if bf16:
        return call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", FLOATS, [sums, x, y])
    x, y = builder.bitcast(x, FLOATS), builder.bitcast(y, FLOATS)
    return call(builder, "llvm.fma.v16f32", FLOATS, [x, y, sums])


def _with_tiles(context, builder, signature, arguments):
    _, a, b, steps, start, start_stride, c, c_stride, _ = arguments
    nothing, line = ir.VoidType(), I64(64)

    def move(operation, register, address, offset, stride):
        to = pointer(builder, address, offset, I8)
        call(builder, f"llvm.x86.{operation}64", nothing, [I8(register), to, stride])

    def quarters(operation, address, stride):
        below = builder.add(address, builder.mul(stride, I64(16)))
        for register, (begin, offset) in enumerate(
            [(address, 0), (address, 64), (below, 0), (below, 64)]
        ):
            move(operation, register, begin, offset, stride)

    quarters("tileloadd", start, start_stride)
    with cgutils.for_range(builder, steps) as loop:
        passed = builder.mul(loop.index, I64(STEP))
        panels = {"a": builder.add(a, passed), "b": builder.add(b, passed)}
        for operation, register, x, y in TILE_SCHEDULE:
            if operation == "load":
                move("tileloadd", register, panels[x], y, line)
            else:
                numbers = [I8(register), I8(x), I8(y)]
                call(builder, "llvm.x86.tdpbf16ps", nothing, numbers)
    quarters("tilestored", c, c_stride)
    return context.get_dummy_value()


@intrinsic
def begin(typing_context, instructions):
    """Configure the tile registers of this thread, where AMX is used."""

    def generate(context, builder, signature, arguments):
        if instructions.dtype == types.uint8:
            array = context.make_array(instructions)(context, builder, arguments[0])
            data = builder.bitcast(array.data, I8.as_pointer())
            call(builder, "llvm.x86.ldtilecfg", ir.VoidType(), [data])
        return context.get_dummy_value()

    return types.none(instructions), generate


@intrinsic
def end(typing_context, instructions):
    """Give the tile registers back: a thread that holds them has 8 KB more to save at a switch.

    Without them, wait for what was written past the caches: other threads may read it now.
    """

    def generate(context, builder, signature, arguments):
        tiles = instructions.dtype == types.uint8
        name = "llvm.x86.tilerelease" if tiles else "llvm.x86.sse.sfence"
        call(builder, name, ir.VoidType(), [])
        return context.get_dummy_value()

    return types.none(instructions), generate
