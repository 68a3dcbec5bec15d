"""Calls of a compiled function by its address, from another one.

Usually a compiled function that calls another gets a copy of it, and the compiler optimizes both
again. For a large function with many callers that takes minutes. Here it is compiled once, each
caller has an instruction that jumps to it, and all of them run the same copy.
"""

from numba import types
from numba.extending import intrinsic


def address_of(dispatcher, *argument_types):
    """Where a function compiled by ``jit`` for these numba types is, until the process ends."""
    dispatcher.compile(argument_types)
    compiled = dispatcher.overloads[argument_types]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def caller(*argument_types):
    """For compiled code: call(address, ...) of a function with these argument types, which returns
    nothing and raises nothing."""

    @intrinsic
    def call(typing_context, address, arguments):
        def generate(context, builder, signature, values):
            convention = context.call_conv
            function_type = convention.get_function_type(types.none, argument_types)
            function = builder.inttoptr(values[0], function_type.as_pointer())
            unpacked = [builder.extract_value(values[1], i) for i in range(len(argument_types))]
            convention.call_function(builder, function, types.none, argument_types, unpacked)
            return context.get_dummy_value()

        return types.none(types.int64, types.Tuple(argument_types)), generate

    return call
