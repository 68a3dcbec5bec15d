"""Moving a tensor to another device, as an operation: its gradient is moved back."""

from autograd._tensor import Tensor
from autograd.device import bring, namespace_on
from autograd.engine import Op


class Move(Op):
    """y = x, as an array of another library.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g, moved back to the device of x
    """

    def __init__(self, there):
        self.there = there

    def forward(self, xp, x):
        self.here = xp
        return bring(self.there, x)

    def as_array(self, xp, data):
        return data  # of the other library, which is the point

    def backward(self, xp, g):
        return move(g, self.here) if isinstance(g, Tensor) else bring(self.here, g)


def move(x, there):
    """The Tensor x on the device of the namespace ``there``; x itself if it is there already."""
    return x if isinstance(x.data, there.array_type) else Move(there)(x)


def to(x, device):
    """The Tensor x on ``device``, a name that ``namespace_on`` knows. Raises DeviceError."""
    return move(x, namespace_on(device))
