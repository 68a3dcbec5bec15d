"""The engine: a tensor that remembers how it was made, and the walk back to its origins.

An operation computes a value and returns a new Tensor. That keeps the tensors it was made
from, its parents, and a rule: from the gradient of the output, one gradient a parent.
`backward` starts at the loss, where dL/dL = 1, and applies the rules, newest first.
"""

from heapq import heappop, heappush
from itertools import count

import numpy as np

age = count()

class no_grad:
    """`with no_grad():` computes values and remembers nothing."""

    active = False

    def __enter__(self):
        self.before, no_grad.active = no_grad.active, True

    def __exit__(self, *error):
        no_grad.active = self.before

class Tensor:
    """An array of numbers, its gradient, and how it was made."""

    __array_ufunc__ = None  # array + tensor is ours, not NumPy's

    def __init__(self, data, parents=(), rule=None, requires_grad=False):
        self.data, self.grad, self.age = np.asarray(data), None, next(age)
        made = not no_grad.active and any(x.requires_grad for x in parents)
        self.requires_grad = requires_grad or made
        self.parents, self.rule = (parents, rule) if made else ((), None)

    shape = property(lambda self: self.data.shape)

    def backward(self):
        """Add dL/dx to the grad of every x that asked for it; self is the loss L."""
        if self.data.size != 1 or not self.requires_grad:
            raise ValueError(f"no loss: {self.shape}, requires_grad={self.requires_grad}")
        gradients = {self: np.ones_like(self.data)}
        waiting = [(-self.age, self)]
        while waiting:
            y = heappop(waiting)[1]  # the newest: all that used it have had their turn
            g = gradients.pop(y)
            if y.rule is None:  # given, not made: here the walk ends
                y.grad = g + (0 if y.grad is None else y.grad)
                continue
            for x, g_x in zip(y.parents, y.rule(g)):
                if x.requires_grad:
                    g_x = unbroadcast(g_x, x.shape)
                    if x not in gradients:
                        heappush(waiting, (-x.age, x))
                    gradients[x] = gradients[x] + g_x if x in gradients else g_x

    __add__ = __radd__ = lambda a, b: add(a, like(b, a))
    __mul__ = __rmul__ = lambda a, b: multiply(a, like(b, a))
    __sub__ = lambda a, b: a + like(b, a) * -1
    __truediv__ = lambda a, b: a * like(b, a) ** -1
    __pow__ = lambda a, n: power(a, n)
    __matmul__ = lambda a, b: matmul(a, b)
    __getitem__ = lambda a, index: take(a, index)

def like(x, tensor):
    """x as a Tensor; a plain number takes the type of the tensor it meets."""
    return x if isinstance(x, Tensor) else Tensor(np.asarray(x, tensor.data.dtype))

def unbroadcast(g, shape):
    """Sum g over the axes along which an array of this shape was repeated to fit."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)

def add(a, b):
    return Tensor(a.data + b.data, (a, b), lambda g: (g, g))

def multiply(a, b):
    return Tensor(a.data * b.data, (a, b), lambda g: (g * b.data, g * a.data))

def power(a, n):
    return Tensor(a.data**n, (a,), lambda g: (g * n * a.data ** (n - 1),))

def matmul(a, b):
    aT, bT = a.data.swapaxes(-1, -2), b.data.swapaxes(-1, -2)
    return Tensor(a.data @ b.data, (a, b), lambda g: (g @ bT, aT @ g))

def exp(a):
    y = np.exp(a.data)
    return Tensor(y, (a,), lambda g: (g * y,))

def log(a):
    return Tensor(np.log(a.data), (a,), lambda g: (g / a.data,))

def tanh(a):
    y = np.tanh(a.data)
    return Tensor(y, (a,), lambda g: (g * (1 - y * y),))

def log_sigmoid(a):
    y = -np.logaddexp(0, -a.data)  # log(1 / (1 + e^-a)), also where e^-a is too large
    return Tensor(y, (a,), lambda g: (g * np.exp(y - a.data),))

def total(a, axis=None, keepdims=False):
    """The sum, over all numbers or along one axis."""

    def rule(g):
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return (np.broadcast_to(g, a.shape),)

    return Tensor(a.data.sum(axis=axis, keepdims=keepdims), (a,), rule)

def mean(a, axis=-1, keepdims=True):
    return total(a, axis, keepdims) * (1 / a.shape[axis])

def reshape(a, shape):
    return Tensor(a.data.reshape(shape), (a,), lambda g: (g.reshape(a.shape),))

def transpose(a, axes):
    back = np.argsort(axes)
    return Tensor(a.data.transpose(axes), (a,), lambda g: (g.transpose(back),))

def take(a, index):
    """a[index]: numbers, slices, or arrays of row numbers, which may repeat."""

    def rule(g):
        g_a = np.zeros_like(a.data)
        np.add.at(g_a, index, g)  # a row taken twice gets both gradients
        return (g_a,)

    return Tensor(a.data[index], (a,), rule)

def where(mask, a, number):
    """a where the mask is true, the number elsewhere."""
    return Tensor(np.where(mask, a.data, number), (a,), lambda g: (np.where(mask, g, 0),))

if __name__ == "__main__":
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = total(x * x)
    loss.backward()
    print(f"loss = {loss.data}, dloss/dx = {x.grad}")
