"""Tensor: an array, whether it wants a gradient, and where it came from.

All mathematics is in ``autograd.ops``; ``autograd/_methods.py``, which this class is built on,
spells it as NumPy's arrays do. ``ops`` is bound by ``autograd/__init__.py`` once everything is
loaded: it is the one link from the engine back up to the operations built on it.
"""

from typing import Any

import numpy as np

from autograd._methods import Methods
from autograd.device import bring, is_array, namespace, to_numpy
from autograd.leaf import Leaf

ops: Any = None  # the module autograd.ops; bound in autograd/__init__.py


class Tensor(Methods):
    """An n-dimensional array that can remember how it was computed.

    ``data`` is wrapped without a copy (``autograd.tensor`` copies); anything that is not an array
    is first made one by ``np.asarray``. With ``requires_grad=True``, ``backward()`` of what is
    computed from it adds the gradient into ``.grad``.

    Raises TypeError when an integer or boolean array is to require a gradient.
    """

    __slots__ = ("_data", "_node", "_grad", "_version", "__weakref__")

    def __init__(self, data, requires_grad=False):
        if isinstance(data, Tensor):
            raise TypeError("this is a Tensor already: use .detach() for one without its history")
        if not is_array(data):
            data = np.asarray(data)
            if data.dtype.kind not in "fiub":
                raise TypeError(f"a Tensor holds numbers or booleans, not {data.dtype}")
        self._data, self._node, self._grad, self._version = data, None, None, [0]
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def _make(cls, data, node, version):
        """A Tensor with a given place in the graph, sharing a version counter."""
        self = Tensor.__new__(Tensor)
        self._data, self._node, self._grad, self._version = data, node, None, version
        return self

    # --- what it holds ---------------------------------------------------------------------

    @property
    def data(self):
        """The raw array. Assigning it counts as a change: graphs that saved it will notice."""
        return self._data

    @data.setter
    def data(self, value):
        if isinstance(value, Tensor):
            value = value._data
        if not is_array(value):
            value = np.asarray(value)
        if self._node is not None and value.dtype.kind != "f":
            raise TypeError(f"a tensor that requires a gradient cannot hold {value.dtype}")
        kept = value.shape == self.shape and value.dtype == self.dtype
        self._data = value
        self._version[0] += 1
        if isinstance(self._node, Leaf) and not kept:
            hooks = self._node.hooks
            self._node = Leaf(self)  # a node is of one shape and type
            self._node.hooks = hooks

    @property
    def requires_grad(self):
        """Whether gradients flow to this tensor. Can be set on tensors that were not computed."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value):
        if bool(value) == (self._node is not None):
            return
        if not value:
            if not isinstance(self._node, Leaf):
                raise RuntimeError("this tensor was computed: use .detach() to cut it off")
            self._node = None
        elif self._data.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can require a gradient, and this one is "
                f"{self._data.dtype}: convert it with .astype(np.float32)"
            )
        else:
            self._node = Leaf(self)

    @property
    def is_leaf(self):
        """Whether the tensor was made by hand and not computed by a recorded operation."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def grad(self):
        """The gradient that backward() has added up so far: a Tensor, or None."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                value = Tensor(value)
            if value.shape != self.shape:
                raise ValueError(f"a gradient of shape {value.shape} for a tensor of {self.shape}")
        self._grad = value
        if isinstance(self._node, Leaf):
            self._node.owned = False

    shape = property(lambda self: self._data.shape, doc="The length of each axis.")
    ndim = property(lambda self: self._data.ndim, doc="The number of axes.")
    size = property(lambda self: self._data.size, doc="The number of elements.")
    dtype = property(lambda self: self._data.dtype, doc="The type of the elements.")
    itemsize = property(lambda self: self._data.itemsize, doc="The bytes of one element.")
    nbytes = property(lambda self: self._data.nbytes, doc="The bytes of all elements.")

    def detach(self):
        """The same array (not a copy) without the history; it shares the version counter."""
        return Tensor._make(self._data, None, self._version)

    @property
    def device(self):
        """Where the elements are: "cpu", "cuda", or the name of another registered library."""
        return namespace(self._data).device

    def to(self, device):
        """This tensor on ``device`` (see the attribute); itself where it is there already.

        A recorded operation: the gradient moves back the same way. To move what a model learns,
        use Module.to, which keeps its parameters. Raises autograd.device.DeviceError when there is
        no such device.
        """
        from autograd import transfer  # built on this module, as engine is

        return transfer.to(self, device)

    def numpy(self):
        """The values as a NumPy array (for arrays in main memory, without a copy)."""
        return to_numpy(self._data)

    def item(self):
        """The single element as a Python number."""
        return self._data.item()

    def tolist(self):
        """The elements as nested lists of Python numbers (of a 0-d tensor: the number)."""
        return self._data.tolist()

    def __array__(self, dtype=None, copy=None):
        if self._node is not None:
            raise TypeError(
                "this Tensor requires a gradient, and a NumPy function would lose its history "
                "silently: use the function of that name in autograd.ops, or .detach() first"
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        """``array * tensor`` arrives here: ours. A NumPy function on a Tensor: an error."""
        operation = _OPERATORS.get(ufunc)
        if operation is not None and method == "__call__" and not kwargs:
            return operation(*inputs)
        raise TypeError(
            f"np.{ufunc.__name__} does not know about gradients and cannot take a Tensor: use "
            f"autograd.ops.{ufunc.__name__}(...), or tensor.data for the raw array"
        )

    def zero_grad(self):
        """Forget the gradient: ``.grad`` is None again."""
        self.grad = None

    def assign_(self, value):
        """Overwrite the elements in place: the one operation that changes a tensor.

        ``value`` is anything of this tensor's shape, on any device, or the array itself after a
        change in place. A graph that saved the old values refuses to run backward. Returns self.
        Raises RuntimeError for a computed tensor, and ValueError when the shapes differ.
        """
        if not self.is_leaf:
            raise RuntimeError("a computed tensor cannot be assigned to: change its inputs")
        array = value._data if isinstance(value, Tensor) else value
        if array is not self._data:
            array = bring(namespace(self._data), array if is_array(array) else np.asarray(array))
            if array.shape != self._data.shape:
                raise ValueError(f"cannot assign shape {array.shape} to shape {self.shape}")
            self._data[...] = array
        self._version[0] += 1
        return self

    def backward(self, gradient=None, retain_graph=None, create_graph=False):
        """Add d self/d leaf into ``.grad`` of every leaf tensor this one was computed from.

        ``gradient`` weights the elements of a tensor with more than one. The graph is released as
        it is walked unless ``retain_graph``; with ``create_graph`` (which implies it) the gradients
        can be differentiated again.
        """
        from autograd import engine  # engine is built on this module

        engine.backward([self], [gradient], retain_graph, create_graph)

    def register_hook(self, function):
        """Call ``function(gradient)`` in every backward pass, once this gradient is complete.

        ``gradient`` is a Tensor, not to be changed in place; what the function returns, unless
        None, takes its place. Hooks run in the order they were registered, before ``.grad``
        receives the result. Returns a handle: ``handle.remove()`` takes the hook away again.
        Raises RuntimeError when the tensor does not require a gradient. As PyTorch's.
        """
        from autograd import hooks  # built on this module, as engine is

        return hooks.register(self, function)

    def retain_grad(self):
        """Let backward() fill ``.grad`` of this computed tensor as well (leaves have it anyway).

        Raises RuntimeError when the tensor does not require a gradient. As PyTorch's.
        """
        from autograd import hooks

        hooks.retain_grad(self)

    # --- comparisons and conversions -----------------------------------------------------------

    # Comparisons have no derivative: they give raw boolean arrays. Tensors hash by identity.

    def __eq__(self, other):
        return self._data == _raw(other)

    def __ne__(self, other):
        return self._data != _raw(other)

    def __lt__(self, other):
        return self._data < _raw(other)

    def __le__(self, other):
        return self._data <= _raw(other)

    def __gt__(self, other):
        return self._data > _raw(other)

    def __ge__(self, other):
        return self._data >= _raw(other)

    __hash__ = object.__hash__

    def __bool__(self):
        return bool(self._data)

    def __float__(self):
        return float(self._data)

    def __int__(self):
        return int(self._data)

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("cannot iterate over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        name = type(self).__name__
        body = np.array2string(self.numpy(), separator=", ", prefix=name + "(")
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        if self.device != "cpu":
            dtype += f", device={self.device}"
        if self._node is None:
            origin = ""
        elif isinstance(self._node, Leaf):
            origin = ", requires_grad=True"
        else:
            origin = f", op={type(self._node).__name__}"
        return f"{name}({body}{dtype}{origin})"


class Parameter(Tensor):
    """A tensor that a model learns: it requires a gradient from the start."""

    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        super().__init__(data, requires_grad)


def tensor(data, dtype=None, requires_grad=False):
    """A Tensor with its own copy of ``data`` (anything np.array takes, or an array)."""
    if isinstance(data, Tensor):
        data = data._data
    xp = namespace(data) if is_array(data) else np
    return Tensor(xp.array(data, dtype=dtype), requires_grad)


def _raw(value):
    return value._data if isinstance(value, Tensor) else value


_OPERATORS = {
    np.add: lambda a, b: ops.add(a, b),
    np.subtract: lambda a, b: ops.subtract(a, b),
    np.multiply: lambda a, b: ops.multiply(a, b),
    np.divide: lambda a, b: ops.divide(a, b),
    np.power: lambda a, b: ops.power(a, b),
    np.matmul: lambda a, b: ops.matmul(a, b),
    np.floor_divide: lambda a, b: ops.floor_divide(a, b),
    np.remainder: lambda a, b: ops.remainder(a, b),
    np.divmod: lambda a, b: (ops.floor_divide(a, b), ops.remainder(a, b)),
    np.equal: lambda a, b: _raw(a) == _raw(b),
    np.not_equal: lambda a, b: _raw(a) != _raw(b),
    np.less: lambda a, b: _raw(a) < _raw(b),
    np.less_equal: lambda a, b: _raw(a) <= _raw(b),
    np.greater: lambda a, b: _raw(a) > _raw(b),
    np.greater_equal: lambda a, b: _raw(a) >= _raw(b),
}
"""What Python's operators with an array on the left are called by NumPy."""
