"""The gradient that a backward pass starts from: dL/dL = 1, or the weights that were given."""

from autograd._tensor import Tensor
from autograd.device import namespace
from autograd.plain import plain_array


def seed(output, gradient, create_graph):
    """The node of ``output`` with the gradient that the pass starts from."""
    if output._node is None:
        raise RuntimeError(
            f"this tensor, of shape {output.shape}, was not computed from any tensor that requires "
            "a gradient (or under no_grad): there is nothing to differentiate"
        )
    xp = namespace(output._data)
    if gradient is None:
        if output.size != 1:
            raise RuntimeError(
                f"the output has shape {output.shape}: only a single number can be differentiated "
                "without saying how its elements are weighted; pass a gradient of that shape, or "
                "sum first"
            )
        gradient = xp.ones(output.shape, dtype=output.dtype)
    if not isinstance(gradient, Tensor):
        gradient = xp.asarray(plain_array(gradient, "the gradient that backward starts from"))
        gradient = Tensor(gradient) if create_graph else gradient
    elif not create_graph:
        gradient = xp.asarray(gradient._data)
    if gradient.shape != output.shape:
        raise ValueError(
            f"the gradient has shape {gradient.shape}, the output {output.shape}: they must agree"
        )
    if gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    return output._node, gradient
