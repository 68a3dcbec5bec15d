"""How a Tensor looks to Python: comparisons, numbers, text, and copies.

A gradient must never end unseen. What only looks at the values works for every tensor:
comparisons, ``bool``, ``len``, printing, ``.item()``. What makes a number to compute on with
(``float``, ``int``, ``math.exp``, an array filled element by element) is refused for a tensor that
requires a gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from autograd._notebook import array_html
from autograd.device import namespace
from autograd.leaf import Leaf
from autograd.questions import see

TensorT = TypeVar("TensorT")


def _or_rebinds(operator: str) -> Callable[[Any, Any], Any]:
    """The method of ``x += y`` (or another operator): x = x + y, unless x is a leaf that learns.

    PyTorch changes the leaf (under ``no_grad``). Here the name x would stand for another tensor and
    the leaf stay as it was, so that a training loop trains nothing, without a word.
    """

    def method(self, other):
        if not (self._learns or isinstance(self._node, Leaf)):
            return NotImplemented  # Python then computes x + y
        raise TypeError(
            f"p {operator}= value would make the name p stand for a new tensor and leave this one, "
            f"which learns, as it was: write p.data {operator}= value (an array), or "
            f"p.assign_(p.data {operator} value), to change it, or p = p {operator} value to "
            "compute a new one" + see("Why is p -= lr * p.grad an error?")
        )

    return method


class Conversions(Generic[TensorT]):
    """The part of Tensor that answers to Python's own functions and statements.

    TensorT is the class Tensor itself.
    """

    __slots__ = ()
    _data: Any
    _node: Any
    _grad: Any
    _version: Any
    _learns = False
    """Whether it is made to be changed by an optimizer, even while it requires no gradient."""

    # Comparisons have no derivative: they give raw boolean arrays. Tensors hash by identity.

    def __eq__(self, other: Any) -> Any:
        return self._data == raw(other)

    def __ne__(self, other: Any) -> Any:
        return self._data != raw(other)

    def __lt__(self, other: Any) -> Any:
        return self._data < raw(other)

    def __le__(self, other: Any) -> Any:
        return self._data <= raw(other)

    def __gt__(self, other: Any) -> Any:
        return self._data > raw(other)

    def __ge__(self, other: Any) -> Any:
        return self._data >= raw(other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[TensorT]:
        if self._data.ndim == 0:
            raise TypeError("cannot iterate over a 0-d tensor")
        return (self[i] for i in range(len(self)))  # type: ignore[index]

    # --- numbers -------------------------------------------------------------------------------

    def item(self) -> Any:
        """The single element as a Python number. The gradient ends here, as it says."""
        return self._data.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers (of a 0-d tensor: the number)."""
        return self._data.tolist()

    def __float__(self) -> float:
        self._refuse_to_cut("float()")
        return float(self._data)

    def __int__(self) -> int:
        self._refuse_to_cut("int()")
        return int(self._data)

    def __complex__(self) -> complex:
        self._refuse_to_cut("complex()")
        return complex(self._data)

    def __index__(self) -> int:
        if self._data.ndim or self._data.dtype.kind not in "iu":
            raise TypeError(
                f"only a 0-d tensor of integers can stand for a Python integer, and this one is of "
                f"shape {self._data.shape} and type {self._data.dtype}"
            )
        return int(self._data)

    if not TYPE_CHECKING:  # to a type checker NumPy takes no Tensor, and array * tensor is a Tensor

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            if self._node is not None:
                raise TypeError(
                    "this Tensor requires a gradient, and a NumPy function would lose its history "
                    "silently: use the function of that name in autograd.ops (ops.stack makes one "
                    "Tensor of several), or .detach() first" + see("When do I detach?")
                )
            return np.array(self._data, dtype=dtype, copy=copy)

    def _refuse_to_cut(self, what):
        if self._node is not None:
            raise TypeError(
                f"{what} of a tensor that requires a gradient gives a plain number, and the "
                "gradient would end there silently: compute with autograd.ops (ops.exp for "
                "math.exp, ops.stack for an array filled element by element), or write .item() or "
                ".detach() where it is to end" + see("When do I detach?")
            )

    def __delitem__(self, index: Any) -> None:
        raise TypeError("elements of a Tensor cannot be deleted: take those that stay, x[index]")

    if not TYPE_CHECKING:  # to a type checker x += y is x = x + y
        __iadd__, __isub__ = _or_rebinds("+"), _or_rebinds("-")
        __imul__, __itruediv__ = _or_rebinds("*"), _or_rebinds("/")
        __ifloordiv__, __imod__ = _or_rebinds("//"), _or_rebinds("%")
        __ipow__, __imatmul__ = _or_rebinds("**"), _or_rebinds("@")

    @property
    def _mask(self):
        """What a masked array looks for in an operand, whose ``_data`` it would then use."""
        raise TypeError(
            "a masked array cannot be combined with a Tensor, whose gradient would end there: fill "
            "it with .filled(value), or use ops.where(mask, a, b)"
        )

    # --- text ----------------------------------------------------------------------------------

    def __format__(self, spec: str) -> str:
        """``f"{loss:.3f}"``: a single element is written as the number it is."""
        if not spec:
            return str(self)
        if self._data.size != 1:
            raise TypeError(
                f"the format {spec!r} is for a single number, and this tensor has shape "
                f"{self._data.shape}: format its elements, or its mean"
            )
        return format(self.item(), spec)

    def __repr__(self) -> str:
        name = type(self).__name__
        library = namespace(self._data)
        values = library.to_numpy(self._data)
        body = np.array2string(values, separator=", ", prefix=name + "(")
        dtype = "" if values.dtype == np.float64 else f", dtype={values.dtype}"
        if library.device != "cpu":
            dtype += f", device={library.device}"
        return f"{name}({body}{dtype}{self._origin()})"

    def _repr_html_(self) -> str:
        """For notebooks: shape, type and origin, and the elements in a table."""
        library = namespace(self._data)
        caption = f"{type(self).__name__} of shape {self._data.shape}, {self._data.dtype}"
        if library.device != "cpu":
            caption += f", device={library.device}"
        return array_html(caption + self._origin(), library.to_numpy(self._data))

    def _origin(self) -> str:
        """Where a tensor that requires a gradient comes from."""
        if self._node is None:
            return ""
        if isinstance(self._node, Leaf):
            return ", requires_grad=True"
        return f", op={type(self._node).__name__}"

    # --- copies --------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        """An independent tensor, as NumPy copies an array; see __deepcopy__."""
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """An independent leaf with the same values, a copy of the gradient, and no hooks.

        What is one object stays one (tied parameters), and what shares an array still shares it.
        Raises RuntimeError for a computed tensor.
        """
        self._refuse_to_copy()
        new = object.__new__(type(self))
        memo[id(self)] = new
        new._data = _copied(self._data, memo, namespace(self._data).array)
        new._version = _copied(self._version, memo, list)
        new._node = None if self._node is None else Leaf(new)
        new._grad = None if self._grad is None else self._grad.__deepcopy__(memo)
        for name, value in getattr(self, "__dict__", {}).items():  # of a subclass
            setattr(new, name, copy.deepcopy(value, memo))
        return new

    def __reduce__(self):
        """For pickle: the plain array and whether it requires a gradient; no gradient, no hooks.

        Raises RuntimeError for a computed tensor.
        """
        self._refuse_to_copy()
        arguments = type(self), self._data, self._node is not None, self._version
        return _rebuilt, arguments, getattr(self, "__dict__", None)

    def _refuse_to_copy(self):
        if self._node is not None and not isinstance(self._node, Leaf):
            raise RuntimeError(
                f"a computed tensor (of shape {self._data.shape}, from {type(self._node).__name__})"
                " cannot be copied or pickled, because a copy would have no history: copy its "
                "values, .detach(), or use the tensor itself"
            )


def raw(value):
    """A Tensor's array; anything else as it is."""
    return value._data if isinstance(value, Conversions) else value


def _copied(value, memo, make):
    """``make(value)``, made once for one object, as copy.deepcopy does."""
    if id(value) not in memo:
        memo[id(value)] = make(value)
    return memo[id(value)]


def _rebuilt(kind, data, requires_grad, version):
    tensor = object.__new__(kind)
    tensor._data, tensor._grad, tensor._version = data, None, version
    tensor._node = Leaf(tensor) if requires_grad else None
    return tensor
