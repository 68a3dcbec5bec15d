"""Sixteen float32 numbers as one value in compiled code.

A product with quantized weights reads sixteen small whole numbers, turns them into float32, and
multiplies and adds. Written as a loop over numbers, the compiler sums each block of 32 on its own,
and the sums of so few numbers cost more than the products. A ``Vector`` keeps sixteen sums apart
until the end of a row. On a processor whose registers are smaller, the compiler uses several.

Addresses are whole numbers, so that one table can describe weights of any format. Nothing checks
them: ``matrix.py`` makes the tables, from arrays whose sizes it has checked.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
_FLOAT, _BYTE, _SHORT, _INT = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)


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


def _integers(value):
    return ir.Constant(ir.VectorType(_INT, LANES), [value] * LANES)


def _loads(element, convert):
    """An intrinsic: address -> Vector, of sixteen numbers of an LLVM type."""

    def load(typing_context, address):
        def generate(context, builder, signature, arguments):
            return convert(builder, _read(builder, arguments[0], ir.VectorType(element, LANES)))

        return Vector(types.int64), generate

    return intrinsic(load)


def _shifted_left(builder, value):
    """bfloat16 is the upper half of a float32."""
    wide = builder.zext(value, ir.VectorType(_INT, LANES))
    return builder.bitcast(builder.shl(wide, _integers(16)), _VECTOR)


load_float32 = _loads(_FLOAT, lambda builder, value: value)
load_float16 = _loads(ir.HalfType(), lambda builder, value: builder.fpext(value, _VECTOR))
load_bfloat16 = _loads(_SHORT, _shifted_left)
load_int8 = _loads(_BYTE, lambda builder, value: builder.sitofp(value, _VECTOR))


@intrinsic
def load_bits(typing_context, address, shift, mask):
    """``byte >> shift & mask`` of sixteen bytes: fields of a few bits, as numbers."""

    def generate(context, builder, signature, arguments):
        address, shift, mask = arguments
        packed = _read(builder, address, ir.VectorType(_BYTE, LANES))
        shift = _spread(builder, builder.trunc(shift, _BYTE), _BYTE)
        mask = _spread(builder, builder.trunc(mask, _BYTE), _BYTE)
        return builder.uitofp(builder.and_(builder.lshr(packed, shift), mask), _VECTOR)

    return Vector(types.int64, types.int64, types.int64), generate


def _spread(builder, value, element):
    vector = ir.VectorType(element, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, one, _integers(0))


@intrinsic
def zeros(typing_context):
    """Sixteen zeros."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(_VECTOR, [0.0] * LANES)

    return Vector(), generate


@intrinsic
def splat(typing_context, x):
    """Sixteen times the number x."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0], _FLOAT)

    return Vector(types.float32), generate


@intrinsic
def add(typing_context, a, b):
    """a + b."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return Vector(Vector, Vector), generate


@intrinsic
def multiply(typing_context, a, b):
    """a b."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return Vector(Vector, Vector), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """a b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        function = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fma.v{LANES}f32"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, function, name), arguments
        )

    return Vector(Vector, Vector, Vector), generate


@intrinsic
def total(typing_context, a):
    """The sum of the sixteen numbers, in float32: halves are added until one is left."""

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        size = LANES
        while size > 1:
            size //= 2
            low = ir.Constant(ir.VectorType(_INT, size), list(range(size)))
            high = ir.Constant(ir.VectorType(_INT, size), list(range(size, 2 * size)))
            value = builder.fadd(
                builder.shuffle_vector(value, value, low),
                builder.shuffle_vector(value, value, high),
            )
        return builder.extract_element(value, ir.Constant(_INT, 0))

    return types.float32(Vector), generate


def _number(llvm_type, numba_type, convert):
    """An intrinsic: address -> one number of an LLVM type."""

    def number(typing_context, address):
        def generate(context, builder, signature, arguments):
            return convert(builder, _read(builder, arguments[0], llvm_type))

        return numba_type(types.int64), generate

    return intrinsic(number)


def _bfloat16(builder, value):
    return builder.bitcast(builder.shl(builder.zext(value, _INT), ir.Constant(_INT, 16)), _FLOAT)


float32_at = _number(_FLOAT, types.float32, lambda builder, value: value)
float16_at = _number(
    ir.HalfType(), types.float32, lambda builder, value: builder.fpext(value, _FLOAT)
)
bfloat16_at = _number(_SHORT, types.float32, _bfloat16)
int8_at = _number(_BYTE, types.float32, lambda builder, value: builder.sitofp(value, _FLOAT))
byte_at = _number(_BYTE, types.int64, lambda builder, value: builder.zext(value, ir.IntType(64)))
