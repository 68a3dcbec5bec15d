"""Sixteen float32 numbers as one value in compiled code.

A product with quantized weights reads sixteen small whole numbers, turns them into float32, and
multiplies and adds. Written as a loop over numbers, the compiler sums each block of 32 on its own,
and the sums of so few numbers cost more than the products. A ``Vector`` keeps sixteen sums apart
until the end of a row. On a processor whose registers are smaller, the compiler uses several.

Addresses are whole numbers, so that one table can describe weights of any format. Nothing checks
them: ``products.py`` makes the tables, from matrices whose sizes ``matrix.py`` has checked.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
_FLOAT, _BYTE, _SHORT, _INT = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)
_LONG = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BYTES, _INTS = ir.VectorType(_BYTE, LANES), ir.VectorType(_INT, LANES)


class VectorType(types.Type):
    """numba's type of a Vector."""

    def __init__(self):
        super().__init__(name="Float32x16")


Vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTOR)


def _read(builder, address, llvm_type):
    value = builder.load(builder.inttoptr(address, llvm_type.as_pointer()))
    value.align = 1  # blocks have odd sizes
    return value


def _integers(value, n=LANES):
    return ir.Constant(ir.VectorType(_INT, n), [value] * n)


def _loads(element, convert):
    """An intrinsic: address -> Vector, of sixteen numbers of an LLVM type."""

    def load(typing_context, address):
        def generate(context, builder, signature, arguments):
            value = _read(builder, arguments[0], ir.VectorType(element, LANES))
            return convert(context, builder, value)

        return Vector(types.int64), generate

    return intrinsic(load)


def _bfloat16(context, builder, value):
    """bfloat16 is the upper half of a float32."""
    n = value.type.count
    wide = builder.zext(value, ir.VectorType(_INT, n))
    return builder.bitcast(builder.shl(wide, _integers(16, n)), ir.VectorType(_FLOAT, n))


def _float16(context, builder, value):
    """float16 numbers, as whole numbers of sixteen bits, to float32.

    Their fields of five and ten bits are moved to where float32 has eight and 23, and the exponent
    is corrected by a factor, which also serves numbers below the normal range. Most processors have
    an instruction for all this.
    """
    n = value.type.count
    floats, ints = ir.VectorType(_FLOAT, n), ir.VectorType(_INT, n)
    if _has(context, "f16c") or not _is_x86(context):
        return builder.fpext(builder.bitcast(value, ir.VectorType(ir.HalfType(), n)), floats)
    wide = builder.zext(value, ints)
    moved = builder.shl(builder.and_(wide, _integers(0x7FFF, n)), _integers(13, n))
    factor = ir.Constant(floats, [2.0**112] * n)
    number = builder.bitcast(builder.fmul(builder.bitcast(moved, floats), factor), ints)
    infinite = builder.or_(moved, _integers(0x7F800000, n))  # or NaN
    highest = builder.icmp_unsigned(">=", moved, _integers(0x7C00 << 13, n))
    sign = builder.shl(builder.and_(wide, _integers(0x8000, n)), _integers(16, n))
    number = builder.or_(sign, builder.select(highest, infinite, number))
    return builder.bitcast(number, floats)


def _has(context, feature):
    """Whether the processor has these instructions of the x86 family."""
    return f"+{feature}" in context.codegen().magic_tuple()[2].split(",")


def _is_x86(context):
    return context.codegen().magic_tuple()[0].startswith(("x86_64", "i686"))


def _int8(context, builder, value):
    return builder.sitofp(value, ir.VectorType(_FLOAT, value.type.count))


load_float32 = _loads(_FLOAT, lambda context, builder, value: value)
load_float16 = _loads(_SHORT, _float16)
load_bfloat16 = _loads(_SHORT, _bfloat16)
load_int8 = _loads(_BYTE, _int8)


