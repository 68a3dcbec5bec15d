"""The computation on a tape, run again: with a number changed, or in another type.

A tape keeps every call with its arguments. So the loss can be computed again as a function of any
tensor on it, one that the user made or one that was computed on the way: the tensor is given other
numbers, and every call that depends on it runs once more, with the forward of its own operation.
The loss then answers what a gradient claims: by how much it changes if this number does.

Two things are done with it. ``Replay`` runs the forwards alone, on arrays, since a measurement by
differences needs many of them. ``engine_gradients`` builds the graph again from Tensors and lets
the engine differentiate it, in float64.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.debug.explorer.held import alike
from autograd.debug.explorer.replay_ops import call_again, forward_of
from autograd.debug.explorer.tape import Call, Tape, Value, is_ours
from autograd.device import is_array, numpy_namespace
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels


class CannotReplayError(ValueError):
    """The loss cannot be computed again as a function of a tensor; the message says why."""


def replay(
    tape: Tape, changes: Mapping[int, Any] | None = None, dtype: Any = None
) -> list[np.ndarray | None]:
    """The array of every value on ``tape``, with the values named in ``changes`` replaced.

    ``changes`` maps an index of ``tape.values`` to an array of the same shape. Every call that
    depends on a change is computed again, and what it gives replaces the recorded array. With a
    ``dtype`` all leaves and constants of a floating-point type are converted first, and every call
    is computed again. A value whose array nobody kept is None.

    Raises CannotReplayError where a call that must run cannot.
    """
    return Replay(tape, dtype).run(changes or {})


class Replay:
    """A tape that can be run again and again, in one type. ``arrays`` are its unchanged values."""

    def __init__(self, tape: Tape, dtype: Any = None) -> None:
        self.tape = tape
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.problems: dict[int, str] = {}  # index of a call -> why it cannot run again
        self._forwards: list[Any] = [forward_of(call.op, self.dtype) for call in tape.calls]
        self._last_path: tuple[int, list[Call]] | None = None
        self._leading = _leading_to_the_loss(tape)
        self.arrays = self._first_run()
        self._blocked, self.first_use = self._look_ahead()

    # --- running ---------------------------------------------------------------------------------

    def run(self, changes: Mapping[int, Any]) -> list[np.ndarray | None]:
        """All arrays after the ``changes``, {index of a value: array}."""
        arrays, changed = list(self.arrays), set(changes)
        for index, array in changes.items():
            arrays[index] = self._fitting(self.tape.values[index], array)
        with use_kernels("reference"), np.errstate(all="ignore"):
            for call in self.tape.calls:
                out = call.out.index
                if out in changes or not any(_is_one_of(a, changed) for a in call.args):
                    continue
                if call.index in self.problems:
                    raise CannotReplayError(self.problems[call.index])
                arrays[out] = self._compute(call, arrays)
                changed.add(out)
        return arrays

    def loss_at(self, index: int, array: np.ndarray) -> float:
        """The loss with ``array`` in place of value ``index``: only calls in between run."""
        path = self.path(index)
        arrays: dict[int, Any] = {index: array}
        with use_kernels("reference"), np.errstate(all="ignore"):
            for call in path:
                arrays[call.out.index] = self._compute(call, arrays)
        return float(arrays[self.tape.loss.index].reshape(())[()])

    @property
    def loss(self) -> float:
        """The loss without any change; NaN where it could not be computed again."""
        array = self.arrays[self.tape.loss.index]
        return math.nan if array is None else float(array.reshape(())[()])

    def refusal(self, index: int) -> str:
        """Why the loss cannot be computed as a function of value ``index``; "" if it can."""
        value = self.tape.values[index]
        if self.arrays[index] is None:
            return self._missing(value)
        if value is not self.tape.loss and index not in self.first_use:
            again = ": it was computed a second time, during backward" if value.call else ""
            return f"no recorded call leads from {value.key} to the loss{again}"
        return self._blocked.get(index, "")

    def path(self, index: int) -> list[Call]:
        """The calls between value ``index`` and the loss, in order.

        Raises CannotReplayError with the ``refusal``.
        """
        if self._last_path is None or self._last_path[0] != index:
            if refusal := self.refusal(index):
                raise CannotReplayError(refusal)
            changed, path = {index}, []
            for call in self.tape.calls[self.first_use.get(index, len(self.tape.calls)) :]:
                if call.index in self._leading and any(_is_one_of(a, changed) for a in call.args):
                    changed.add(call.out.index)
                    path.append(call)
            self._last_path = index, path
        return self._last_path[1]

    def _look_ahead(self):
        """What lies between each value and the loss.

        A call that cannot run: {index of a value: why}. The first call: {index: index of a call}.
        """
        blocked: dict[int, str] = {}
        first_use: dict[int, int] = {}
        for call in reversed(self.tape.calls):
            if call.index not in self._leading:
                continue
            problem = self.problems.get(call.index) or blocked.get(call.out.index)
            for arg in call.args:
                if isinstance(arg, Value):
                    first_use[arg.index] = call.index
                    if problem:
                        blocked[arg.index] = problem
        return blocked, first_use

    # --- one call --------------------------------------------------------------------------------

    def _compute(self, call, arrays):
        """The output of ``call``. ``arrays`` are those that have changed (a list: all)."""
        get = arrays.__getitem__ if type(arrays) is list else self._or_unchanged(arrays)
        args = [get(a.index) if isinstance(a, Value) else a for a in call.args]
        try:
            data = call.op.as_array(numpy_namespace, self._forwards[call.index](*args))
        except Exception as error:  # whatever an operation, or the user's code, makes of the change
            raise CannotReplayError(
                f"{call.name} cannot run with other numbers: {error}"
            ) from error
        if self.dtype is not None and data.dtype.kind == "f" and data.dtype != self.dtype:
            data = data.astype(self.dtype)
        return data

    def _or_unchanged(self, changed):
        arrays = self.arrays
        return lambda index: changed[index] if index in changed else arrays[index]

    def _first_run(self):
        """The unchanged arrays; notes the calls that cannot run, or that give something else."""
        arrays: list[Any] = [self._start(value) for value in self.tape.values]
        with use_kernels("reference"), np.errstate(all="ignore"):
            for call in self.tape.calls:
                problem, data = self._try(call, arrays)
                recorded = call.out.array
                if problem is not None:
                    self.problems[call.index] = problem
                    data = recorded if self.dtype is None else self._cast(recorded)
                elif self.dtype is None and recorded is not None:
                    data = recorded  # bit for bit what the engine computed
                arrays[call.out.index] = data
        return arrays

    def _try(self, call, arrays):
        """(None, output), or (why the call cannot run again, None)."""
        name = call.name
        if call.unseen:
            return (
                f"nobody saw how {call.out.key} was computed, in a recomputed segment: give "
                "explore a function that computes the loss"
            ), None
        for arg in call.args:
            if arg is None or (isinstance(arg, Value) and arrays[arg.index] is None):
                what = self._missing(arg) if isinstance(arg, Value) else "an input was not kept"
                return f"{name} cannot run again: {what}", None
        try:
            args = [arrays[a.index] if isinstance(a, Value) else a for a in call.args]
            data = call.op.as_array(numpy_namespace, self._forwards[call.index](*args))
        except Exception as error:
            return f"{name} cannot run again: {error}", None
        if data.dtype.kind == "f" and self.dtype is not None and data.dtype != self.dtype:
            narrow = data.dtype.itemsize < self.dtype.itemsize
            if narrow and any(_is_float(a, self.dtype) for a in args):
                return f"{name} computes in {data.dtype}, whatever it is given", None
            data = data.astype(self.dtype)
        if data.shape != call.out.shape or not alike(data, call.out.array, args):
            return f"{name} gave other numbers when it ran again: it is not the same function", None
        return None, data

    def _start(self, value):
        """The array of a value before any call has run."""
        return None if value.call is not None else self._cast(value.array)

    def _cast(self, array):
        if array is None:
            return None
        array = np.asarray(array)
        floating = self.dtype is not None and array.dtype.kind == "f"
        return array.astype(self.dtype, copy=False) if floating else array

    def _fitting(self, value, array):
        """A change as an array of the value's shape and type."""
        unchanged = self.arrays[value.index]
        array = np.asarray(array)
        if array.shape != value.shape:
            raise ValueError(
                f"the change of {value.key} has shape {array.shape}, expected {value.shape}"
            )
        return array if unchanged is None else array.astype(unchanged.dtype, copy=False)

    @staticmethod
    def _missing(value):
        return (
            f"nobody kept the array of {value.key}: give explore a function that computes the "
            "loss, and all of them are known"
        )


