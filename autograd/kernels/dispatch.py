"""Which implementation of a fused operation runs: the only place in the project that chooses.

Each folder's ``__init__.py`` exposes ``forward, backward = dispatch(__name__)``: callables that
choose the folder's reference.py, cpu.py (numba) or cuda.py (CuPy) at every call.

- Tensors (a derivative being differentiated) always run the reference.
- "auto": NumPy arrays run cpu.py and CuPy arrays cuda.py, if the folder has one and the arrays suit
  it; otherwise the reference. ``forward.refusal(xp, ...)`` says why a fast kernel would not run.
- A forced mode that cannot run raises RuntimeError.

``room``, what a backward may change in place (``autograd/in_place.py``), is passed to kernels only:
a reference is pure mathematics.

So is ``precision`` (``autograd/precision.py``) passed on only if it is not "float32": a kernel that
has no such option is then as good as none.

float16 has no fast kernel, and its range ends at 65,504, below the square of 256. So the reference
runs in float32, and only the results are rounded to float16: statistics, scores and sums keep the
range and the digits of float32.

CPU kernels share one team of threads, so they run under one process-wide lock. A fork takes it too;
otherwise the child could inherit a lock whose owner does not exist there.
"""

import importlib
import importlib.util
import inspect
import os
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from autograd.device import Namespace

MODES = ("auto", "reference", "cpu", "cuda")
# The mode of all ops, and the modes of those named in ``only``: {op: mode}.
_modes: ContextVar[tuple[str, dict[str, str]]] = ContextVar("kernels", default=("auto", {}))
kernel_lock = threading.RLock()
"""Held while a kernel runs."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=kernel_lock.acquire,
        after_in_parent=kernel_lock.release,
        after_in_child=kernel_lock.release,
    )


class use_kernels:  # noqa: N801 (a context manager, named as no_grad is)
    """Run the fused operations in this context in ``mode``: one of MODES.

    ``with use_kernels("reference"):`` is the way to step through the mathematics in a debugger.
    ``only={"attention"}`` limits the context to these operations, named by their folders in
    autograd/kernels. Raises ValueError for an unknown mode or name.
    """

    def __init__(self, mode: str, only: Iterable[str] | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"unknown kernels {mode!r}: choose one of {', '.join(MODES)}")
        if only is not None:
            known = folders()
            if unknown := sorted(set(only) - set(known)):
                raise ValueError(
                    f"no fused operation is called {unknown[0]!r}: choose among {', '.join(known)}"
                )
        self.mode, self.only = mode, None if only is None else set(only)
        self._tokens: list = []

    def __enter__(self):
        if self.only is None:
            modes = self.mode, {}
        else:
            others, named = _modes.get()
            modes = others, {**named, **dict.fromkeys(self.only, self.mode)}
        self._tokens.append(_modes.set(modes))
        return self

    def __exit__(self, *exc_info):
        _modes.reset(self._tokens.pop())


def runs_reference():
    """Whether this context runs the references of the fused operations (all: not only of some)."""
    return _modes.get()[0] == "reference"


def folders():
    """The names of the fused operations: the folders here that have a reference.py."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/reference.py"))


def contiguous(array):
    """Whether a cpu kernel can read this array from its first number to its last."""
    return array.flags.c_contiguous


def any_layout(array):
    """What a cpu kernel says that copies its arrays anyway."""
    return True


def dispatch(package, *names, takes=contiguous):
    """The functions ``names`` (forward and backward) of a kernel folder, as Kernels.

    ``takes(array)`` says whether the cpu kernel can read an array as it lies in memory.
    """
    return tuple(Kernel(package, name, takes) for name in names or ("forward", "backward"))


