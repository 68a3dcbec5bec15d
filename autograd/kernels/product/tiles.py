"""Packing: tiles of 16 x 16 elements, rounded and turned in registers.

An *element* has 32 bits: one float32 number, or a pair of bf16 numbers that follow each other along
the contraction. A *tile* holds 16 x 16 elements, 1 KB.

    of A: a row has 16 elements, along the contraction, of one row of A
    of B: a row has one element of each of 16 columns of B; rows follow the contraction

A vector register holds a row, so a tile is sixteen registers, and all of this happens in them:
load, round, swap rows and columns if the matrix lies the other way in memory, store. They are for
compiled code, take addresses and strides in bytes, and keep none: what is compiled may be stored on
disk.

Rounding is the processor's own (vcvtne2ps2bf16): to the nearest, ties to even; NaN and infinities
stay what they are; denormals become 0.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

TILE = 1024
"""Bytes of a tile."""
AHEAD = 3
"""Steps of the contraction by which memory is asked for before it is packed."""

I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
FLOATS, PAIRS = ir.VectorType(F32, 16), ir.VectorType(I32, 16)
BF16S = ir.VectorType(ir.IntType(16), 32)


def is_bf16(instructions):
    """Whether elements are pairs: ``instructions`` is the numba type of a value of INSTRUCTIONS."""
    return instructions.dtype != types.float32


def call(builder, name, result, arguments):
    """Call a function that LLVM knows by name: an instruction of the processor."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, arguments)


def pointer(builder, address, offset, kind):
    """A pointer to ``kind``, so many bytes after an address."""
    offset = I64(offset) if isinstance(offset, int) else offset
    return builder.inttoptr(builder.add(address, offset), kind.as_pointer())


def load(builder, address, offset, kind):
    return builder.load(pointer(builder, address, offset, kind), align=4)


def store(builder, value, address, offset):
    builder.store(value, pointer(builder, address, offset, value.type), align=4)


def store_past(builder, value, address, offset):
    """Write a whole line of the cache to memory, past the caches: it is not read before."""
    to = pointer(builder, address, offset, value.type)
    written = builder.store(value, to, align=64)
    written.set_metadata("nontemporal", builder.module.add_metadata([I32(1)]))


def fetch(builder, address, offset, level, write=0):
    """Ask for a line of memory to be brought to the first or second level of cache, and go on.

    ``write`` is 1 for a line that will be written.
    """
    to, locality = pointer(builder, address, offset, I8), {1: 3, 2: 2}[level]  # LLVM's numbers
    arguments = [to, I32(write), I32(locality), I32(1)]
    call(builder, "llvm.prefetch.p0", ir.VoidType(), arguments)


