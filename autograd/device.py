"""Which array library an array belongs to, and the namespace of functions to compute on it with.

Every formula of the project is written against a namespace ``xp``: NumPy's functions, or CuPy's,
or (to differentiate a derivative) our own ``autograd.ops``. NumPy lacks a few pure functions that
a language model needs (``erf``, ``sigmoid``, ``logsumexp``, ``scatter_add``); they are added here,
once, in terms of the library they are added to.

A library is registered with the type of its arrays, and has a device, the name by which
``Tensor.to`` finds it: "cpu" is NumPy, "cuda" is CuPy. CuPy is registered the first time somebody
asks for that device, or one of its arrays is met: importing this module never imports CuPy.

Nothing is copied between libraries behind the user's back, with one exception: arrays that have no
derivative (token ids, targets, masks, indices) come up from main memory to where the numbers are.
"""

import sys

import numpy as np

from autograd._erf import erf


class Namespace:
    """The functions of an array library (``np``, ``cupy``), and the pure ones it lacks."""

    def __init__(self, module, array_type, device, to_numpy):
        self._module = module
        self.array_type, self.device, self.to_numpy = array_type, device, to_numpy
        self.name = module.__name__

    def __getattr__(self, name):
        value = getattr(self._module, name)
        setattr(self, name, value)  # next time found at once
        return value

    def __repr__(self):
        return f"<array namespace {self.name}>"

    def floating(self, x):
        """x as floats; integers and booleans get the type that NumPy's exp gives of them."""
        if x.dtype.kind == "f":
            return x
        return x.astype(np.result_type(x.dtype, np.float16))

    def erf(self, x):
        """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
        return erf(self, self.floating(self.asarray(x)))

    def sigmoid(self, x):
        """1 / (1 + exp(-x)), without overflow: exp is only ever taken of -|x|."""
        x = self.floating(self.asarray(x))
        e = self.exp(-self.abs(x))
        return self.where(x >= 0, 1 / (1 + e), e / (1 + e))

    def sum(self, x, axis=None, keepdims=False):
        """The sum. Of float16 it is added up in float32 and rounded once, as NumPy's mean is.

        NumPy's own stops growing at 2048, where 1 is less than half of the last bit.
        """
        dtype = getattr(x, "dtype", None)  # None: a list
        if dtype is None or dtype.char != "e":
            return self._module.sum(x, axis=axis, keepdims=keepdims)
        total = self._module.sum(x, axis=axis, keepdims=keepdims, dtype=self.float32)
        return self.astype(total, dtype)

    def logsumexp(self, x, axis=None, keepdims=False):
        """log(sum(exp(x))), with the maximum taken out first so that exp cannot overflow."""
        x = self.floating(self.asarray(x))
        if x.dtype.char == "e":  # the sum may be beyond it, and its logarithm is not
            wide = self.logsumexp(self.astype(x, self.float32), axis, keepdims)
            return self.astype(wide, x.dtype)
        if x.size == 0:  # no maximum: the sum of nothing is 0, and its logarithm -inf
            top = self.sum(x, axis=axis, keepdims=True)
        else:
            top = self.max(x, axis=axis, keepdims=True)
        top = self.where(self.isfinite(top), top, 0)  # a row of -inf gives -inf, not NaN
        with np.errstate(divide="ignore"):
            y = self.log(self.sum(self.exp(x - top), axis=axis, keepdims=True)) + top
        y = self.asarray(y, dtype=x.dtype)
        return y if keepdims else self.squeeze(y, axis=axis)

    def scatter_add(self, shape, index, values):
        """Zeros of ``shape`` with ``values`` added at ``index``; repeated places add up."""
        y = self.zeros(shape, dtype=values.dtype)
        self.add_at(y, index, values)
        return y

    def astype(self, x, dtype):
        return x.astype(dtype, copy=False)

    def add_at(self, buffer, index, values):
        """``buffer[index] += values`` in place, counting repeated places once each."""
        if is_basic_index(index):
            buffer[index] += values
        else:
            self.add.at(buffer, index, values)


def is_basic_index(index):
    """Whether indexing with ``index`` makes a view: integers, slices, None and Ellipsis only."""
    items = index if isinstance(index, tuple) else (index,)
    return all(
        item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice))
        for item in items
    ) and not any(isinstance(item, (bool, np.bool_)) for item in items)


class DeviceError(RuntimeError):
    """There is no such device here; the message says what is missing and how to get it."""


def _itself(array):
    return array


numpy_namespace = Namespace(np, np.ndarray, "cpu", _itself)
namespaces = {np.ndarray: numpy_namespace}
"""From the type of an array to its namespace. ``namespace`` finds what is not in here yet."""
_devices = {"cpu": numpy_namespace}


def register(array_type, module, device=None, to_numpy=None):
    """Let the engine compute on arrays of ``array_type`` with the functions of ``module``.

    The functions have NumPy's names and signatures, and ``module.asarray`` takes NumPy arrays.
    ``device`` is the name for ``Tensor.to`` (None: the module's); ``to_numpy`` copies one of the
    arrays to main memory (None: calls the array's method ``get``, which CuPy's have). Returns the
    namespace. Raises ValueError when another library has that device.
    """
    device = module.__name__ if device is None else device
    if device in _devices and _devices[device].array_type is not array_type:
        raise ValueError(f"the device {device!r} belongs to {_devices[device].name} already")
    found = Namespace(module, array_type, device, to_numpy or (lambda array: array.get()))
    namespaces[array_type] = _devices[device] = found
    return found


def namespace(array):
    """The namespace an array belongs to.

    Raises TypeError when no registered library has arrays of this type.
    """
    found = namespaces.get(type(array))
    if found is None:
        found = _look_up(type(array))
    return found


def is_array(value):
    """Whether ``value`` is an array of a registered library (a NumPy subclass counts)."""
    return type(value) in namespaces or _find(type(value)) is not None


def on_device(device):
    """The namespace of the arrays on ``device``: "cpu", "cuda" or a registered name.

    Raises DeviceError for an unknown name, and for "cuda" without CuPy or without a GPU.
    """
    if device not in _devices:
        if device != "cuda":
            known = ", ".join(sorted({*_devices, "cuda"}))
            raise DeviceError(f"there is no device {device!r}: choose one of {known}")
        cupy = _import_cupy()
        register(cupy.ndarray, cupy, "cuda")
    return _devices[device]


def _import_cupy():
    """CuPy, where it and a GPU that it can use are there."""
    try:
        import cupy
    except ImportError as error:
        what = "is not installed" if error.name == "cupy" else f"cannot be imported ({error})"
        raise DeviceError(
            f"the device cuda needs CuPy, which {what}: install this project with its extra "
            "gpu-cuda12 or gpu-cuda13, whichever CUDA version the driver has (nvidia-smi says), or "
            "compute on the device cpu"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        reason = "there is none"
    except cupy.cuda.runtime.CUDARuntimeError as error:  # no driver, or one too old
        count, reason = 0, str(error)
    if count == 0:
        raise DeviceError(
            f"CuPy {cupy.__version__} finds no CUDA GPU ({reason}): look whether nvidia-smi lists "
            "one and the driver is new enough, or compute on the device cpu"
        )
    return cupy


def to_numpy(array):
    """An array of any registered library in main memory; one that is there already, as it is."""
    return namespace(array).to_numpy(array)


def bring(xp, array):
    """An array of any registered library as one of ``xp``; one of its own, as it is."""
    return array if isinstance(array, xp.array_type) else xp.asarray(to_numpy(array))


def bring_constants(xp, node):
    """Bring the NumPy arrays that an operation holds (ids, targets, a mask) to its inputs' library.

    They are all it keeps besides its inputs' values, and have no derivative: whoever calls an
    operation need not know where it computes.
    """
    attributes = vars(node)
    for name, value in attributes.items():
        attributes[name] = _brought(xp, value)


def _brought(xp, value):
    if isinstance(value, np.ndarray):
        return xp.asarray(value)
    return tuple(_brought(xp, v) for v in value) if type(value) is tuple else value


def refuse_mixture(op, arrays):
    """Raise TypeError if these inputs of an operation belong to several array libraries."""
    found = {namespace(a).device: None for a in arrays if is_array(a)}  # in order
    if len(found) > 1:
        raise TypeError(
            f"{op} was given arrays on the devices {' and '.join(found)}: bring them together "
            "with Tensor.to(device)"
        )


def _find(array_type):
    if array_type.__module__.partition(".")[0] == "cupy" and "cupy" in sys.modules:
        cupy = sys.modules["cupy"]
        if cupy.ndarray not in namespaces:
            register(cupy.ndarray, cupy, "cuda")
    for base in array_type.__mro__:
        if base in namespaces:
            return namespaces[base]
    return None


def _look_up(array_type):
    found = _find(array_type)
    if found is None:
        known = ", ".join(f"{t.__module__}.{t.__qualname__}" for t in namespaces)
        raise TypeError(
            f"no array library is registered for {array_type.__module__}.{array_type.__qualname__} "
            f"(known: {known}): convert it, or call autograd.device.register(type, module)"
        )
    namespaces[array_type] = found
    return found
