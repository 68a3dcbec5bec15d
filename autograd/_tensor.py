"""Tensor: an array, whether it requires a gradient, and what it was computed from.

All mathematics is in ``autograd.ops``. This class is built on three files: ``_methods.py`` spells
the operations as NumPy's arrays do, ``_conversions.py`` is how a Tensor looks to Python (numbers,
text, copies), and ``_numpy_protocol.py`` what NumPy's own functions do with one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np

from autograd import _methods, hooks
from autograd._conversions import Conversions, raw
from autograd._methods import Methods
from autograd._numpy_protocol import array_function, array_ufunc
from autograd._types import ArrayLike, DTypeLike
from autograd.device import bring, namespace, to_numpy
from autograd.leaf import Leaf
from autograd.plain import plain_array
from autograd.questions import see


class Tensor(Conversions["Tensor"], Methods["Tensor"]):
    """An n-dimensional array that can remember how it was computed.

    ``data`` is wrapped without a copy (``autograd.tensor`` copies); anything that is not an array
    is first made one by ``np.asarray``, and a subclass of NumPy's array a plain one. With
    ``requires_grad=True``, ``backward()`` of what is computed from it adds the gradient into
    ``.grad``.

    Raises TypeError for what holds neither numbers nor booleans (strings, objects, dates, complex
    numbers), for a masked array, and when integers or booleans are to require a gradient.
    """

    __slots__ = ("_data", "_node", "_grad", "_version", "__weakref__")

    def __init__(self, data: TensorLike, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise TypeError("this is a Tensor already: use .detach() for one without its history")
        self._data = plain_array(data, "a Tensor's data")
        self._node, self._grad, self._version = None, None, [0]
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def _make(cls, data: Any, node: Any, version: Any) -> Tensor:
        """A Tensor with a given place in the graph, sharing a version counter."""
        self = Tensor.__new__(Tensor)
        self._data, self._node, self._grad, self._version = data, node, None, version
        return self

    # --- what it holds ---------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The raw array. Assigning it counts as a change: graphs that saved it will notice.

        What is written *into* the array (``x.data[0] = 1``) is not seen: use ``assign_``, and
        ``autograd.debug.detect_changes`` to search for such writes.
        """
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                "a computed tensor cannot be given other data: change its inputs"
                + see("Why is an in-place change an error?")
            )
        value = plain_array(raw(value), "a Tensor's data")
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
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. Can be set on tensors that were not computed."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if bool(value) == (self._node is not None):
            return
        if not value:
            if not isinstance(self._node, Leaf):
                raise RuntimeError(
                    "this tensor was computed: use .detach() to cut it off"
                    + see("When do I detach?")
                )
            self._node = None
        elif self._data.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can require a gradient, and this one is "
                f"{self._data.dtype}: convert it with .astype(np.float32)"
                + see("Why has argmax no gradient?")
            )
        else:
            self._node = Leaf(self)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by hand and not computed by a recorded operation."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() has added up so far: a Tensor, or None.

        It can be set, to a Tensor or an array of this tensor's shape and type, or to a list of
        such numbers. Raises ValueError for another shape, TypeError for another type. Reading it
        from a computed tensor, for which backward() adds up nothing, warns.
        """
        if self._grad is None and not self.is_leaf and self._node.hooks is None:
            warnings.warn(
                "this tensor was computed, and backward() fills the .grad of leaves (Parameters) "
                "alone: call .retain_grad() on it before backward(), or look at a leaf; a "
                "parameter is changed by assign_, not by p = p - step, which computes a new tensor"
                + see("Why is y.grad None?"),
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                array = plain_array(value, "a gradient")
                value = Tensor(array if array is value else array.astype(self.dtype))
            if value.shape != self.shape:
                raise ValueError(f"a gradient of shape {value.shape} for a tensor of {self.shape}")
            if value.dtype != self.dtype:
                raise TypeError(
                    f"a gradient of type {value.dtype} for a tensor of {self.dtype}: convert it "
                    "with .astype"
                )
        self._grad = value
        if isinstance(self._node, Leaf):
            self._node.owned = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    def numel(self) -> int:
        """PyTorch's name of ``size``."""
        return self.size

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self._data.dtype

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._data.nbytes

    def detach(self) -> Tensor:
        """The same array (not a copy) without the history; it shares the version counter."""
        return Tensor._make(self._data, None, self._version)

    @property
    def device(self) -> str:
        """Where the elements are: "cpu", "cuda", or the name of another registered library."""
        return namespace(self._data).device

    def to(self, device: str) -> Tensor:
        """This tensor on ``device`` (see the attribute); itself if it is there already.

        It is a recorded operation, whose gradient moves back the same way. To move a model use
        Module.to, which keeps its parameters. Raises autograd.device.DeviceError if there is no
        such device.
        """
        return _methods.ops.transfer.to(self, device)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (for arrays in main memory, without a copy)."""
        return to_numpy(self._data)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        """Handle ``array * tensor``; refuse NumPy's functions on a Tensor."""
        return array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        """The same for NumPy's other functions, such as ``np.sum(tensor)``."""
        return array_function(function, args, kwargs)

    def zero_grad(self) -> None:
        """Forget the gradient: ``.grad`` is None again."""
        self.grad = None

    def assign_(self, value: TensorLike) -> Self:
        """Overwrite the elements in place: the supported way to change a tensor, with ``.data =``.

        ``value`` has this tensor's shape, and may be on any device; or it is the array itself after
        a change in place. A graph that saved the old values refuses to run backward. Returns self.
        Raises RuntimeError for a computed tensor, ValueError if the shapes differ, and TypeError
        for anything but numbers, or for fractions in a tensor of integers.
        """
        if not self.is_leaf:
            raise RuntimeError(
                "a computed tensor cannot be assigned to: change its inputs"
                + see("Why is an in-place change an error?")
            )
        array = raw(value)
        if array is not self._data:
            array = bring(namespace(self._data), plain_array(array, "the value of assign_"))
            if array.shape != self._data.shape:
                raise ValueError(f"cannot assign shape {array.shape} to shape {self.shape}")
            if array.dtype.kind == "f" and self.dtype.kind != "f":
                raise TypeError(f"cannot assign {array.dtype} to {self.dtype}: fractions would go")
            self._data[...] = array
        self._version[0] += 1
        return self

    def backward(
        self,
        gradient: TensorLike | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add d self/d leaf into ``.grad`` of every leaf tensor this one was computed from.

        ``gradient`` has this tensor's shape and weights its elements (None: 1, for one element).
        The graph is released on the way unless ``retain_graph``; with ``create_graph``, which
        implies it, the gradients can be differentiated again. If an error occurs on the way,
        ``.grad`` contains what had arrived until then.
        """
        _methods.backward([self], [gradient], retain_graph, create_graph)

    def register_hook(self, function: Callable[[Tensor], Any]) -> Any:
        """Call ``function(gradient)`` in every backward pass, once this gradient is complete.

        ``gradient`` is a Tensor, not to be changed in place; what the function returns, unless
        None, replaces it. Hooks run in the order in which they were registered, before the result
        is added to ``.grad``. Returns a handle: ``handle.remove()`` takes the hook away again.
        Raises RuntimeError if the tensor does not require a gradient. As in PyTorch.
        """
        return hooks.register(self, function)

    def retain_grad(self) -> None:
        """Let backward() fill ``.grad`` of this computed tensor as well (leaves have it anyway).

        Raises RuntimeError if the tensor does not require a gradient. As in PyTorch.
        """
        hooks.retain_grad(self)


TensorLike: TypeAlias = Tensor | ArrayLike
"""What an operation takes: a Tensor or a constant."""

Operand: TypeAlias = Tensor | np.ndarray
"""A TensorLike that has a shape and a dtype (``autograd.ops.arguments.operand``)."""


class Parameter(Tensor):
    """A tensor that a model learns: it requires a gradient from the start."""

    __slots__ = ()
    _learns = True

    def __init__(self, data: TensorLike, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


def tensor(data: TensorLike, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with its own copy of ``data`` (anything np.array takes, or an array)."""
    data = plain_array(raw(data), "a Tensor's data")
    return Tensor(namespace(data).array(data, dtype=dtype), requires_grad)
