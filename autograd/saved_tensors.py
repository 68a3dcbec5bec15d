"""What operations keep for backward, in another form: ``saved_tensors_hooks``.

Most of the memory of a training step is what the graph keeps from forward until backward. A pair of
functions may keep it in less: ``pack`` is given each tensor as it is saved and returns whatever is
to be kept instead, ``unpack`` makes the tensor again when backward, or a tool, reads it.
(``activations.py`` is such a pair. PyTorch's torch.autograd.graph.saved_tensors_hooks is the
model.)

Only what the graph alone keeps alive is packed: values that an operation computed. Parameters and
data exist anyway, and so do views of them. A value that several operations save, or views of all of
it, is packed once.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Self

import numpy as np

from autograd._tensor import Tensor
from autograd.device import is_array, namespace
from autograd.leaf import Leaf

_hooks: ContextVar["saved_tensors_hooks | None"] = ContextVar("autograd_saved_hooks", default=None)

current_hooks = _hooks.get
"""The innermost pair of functions of this context, or None."""


class saved_tensors_hooks:  # noqa: N801 (PyTorch's name)
    """Within this context, what operations save goes through ``pack`` and, when read, ``unpack``.

    ``pack`` is given a Tensor without a history, which it must not change, and returns any object.
    ``unpack`` is given that object, possibly several times, and returns a Tensor or an array of the
    same shape and type: the numbers may differ, and the gradients then differ accordingly. The
    innermost pair applies alone. It belongs to what was computed inside: backward may run outside.
    """

    packs = True
    """Whether anything is to be packed at all."""

    def __init__(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Any]) -> None:
        self._pack, self._unpack = pack, unpack
        self._tokens: list[Token] = []
        self._alive: dict[int, tuple] = {}  # id of an array -> weak references to it and its Packed

    def __enter__(self) -> Self:
        self._tokens.append(_hooks.set(self if self.packs else None))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _hooks.reset(self._tokens.pop())

    def pack(self, node):
        """Pack what ``node``, which has just been recorded, keeps."""
        self._pack_saved(node, range(len(node.saved)))
        if node.caches_activations and is_array(node.cache):
            node.cache = self._packed(node.cache)

    def _pack_saved(self, node, positions):
        values = list(node.saved)
        for i in positions:
            if is_array(values[i]) and is_activation(source_of(node, i)):
                values[i] = self._packed(values[i])
        if values:
            node.saved = PackedValues(values)

    def _packed(self, array):
        """The Packed of an array, a new one if there is none: what was computed never changes."""
        plain, axes = _as_it_lies(array)
        owner, place = _place(plain)
        key = (id(owner), *place)
        known, packed = self._alive.get(key, (None, None))
        packed = packed() if known is not None and known() is owner else None
        if packed is None:
            packed = Packed(self._pack(Tensor._make(plain, None, [0])), self._unpack, plain)
            forget = weakref.ref(owner, lambda _: self._alive.pop(key, None))
            self._alive[key] = forget, weakref.ref(packed)
        same = axes is None and packed.shape == plain.shape
        return packed if same else View(packed, plain.shape, axes)


@contextmanager
def use_hooks(hooks: saved_tensors_hooks | None) -> Iterator[None]:
    """Within this context these hooks apply, or none: those of another time (recomputation)."""
    token = _hooks.set(hooks)
    try:
        yield
    finally:
        _hooks.reset(token)


def source_of(node, i):
    """The node whose value is the one that ``node`` saved at position i: an input, or itself."""
    return node.inputs[node.save_inputs[i]] if i < len(node.save_inputs) else node


def is_activation(node):
    """Whether a value of this node was computed: it is no leaf, no constant, and no view of one."""
    source = computed_by(node)
    return source is not None and type(source) is not Leaf


def computed_by(node):
    """The node that computed a value of this node: of a view, the one it is a view of, or None."""
    while node is not None and type(node) is not Leaf and node.returns_view:
        node = node.inputs[0] if node.inputs else None
    return node


def _as_it_lies(array):
    """``array`` with its axes in the order in which they lie in memory, and how to turn them back.

    If it is still not contiguous then, as a slice, the array itself and None.
    """
    if array.flags.c_contiguous:
        return array, None
    axes = sorted(range(array.ndim), key=lambda i: -array.strides[i])
    plain = array.transpose(axes)
    if not plain.flags.c_contiguous:
        return array, None
    return plain, sorted(range(array.ndim), key=axes.__getitem__)


def _place(array):
    """The array that owns the memory of ``array``, and which part of it this is.

    Views of the same numbers have the same place, whatever their shape.
    """
    if type(array) is not np.ndarray:
        return array, ()
    start, owner = array.__array_interface__["data"][0], array
    while type(owner.base) is np.ndarray:
        owner = owner.base
    if array.flags.c_contiguous:
        return owner, (start, array.nbytes)
    return owner, (start, array.shape, array.strides)


class Packed:
    """A saved array as ``pack`` returned it."""

    def __init__(self, value, unpack, array):
        self.value, self._unpack = value, unpack
        self.shape, self.dtype, self._xp = array.shape, array.dtype, namespace(array)

    @property
    def arrays(self):
        """The arrays that it keeps alive, as far as they can be seen."""
        value = self.value._data if isinstance(self.value, Tensor) else self.value
        values = value if isinstance(value, (tuple, list)) else (value,)
        return [v for v in values if is_array(v)]

    def unpack(self):
        """The array again. Raises RuntimeError if ``unpack`` returned another kind of thing."""
        array = self._unpack(self.value)
        array = array._data if isinstance(array, Tensor) else array
        if type(array) is not self._xp.array_type:
            kind = f"a {type(array).__name__}"
        elif array.shape != self.shape or array.dtype != self.dtype:
            kind = f"an array of shape {array.shape} and type {array.dtype}"
        else:
            return array
        raise RuntimeError(
            f"saved_tensors_hooks: unpack returned {kind}, expected a Tensor or an array of shape "
            f"{self.shape} and type {self.dtype}, as pack was given"
        )


class View:
    """A view of a packed array, of another shape or with its axes in another order."""

    def __init__(self, packed, shape, axes):
        self.packed, self.shape, self.axes = packed, shape, axes

    @property
    def arrays(self):
        return self.packed.arrays

    def unpack(self):
        array = self.packed.unpack().reshape(self.shape)
        return array if self.axes is None else array.transpose(self.axes)


def unpacked(value):
    """An array that may be packed, such as a cache, as an array."""
    return value.unpack() if isinstance(value, (Packed, View)) else value


def arrays_kept(value):
    """The arrays that a saved value keeps alive: itself, or what it was packed into."""
    if isinstance(value, (Packed, View)):
        return value.arrays
    return [value] if is_array(value) else []


class PackedValues(Sequence):
    """What a node saved, of which some may be packed: they are unpacked when they are read."""

    def __init__(self, kept):
        self.kept = kept

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, i):
        return unpacked(self.kept[i])
