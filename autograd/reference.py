"""The engine in its shortest form: the definition that engine.py and backward.py must equal.

Forward keeps what each derivative needs. Backward starts from dL/dL = 1 and applies the chain rule
to one operation at a time, from the newest to the oldest:

    dL/dx = sum over the operations that used x of (dL/d output) (d output/dx)

An operation is newer than everything it was computed from, so when its turn comes, every use of
its output has contributed, and the sum is complete.

The operations are the real ones, those of autograd/ops. Read this one; use that one: engine.py
lists what it adds.
"""

from itertools import count

from autograd.accumulate import Scatter
from autograd.device import numpy_namespace as xp
from autograd.unbroadcast import unbroadcast

age = count()


class Value:
    """An array, the operation that computed it (None: it was given), and its gradient."""

    def __init__(self, data, op=None):
        self.data, self.op, self.grad, self.age = data, op, None, next(age)
        self.shape, self.dtype = data.shape, data.dtype


def call(op, *inputs):
    """The Value op(x, ...). The operation itself is the node: it keeps its inputs."""
    arrays = [x.data for x in inputs]
    op.inputs, op.needs = inputs, (True,) * len(inputs)
    y = Value(xp.asarray(op.forward(xp, *arrays)), op)
    op.shape, op.dtype = y.shape, y.dtype  # of the output: some backwards read them
    op.saved = [arrays[i] for i in op.save_inputs] + [y.data] * op.save_output
    return y


def backward(loss):
    """Fill ``.grad`` of every Value that ``loss`` was computed from."""
    gradients = {loss: xp.ones(loss.shape)}
    while gradients:
        y = max(gradients, key=lambda value: value.age)  # the newest: its gradient is complete
        y.grad = g = gradients.pop(y)
        if y.op is None:
            continue
        terms = y.op.backward(xp, g, *y.op.saved)
        terms = terms if isinstance(terms, tuple) else (terms,)
        for x, term in zip(y.op.inputs, terms, strict=True):
            if isinstance(term, Scatter):  # a slice's: zero everywhere else
                term = term.densify(xp)
            if term.shape != x.shape:  # x was broadcast: sum over its copies
                term = unbroadcast(xp, term, x.shape)
            gradients[x] = gradients[x] + term if x in gradients else term