def shuffle(builder, a, b, order):
    """The elements of a, then of b, are numbered from 0; those of ``order`` are taken."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(order)), order))


def rounded(builder, first, second):
    """32 bf16 numbers: the 16 of ``first``, then the 16 of ``second``."""
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    return call(builder, name, BF16S, [second, first])


def transposed(builder, rows):
    """The columns of 16 rows, in four rounds of 16 shuffles.

    Elements of two rows are interleaved, pairs of these put together, and then quarters of
    registers, twice. Shuffles within quarters are cheap, so they come first.
    """
    quarters = range(0, 16, 4)
    low1 = [j + k for j in quarters for k in (0, 16, 1, 17)]
    low2 = [j + k for j in quarters for k in (0, 1, 16, 17)]
    high1, high2 = [k + 2 for k in low1], [k + 2 for k in low2]
    even = [j + k for j in (0, 8, 16, 24) for k in range(4)]
    odd = [k + 4 for k in even]
    twos = [
        shuffle(builder, rows[i], rows[i + 1], order)
        for i in range(0, 16, 2) for order in (low1, high1)
    ]  # fmt: skip
    fours = [
        shuffle(builder, twos[i + k], twos[i + k + 2], order)
        for i in range(0, 16, 4) for k in (0, 1) for order in (low2, high2)
    ]  # fmt: skip
    columns = [None] * 16
    for c in range(4):
        for half, order in ((0, even), (1, odd)):
            upper = shuffle(builder, fours[c], fours[4 + c], order)
            lower = shuffle(builder, fours[8 + c], fours[12 + c], order)
            columns[4 * half + c] = shuffle(builder, upper, lower, even)
            columns[4 * half + c + 8] = shuffle(builder, upper, lower, odd)
    return columns


def _rows_along(builder, bf16, source, stride):
    """16 registers, each with 16 elements of one row of memory: the contraction runs along it."""
    lines = (0, 64) if bf16 else (0,)
    for _ in range(16):
        numbers = [load(builder, source, line, FLOATS) for line in lines]
        for line in lines:
            fetch(builder, source, AHEAD * 64 * len(lines) + line, 2)
        yield builder.bitcast(rounded(builder, *numbers), PAIRS) if bf16 else numbers[0]
        source = builder.add(source, stride)


def _rows_across(builder, bf16, source, stride):
    """16 registers, each with 16 elements side by side: the contraction runs down the rows.

    A pair is of two rows, one below the other.
    """
    lines = 2 if bf16 else 1
    ahead = builder.mul(stride, I64(AHEAD * 16 * lines))
    order = [k for j in range(16) for k in (j, j + 16)]
    for _ in range(16):
        numbers = []
        for _ in range(lines):
            numbers.append(load(builder, source, 0, FLOATS))
            fetch(builder, source, ahead, 2)
            source = builder.add(source, stride)
        if bf16:
            pairs = rounded(builder, *numbers)
            yield builder.bitcast(shuffle(builder, pairs, pairs, order), PAIRS)
        else:
            yield numbers[0]


def _packer(read, turned):
    @intrinsic
    def pack_tile(typing_context, instructions, source, stride, tile):
        def generate(context, builder, signature, arguments):
            _, source, stride, tile = arguments
            rows = list(read(builder, is_bf16(instructions), source, stride))
            if is_bf16(instructions) or turned:
                rows = [builder.bitcast(row, PAIRS) for row in rows]
            for i, row in enumerate(transposed(builder, rows) if turned else rows):
                store(builder, row, tile, 64 * i)
            return context.get_dummy_value()

        return types.none(instructions, types.intp, types.intp, types.intp), generate

    return pack_tile


a_along, a_across = _packer(_rows_along, False), _packer(_rows_across, True)
b_along, b_across = _packer(_rows_along, True), _packer(_rows_across, False)
"""Pack a tile of A or of B, whose contraction runs ``along`` the rows of memory or ``across`` them:
(instructions, address of the first number, bytes from row to row, address of the tile)."""


@intrinsic
def number_at(typing_context, address):
    """The float32 number at an address."""

    def generate(context, builder, signature, arguments):
        return load(builder, arguments[0], 0, F32)

    return types.float32(types.intp), generate


@intrinsic
def put_number(typing_context, address, number):
    """Write a float32 number to an address."""

    def generate(context, builder, signature, arguments):
        store(builder, arguments[1], arguments[0], 0)
        return context.get_dummy_value()

    return types.none(types.intp, types.float32), generate


@intrinsic
def fetch_line(typing_context, address):
    """Ask for the line of memory at an address to be brought to the second level of cache."""

    def generate(context, builder, signature, arguments):
        fetch(builder, arguments[0], 0, 2)
        return context.get_dummy_value()

    return types.none(types.intp), generate


@intrinsic
def copy_numbers(typing_context, source, count, to):
    """Copy the first ``count`` of 16 float32 numbers, and write zeros for the others."""

    def generate(context, builder, signature, arguments):
        source, count, to = arguments
        number, places = ir.VectorType(I64, 16), list(range(16))
        count = builder.insert_element(ir.Constant(number, ir.Undefined), count, I32(0))
        there = builder.icmp_signed(
            "<", ir.Constant(number, places), shuffle(builder, count, count, [0] * 16)
        )
        zeros = ir.Constant(FLOATS, [F32(0)] * 16)
        masked = [pointer(builder, source, 0, FLOATS), I32(4), there, zeros]
        store(builder, call(builder, "llvm.masked.load.v16f32.p0", FLOATS, masked), to, 0)
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, types.intp), generate