def _is_one_of(arg, indices):
    return isinstance(arg, Value) and arg.index in indices


def _is_float(x, dtype):
    return is_array(x) and x.dtype == dtype


def _leading_to_the_loss(tape):
    """The indices of the calls that the loss was computed from."""
    wanted, leading = {tape.loss.index}, set()
    for call in reversed(tape.calls):
        if call.out.index in wanted:
            leading.add(call.index)
            wanted |= {a.index for a in call.args if isinstance(a, Value)}
    return leading


# --- the engine's gradients ---------------------------------------------------------------------


def engine_gradients(
    run: Replay, nudge: np.random.Generator | None = None, eps: float = 0.0
) -> list[np.ndarray | None]:
    """The gradient of every value, by the engine's own backward of the graph, built again.

    ``run`` says in which type. The result has an array for each value that has a node and that the
    gradient reaches, otherwise None.

    With ``nudge``, every number and every gradient on the way is multiplied by 1 + u, with u drawn
    evenly between -eps and eps: what rounding does in a type whose precision is eps, seen from
    outside. How far a gradient moves then is how well it can be known.
    """

    def nudged(array):
        return array * (1 + eps * nudge.uniform(-1, 1, array.shape))

    tape = run.tape
    tensors: list[Any] = []
    with use_kernels("reference"), enable_grad(), np.errstate(all="ignore"):
        for value in tape.values:
            tensors.append(None if value.call else _leaf(value, run.arrays[value.index]))
        for call in tape.calls:
            args = [tensors[a.index] if isinstance(a, Value) else a for a in call.args]
            if call.index in run.problems or any(a is None for a in args):
                continue
            try:
                y = call_again(call.op, args, run.dtype)
            except Exception:  # an operation of the user's that refuses these numbers, or the type
                if is_ours(type(call.op)):
                    raise
                continue
            if nudge is not None and y._node is not None:
                y._data = nudged(y._data)
                y.register_hook(lambda g: Tensor(nudged(g.data)))
            tensors[call.out.index] = y
        loss = tensors[tape.loss.index]
        wanted = [v for v in tape.values if _has_node(tensors[v.index])]
        if not _has_node(loss):
            return [None] * len(tape.values)
        try:
            found = grad(loss, [tensors[v.index] for v in wanted], allow_unused=True)
        except Exception:  # as above, in backward
            if all(is_ours(type(call.op)) for call in tape.calls):
                raise
            return [None] * len(tape.values)
    gradients: list[Any] = [None] * len(tape.values)
    for value, g in zip(wanted, found, strict=True):
        gradients[value.index] = None if g is None else g.data
    return gradients


def _leaf(value, array):
    """A Tensor for a value that was not computed; it requires a gradient if the value did."""
    if array is None:
        return None
    return Tensor(array, requires_grad=value.node is not None and array.dtype.kind == "f")


def _has_node(tensor):
    return tensor is not None and tensor._node is not None
