"""Bring a gradient to the shape and dtype of the input that it belongs to.

A formula may return the gradient of a broadcast input in the shape of the output. Broadcasting
copies, and the derivative of a copy is a sum over the copies.
"""

from autograd.accumulate import Scatter
from autograd.call_site import describe
from autograd.questions import see


def unbroadcast(xp, g, shape):
    """Sum ``g`` over the axes along which an array of ``shape`` was broadcast to ``g.shape``.

    Returns None if no broadcasting leads from ``shape`` to ``g.shape``.
    """
    extra = g.ndim - len(shape)
    if extra < 0:
        return None
    axes = tuple(range(extra))
    for axis, n in enumerate(shape, start=extra):
        if n != g.shape[axis]:
            if n != 1:
                return None
            axes += (axis,)
    total = xp.sum(g, axis=axes)
    return total if total.shape == shape else xp.reshape(total, shape)


def fit_to_input(xp, node, i, gradient):
    """The gradient that ``node`` returned for its input i, in that input's shape and dtype.

    Raises RuntimeError if there is none, or if broadcasting does not explain its shape.
    """
    if gradient is None:
        raise RuntimeError(
            f"{describe(node)} returned no gradient for its input {i}" + see("What is a vjp?")
        )
    source = node.inputs[i]
    if gradient.shape != source.shape:
        summed = unbroadcast(xp, gradient, source.shape) if node.broadcasts else None
        if summed is None:
            raise RuntimeError(
                f"{describe(node)} returned a gradient of shape {gradient.shape} for its "
                f"input {i}, whose shape is {source.shape}"
                + see("Where does the sum in a broadcast's gradient come from?")
            )
        gradient = summed
    if gradient.dtype != source.dtype:
        if isinstance(gradient, Scatter):
            gradient = gradient.densify()
        gradient = xp.astype(gradient, source.dtype)
    return gradient