class Kernel:
    """One function of a kernel folder: a call runs the implementation that suits its arrays."""

    def __init__(self, package, name, takes=contiguous):
        self.package, self.name, self.takes = package, name, takes
        self.op = package.rpartition(".")[2]
        self._implementations, self._options = {}, {}

    def __call__(self, xp, *args, room=None, precision="float32", **kwargs):
        if precision != "float32":
            kwargs["precision"] = precision
        others, named = _modes.get()
        mode = named.get(self.op, others)
        if mode == "reference" or not isinstance(xp, Namespace):
            return self.reference(xp, *args, **kwargs)
        target = xp.device
        reason = self.refusal(xp, *args, **kwargs)
        if mode not in ("auto", target):
            reason = f"the arrays belong to {xp.name}"
        if reason is not None:
            if mode != "auto":
                raise RuntimeError(f"{self.op}.{self.name} cannot run its {mode} kernel: {reason}")
            return self.reference(xp, *args, **kwargs)
        if room is not None and "room" in self.options(target):
            kwargs["room"] = room
        if target != "cpu":
            return self.implementation(target)(xp, *args, **kwargs)
        with kernel_lock:
            return self.implementation(target)(xp, *args, **kwargs)

    def reference(self, xp, *args, **kwargs):
        """Run reference.py. float16 is computed in float32, and the results are rounded."""
        function = self.implementation("reference")
        dtypes = [a.dtype for a in (*args, *kwargs.values()) if _is_float(a)]
        if np.float16 not in dtypes or self.name not in ("forward", "backward"):
            return function(xp, *args, **kwargs)

        def convert(value, dtype):
            return xp.astype(value, dtype) if _is_float(value) else value

        kwargs.pop("precision", None)  # it is one of float32 arrays
        args = [convert(a, np.float32) for a in args]
        kwargs = {name: convert(a, np.float32) for name, a in kwargs.items()}
        result = function(xp, *args, **kwargs)
        if any(dtype != np.float16 for dtype in dtypes):  # mixed: NumPy's result is the wider type
            return result
        if not isinstance(result, tuple):
            return convert(result, np.float16)
        if self.name == "forward":  # (output, cache): the cache stays in float32
            return convert(result[0], np.float16), *result[1:]
        return tuple(convert(a, np.float16) for a in result)

    def implementation(self, kind):
        """The function in reference.py, cpu.py or cuda.py; None if there is none."""
        if kind not in self._implementations:
            module = f"{self.package}.{kind}"
            function = None
            if importlib.util.find_spec(module) is not None and (kind != "cpu" or compiling()):
                function = getattr(importlib.import_module(module), self.name, None)
            self._implementations[kind] = function
        return self._implementations[kind]

    def options(self, kind):
        """The names of the arguments of an implementation."""
        if kind not in self._options:
            self._options[kind] = set(inspect.signature(self.implementation(kind)).parameters)
        return self._options[kind]

    def refusal(self, xp, *args, **kwargs):
        """Why the fast kernel cannot run these arguments, as a sentence; None if it can."""
        target = xp.device
        if self.implementation(target) is None:
            if target == "cpu" and not compiling():
                return "numba compiles nothing, since NUMBA_DISABLE_JIT is set"
            return f"autograd/kernels/{self.op} has no {target} kernel for {self.name}"
        for option in kwargs:
            if option not in self.options(target):
                return f"the {target} kernel has no option {option}"
        if target != "cpu":
            return None
        dtypes = set()
        for array in _arrays((*args, *kwargs.values())):
            if array.dtype.kind == "f":
                dtypes.add(array.dtype)
            if not self.takes(array) or not array.flags.aligned:
                return f"it cannot read an array {array.shape} with the strides {array.strides}"
        if len(dtypes) > 1:
            return f"the arrays mix {' and '.join(sorted(map(str, dtypes)))}"
        if not dtypes or not dtypes <= _FAST_DTYPES:
            kind = dtypes.pop() if dtypes else "integers"
            return f"there is no kernel for {kind}, only for float32 and float64"
        return None


def compiling():
    """Whether there are compiled kernels: numba compiles nothing if NUMBA_DISABLE_JIT is set."""
    from autograd.kernels import _jit  # loads numba: not before a kernel is needed

    return _jit.COMPILING


_FAST_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}


def _is_float(value):
    """Whether this is a floating-point array of any library, or a floating-point Tensor."""
    return getattr(getattr(value, "dtype", None), "kind", None) == "f"


def _arrays(values):
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple):
            yield from _arrays(value)