def _fields(builder, address, shift, mask):
    """``byte >> shift & mask`` of sixteen bytes, still as bytes; ``mask`` is a constant."""
    packed = _read(builder, address, _BYTES)
    shift = _spread(builder, builder.trunc(shift, _BYTE), _BYTE)
    return builder.and_(builder.lshr(packed, shift), ir.Constant(_BYTES, [mask] * LANES))


@intrinsic
def four_bits(typing_context, address, shift, scale, offset):
    """scale q + offset, rounded once, with q = byte >> shift & 15 of sixteen bytes.

    With AVX-512, each q is looked up in a Vector of the sixteen possible results: these are the
    same numbers, in fewer instructions.
    """

    def generate(context, builder, signature, arguments):
        address, shift, scale, offset = arguments
        if not _has(context, "avx512f"):
            q = builder.uitofp(_fields(builder, address, shift, 15), _VECTOR)
            return _multiply_add(builder, q, scale, offset)
        every_q = ir.Constant(_VECTOR, [float(q) for q in range(16)])
        results = _multiply_add(builder, every_q, scale, offset)
        packed = builder.zext(_read(builder, address, _BYTES), _INTS)
        shift = _spread(builder, builder.trunc(shift, _INT), _INT)
        look_up = ir.FunctionType(_VECTOR, [_VECTOR, _INTS])
        name = "llvm.x86.avx512.permvar.sf.512"  # uses the lowest four bits of each index
        look_up = cgutils.get_or_insert_function(builder.module, look_up, name)
        return builder.call(look_up, [results, builder.lshr(packed, shift)])

    return Vector(types.int64, types.int64, Vector, Vector), generate


@intrinsic
def six_bits(typing_context, low, low_shift, high, high_shift):
    """q - 32 of sixteen q: four bits at the address ``low``, two higher ones at ``high``."""

    def generate(context, builder, signature, arguments):
        low, low_shift, high, high_shift = arguments
        low = _fields(builder, low, low_shift, 15)
        high = builder.shl(_fields(builder, high, high_shift, 3), ir.Constant(_BYTES, [4] * LANES))
        q = builder.sub(builder.or_(low, high), ir.Constant(_BYTES, [32] * LANES))
        return builder.sitofp(q, _VECTOR)

    return Vector(types.int64, types.int64, types.int64, types.int64), generate


def _spread(builder, value, element, n=LANES):
    one = ir.Constant(ir.VectorType(element, n), ir.Undefined)
    one = builder.insert_element(one, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INT, n), [0] * n))


@intrinsic
def splat(typing_context, x):
    """The number x, sixteen times."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0], _FLOAT)

    return Vector(types.float32), generate


@intrinsic
def multiply(typing_context, a, b):
    """a b."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return Vector(Vector, Vector), generate


def _multiply_add(builder, a, b, c):
    function = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, function, f"llvm.fma.v{LANES}f32")
    return builder.call(function, [a, b, c])


@intrinsic
def two_float16(typing_context, address):
    """Two numbers, sixteen times each; a caller may need only one.

    Reading one alone is slower: its register keeps the rest of its old content, so it must wait for
    that, which may be one of the sums.
    """

    def generate(context, builder, signature, arguments):
        both = _spread(builder, _read(builder, arguments[0], _INT), _INT, 4)
        numbers = _float16(context, builder, builder.bitcast(both, ir.VectorType(_SHORT, 8)))
        pair = [builder.shuffle_vector(numbers, numbers, _integers(i)) for i in (0, 1)]
        return context.make_tuple(builder, signature.return_type, pair)

    return types.UniTuple(Vector, 2)(types.int64), generate


@intrinsic
def two_int8(typing_context, address):
    """Two whole numbers, sixteen times each."""

    def generate(context, builder, signature, arguments):
        both = builder.bitcast(_read(builder, arguments[0], _SHORT), ir.VectorType(_BYTE, 2))
        numbers = _int8(context, builder, both)
        pair = [builder.shuffle_vector(numbers, numbers, _integers(i)) for i in (0, 1)]
        return context.make_tuple(builder, signature.return_type, pair)

    return types.UniTuple(Vector, 2)(types.int64), generate


