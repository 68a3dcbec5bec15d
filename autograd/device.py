"""The array libraries that the engine computes with, and which of them an array belongs to.

A library is registered with the type of its arrays and the name of its device, by which
``Tensor.to`` finds it: NumPy is "cpu", CuPy is "cuda". CuPy is registered the first time its device
is asked for or one of its arrays is met. Importing this module never imports CuPy.

No array moves between libraries unless the user asks for it, with one exception. Arrays that have
no derivative (token ids, targets, masks, indices) are copied from main memory to the device of the
inputs.
"""

import sys

import numpy as np

from autograd._namespace import Namespace


class DeviceError(RuntimeError):
    """The device does not exist here; the message says what is missing and how to get it."""


def _itself(array):
    return array


numpy_namespace = Namespace(np, np.ndarray, "cpu", _itself)
namespaces = {np.ndarray: numpy_namespace}
"""Type of array -> its namespace. ``namespace`` adds the subclasses that it meets."""
_devices = {"cpu": numpy_namespace}


def register(array_type, module, device=None, to_numpy=None):
    """Let the engine compute on arrays of ``array_type`` with the functions of ``module``.

    The functions must have NumPy's names and signatures, and ``module.asarray`` must accept NumPy
    arrays. ``device`` is the name for ``Tensor.to`` (None: the module's name). ``to_numpy(array)``
    copies an array to main memory (None: calls ``array.get()``, as CuPy's arrays need). Returns the
    namespace. Raises ValueError if another library is registered for that device.
    """
    device = module.__name__ if device is None else device
    if device in _devices and _devices[device].array_type is not array_type:
        raise ValueError(
            f"device name {device!r} is already registered for {_devices[device].name}"
        )
    xp = Namespace(module, array_type, device, to_numpy or (lambda array: array.get()))
    namespaces[array_type] = _devices[device] = xp
    return xp


def namespace(value):
    """The namespace of the library that an array belongs to; of a number, NumPy's.

    Raises TypeError if no registered library has arrays of this type.
    """
    xp = namespaces.get(type(value))
    return _look_up(type(value)) if xp is None else xp


def is_array(value):
    """Whether ``value`` is an array of a registered library (a NumPy subclass counts)."""
    return type(value) in namespaces or _find(type(value)) is not None


def namespace_on(device):
    """The namespace of the arrays on ``device``: "cpu", "cuda" or another registered name.

    Raises DeviceError if no device has this name, or if "cuda" lacks CuPy or a GPU.
    """
    if device not in _devices:
        if device != "cuda":
            known = ", ".join(sorted({*_devices, "cuda"}))
            raise DeviceError(f"there is no device {device!r}: choose one of {known}")
        cupy = _import_cupy()
        register(cupy.ndarray, cupy, "cuda")
    return _devices[device]


on_device = namespace_on  # its earlier name


def _import_cupy():
    """The module cupy. Raises DeviceError without it, or without a GPU that it can use."""
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
            f"CuPy {cupy.__version__} finds no CUDA GPU ({reason}): check that nvidia-smi lists a "
            "GPU and that the driver is new enough, or compute on the device cpu"
        )
    return cupy


def to_numpy(array):
    """An array of any registered library as a NumPy array (itself if it is one)."""
    return namespace(array).to_numpy(array)


def bring(xp, array):
    """An array of any registered library as an array of ``xp`` (itself if it is one)."""
    return array if isinstance(array, xp.array_type) else xp.asarray(to_numpy(array))


def bring_constants(xp, node):
    """Bring the NumPy arrays that an operation holds (ids, targets, a mask) to its inputs' library.

    These arrays have no derivative, so the caller of an operation need not know which device it
    runs on.
    """
    attributes = vars(node)
    for name, value in attributes.items():
        attributes[name] = _bring_constant(xp, value)


def _bring_constant(xp, value):
    if isinstance(value, np.ndarray):
        return xp.asarray(value)
    return tuple(_bring_constant(xp, v) for v in value) if type(value) is tuple else value


def refuse_mixture(op, arrays):
    """Raise TypeError if the inputs of an operation are on different devices."""
    devices = list(dict.fromkeys(namespace(a).device for a in arrays if is_array(a)))
    if len(devices) > 1:
        raise TypeError(
            f"the inputs of {op} are on the devices {' and '.join(devices)}: move them to one with "
            "Tensor.to(device)"
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
    xp = _find(array_type)
    if xp is None and issubclass(array_type, (float, int, np.generic)):  # what a sum may give
        return numpy_namespace
    if xp is None:
        known = ", ".join(f"{t.__module__}.{t.__qualname__}" for t in namespaces)
        raise TypeError(
            f"no array library is registered for {array_type.__module__}.{array_type.__qualname__} "
            f"(known: {known}): convert it, or call autograd.device.register(type, module)"
        )
    namespaces[array_type] = xp
    return xp
