"""Derivatives of functions, rather than of tensors: names and conventions as in JAX and torch.func.

    grad(f)(x)                    the gradient of a scalar-valued function
    vjp(f, x)                     the output, and a function u -> u^T J
    jvp(f, (x,), (v,))            the output, and J v
    jacobian(f)(x), hessian(f)(x), hvp(f, (x,), (v,))
    recompute(f, x)               f(x), computed again in backward instead of kept

J is the matrix of dy_i/dx_j. The backward pass computes u^T J; everything here is built from that,
and docs/functional.md says how. Arguments may be nested tuples, lists and dicts of arrays or
Tensors, and results have the same structure, as Tensors.

Functions compose: ``grad(grad(f))``, ``jacobian(grad(f))``. A call differentiates with respect to
tensors of its own, made from the arguments, so it never writes to ``.grad``. If the output also
depends on something else that requires a gradient (the tensors of an outer transformation, a
tensor passed in, a parameter that f closes over), the result is recorded and can be differentiated
again. To let the fast kernels run where that is not needed, use ``no_grad`` or pass plain arrays.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from autograd import ops
from autograd._tensor import Tensor
from autograd.device import namespace
from autograd.functional.call import Call, call_along, pull, want_gradients
from autograd.grad_mode import is_grad_enabled

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]


def grad(
    f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that computes the gradient of ``f``, whose output is a single number.

    ``argnums`` selects the positional arguments to differentiate by: an integer, or a tuple of them
    for a tuple of gradients. The gradient has the structure of the argument, and is zero for arrays
    that f does not depend on. With ``has_aux``, f returns (output, anything) and the gradient
    function returns (gradient, anything).

    The gradient function raises TypeError for arguments that are not floating point and for a
    result that is not a Tensor, and ValueError for an output that is not a single number and for an
    argument that does not exist. Equivalent to jax.grad.
    """
    value_and_gradient = _value_and_grad("grad", f, argnums, has_aux)

    @functools.wraps(f, updated=())
    def gradient_function(*args, **kwargs):
        value, gradient = value_and_gradient(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_function


def value_and_grad(
    f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """The function that computes f's output and its gradient: ``(value, gradient)``.

    With ``has_aux``, ``((value, aux), gradient)``. Same arguments and errors as ``grad``.
    """
    return _value_and_grad("value_and_grad", f, argnums, has_aux)


def _value_and_grad(name, f, argnums, has_aux):
    @functools.wraps(f, updated=())
    def value_and_gradient(*args, **kwargs):
        call = Call(name, f, args, kwargs, argnums, has_aux)
        call.check_single_number()
        gradient = call.pull([None], call.depends_on_more)
        return call.result(), call.like_inputs(gradient)

    return value_and_gradient


def vjp(f: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """``(output, pullback)``: the pullback maps u, of the output's structure, to u^T J.

    That is the gradient of sum(u * output): a tuple with one entry for each of ``primals``. The
    pullback may be called any number of times. With ``has_aux``, ``(output, pullback, aux)``.

    Same errors as ``grad``; the pullback raises ValueError if u differs from the output in its
    structure or shapes. Equivalent to jax.vjp.
    """
    call = Call("vjp", f, primals, {}, tuple(range(len(primals))), has_aux)

    def pullback(cotangents):
        us = call.cotangents(cotangents)
        further = (call.depends_on_more and is_grad_enabled()) or want_gradients(us)
        return call.like_inputs(call.pull(us, further, retain_graph=True))

    if has_aux:
        output, aux = call.result()
        return output, pullback, aux
    return call.result(), pullback


def jvp(f: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """``(output, J v)``: how the output moves when the arguments ``primals`` move along v.

    ``primals`` is the tuple of f's arguments, and v, ``tangents``, has its structure. J v has that
    of the output. With ``has_aux``, ``(output, J v, aux)``.

    There are no forward-mode rules. g(u) = u^T J is linear in u, and its transpose is the map we
    want: the derivative of <g(u), v> with respect to u is J v. So two reverse passes are enough,
    the second through the first.

    Same errors as ``grad``, and ValueError if ``tangents`` have another structure than ``primals``.
    Equivalent to jax.jvp.
    """
    call, vs = call_along("jvp", f, primals, tangents, has_aux)
    us = [Tensor(namespace(y.data).zeros_like(y.data), requires_grad=True) for y in call.outputs]
    gs = call.pull(us, True)
    directional = pull(gs, us, vs, call.depends_on_more or want_gradients(vs))
    tangent = call.out_structure.build(directional)
    if has_aux:
        output, aux = call.result()
        return output, tangent, aux
    return call.result(), tangent


def jacobian(
    f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that computes the Jacobian of ``f``, an array of shape output + input.

    Element [i, j] is d output[i] / d input[j], where i and j have as many axes as output and input.
    For nested outputs and inputs it has the structure of the output, with the structure of the
    input in place of each array. With ``has_aux``, ``(jacobian, aux)``.

    Takes one backward pass per element of the output. Same errors as ``grad``, but the output may
    have any shape. Equivalent to jax.jacobian.
    """

    @functools.wraps(f, updated=())
    def jacobian_function(*args, **kwargs):
        call = Call("jacobian", f, args, kwargs, argnums, has_aux)
        parts = [call.like_inputs(_jacobian_of(y, call)) for y in call.outputs]
        whole = call.out_structure.build(parts)
        return (whole, call.result()[1]) if has_aux else whole

    return jacobian_function


def _jacobian_of(y, call):
    """The Jacobian of one output with respect to each input: the rows u^T J for every unit u."""
    xp = namespace(y.data)
    rows = []
    for i in range(y.size):
        unit = xp.zeros(y.size, dtype=y.dtype)
        unit[i] = 1
        u = Tensor(unit.reshape(y.shape))
        rows.append(pull([y], call.inputs, [u], call.depends_on_more, retain_graph=True))
    if not rows:
        empty = [namespace(x.data).zeros(y.shape + x.shape, dtype=x.dtype) for x in call.inputs]
        return [Tensor(array) for array in empty]
    columns = zip(call.inputs, zip(*rows, strict=True), strict=True)
    return [ops.reshape(ops.stack(column), y.shape + x.shape) for x, column in columns]


def hessian(
    f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that computes the second derivatives of ``f``: the Jacobian of its gradient.

    For an argument of shape S it has shape S + S and is symmetric. Takes one backward pass per
    element of the argument, after the one that records the gradient. Equivalent to jax.hessian.
    """
    return jacobian(grad(f, argnums, has_aux), argnums, has_aux)


def hvp(f: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> Any:
    """H v, the Hessian of ``f`` at ``primals`` times v, without ever computing H.

    ``primals`` is the tuple of f's arguments; v, ``tangents``, and H v are tuples of its structure.
    With ``has_aux``, ``(H v, aux)``. H is symmetric, so H v = (v^T H)^T is the gradient of
    <grad f, v>: two reverse passes, the cost of a few gradients for any number of parameters
    (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).

    Same errors as ``jvp``, and ValueError if f's output is not a single number.
    """
    call, vs = call_along("hvp", f, primals, tangents, has_aux)
    call.check_single_number()
    gradient = call.pull([None], True)
    product = pull(gradient, call.inputs, vs, call.depends_on_more or want_gradients(vs))
    product = call.like_inputs(product)
    return (product, call.result()[1]) if has_aux else product