# --- sums: a tuple of vectors, one for each x that the weights are multiplied by ------------------


@intrinsic(prefer_literal=True)
def zeros(typing_context, n):
    """n vectors of zeros; n is a constant."""
    result = types.UniTuple(Vector, n.literal_value)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(result), None)

    return result(n), generate


@intrinsic
def add_products(typing_context, sums, weights, x, step):
    """sums[m] + sum_i weights[i] x[m][i], in the order of i, rounded once for each i.

    The vectors x[m][i] are at the addresses x + m step + 64 i.
    """

    def generate(context, builder, signature, arguments):
        sums, weights, x, step = arguments
        for i in range(signature.args[1].count):
            w, at = builder.extract_value(weights, i), builder.add(x, ir.Constant(_LONG, 64 * i))
            for m in range(signature.args[0].count):
                total = builder.extract_value(sums, m)
                total = _multiply_add(builder, w, _read(builder, at, _VECTOR), total)
                sums = builder.insert_value(sums, total, m)
                at = builder.add(at, step)
        return sums

    return sums(sums, weights, types.int64, types.int64), generate


@intrinsic(prefer_literal=True)
def read(typing_context, n, address):
    """A tuple of n Vectors, one after the other, from an address on; n is a constant."""
    result = types.UniTuple(Vector, n.literal_value)

    def generate(context, builder, signature, arguments):
        steps = (ir.Constant(_LONG, 4 * LANES * i) for i in range(result.count))
        vectors = [_read(builder, builder.add(arguments[1], step), _VECTOR) for step in steps]
        return context.make_tuple(builder, result, vectors)

    return result(n, types.int64), generate


@intrinsic
def write(typing_context, weights, address):
    """Write the Vectors of a tuple, one after the other, to an address."""

    def generate(context, builder, signature, arguments):
        vectors, address = arguments
        for i, vector in enumerate(cgutils.unpack_tuple(builder, vectors)):
            at = builder.add(address, ir.Constant(_LONG, 4 * LANES * i))
            builder.store(vector, builder.inttoptr(at, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(weights, types.int64), generate


@intrinsic
def write_totals(typing_context, sums, y, step):
    """y[m] = the sum of the sixteen numbers in sums[m]; y[m] is at the address y + m step."""

    def generate(context, builder, signature, arguments):
        sums, at, step = arguments
        for m in range(signature.args[0].count):
            total = _total(builder, builder.extract_value(sums, m))
            builder.store(total, builder.inttoptr(at, _FLOAT.as_pointer()))
            at = builder.add(at, step)
        return context.get_dummy_value()

    return types.void(sums, types.int64, types.int64), generate


def _total(builder, value):
    """Halves are added until one number is left."""
    size = LANES
    while size > 1:
        size //= 2
        low = ir.Constant(ir.VectorType(_INT, size), list(range(size)))
        high = ir.Constant(ir.VectorType(_INT, size), list(range(size, 2 * size)))
        value = builder.fadd(
            builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high)
        )
    return builder.extract_element(value, ir.Constant(_INT, 0))


# --- single numbers -------------------------------------------------------------------------------


def _number(element, convert):
    """An intrinsic: address -> one number of an LLVM type, as float32."""

    def number(typing_context, address):
        def generate(context, builder, signature, arguments):
            value = _read(builder, arguments[0], ir.VectorType(element, 1))
            return builder.extract_element(convert(context, builder, value), ir.Constant(_INT, 0))

        return types.float32(types.int64), generate

    return intrinsic(number)


float32_at = _number(_FLOAT, lambda context, builder, value: value)
float16_at = _number(_SHORT, _float16)
bfloat16_at = _number(_SHORT, _bfloat16)
int8_at = _number(_BYTE, _int8)


@intrinsic
def two_bytes_at(typing_context, address):
    """Two bytes as one whole number, of which the first is the lower half."""

    def generate(context, builder, signature, arguments):
        return builder.zext(_read(builder, arguments[0], _SHORT), _LONG)

    return types.int64(types.int64), generate
