"""What all optimizers share: parameters by name, groups, checks, and the state that is saved.

An optimizer's own part is its rule: the arrays that it remembers of a parameter (``_kinds``) and
what a step makes of parameter, gradient and these arrays (``_update``).

**Groups.** Parameters may have a learning rate and a decay of their own:

    AdamW([
        {"params": head.named_parameters(), "lr": 1e-3},
        {"params": vectors, "weight_decay": 0.0},
    ], lr=1e-4, weight_decay=0.1)

A schedule sets ``optimizer.lr`` before each step, and the rates of all groups change in proportion:
here the head's stays ten times that of the others.
"""

import difflib
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np

from autograd import Parameter, Tensor
from autograd.device import Namespace, bring, namespace, to_numpy
from tinygrad_llm.errors import UserError
from tinygrad_llm.training.optim.parameters import (
    by_name,
    check_parameter,
    refuse_shared_memory,
    refuse_what_cannot_learn,
)

Named = Parameter | tuple[str, Parameter]
Params = Iterable[Named] | Iterable[Mapping[str, Any]]
"""Parameters, pairs (name, Parameter), or groups of them."""

NOT_NEGATIVE = "a finite number, at least 0"
BELOW_ONE = "at least 0 and below 1"
_RANGES = {NOT_NEGATIVE: math.inf, BELOW_ONE: 1.0}


class Update(NamedTuple):
    """The numbers of one step of one parameter."""

    lr: float
    weight_decay: float
    step: int
    """Counted from 1."""
    grad_scale: float
    """Factor of the gradient."""


@dataclass
class Group:
    """Parameters with a learning rate and a decay of their own."""

    params: dict[str, Tensor]
    lr_ratio: float = 1.0
    """Their learning rate, as a multiple of the optimizer's."""
    weight_decay: float | None = None
    """Decay of all of them; None means the optimizer's, and only for matrices and embeddings."""


class Optimizer(ABC):
    """Moves parameters against their gradients: the base class of SGD, AdamW and Muon.

    ``params`` are Parameters or pairs (name, Parameter) as from ``model.named_parameters()``;
    without names they are called "0", "1", ... The parameters of two modules may have the same
    names: then give them different ones. Or they are groups, as at the top of this file.

    ``weight_decay`` is that of tensors of two or more dimensions: matrices and embeddings, but no
    bias and no layer norm, whose scale matters (as in nanoGPT). A group's own decay is that of all
    its tensors. ``lr``, ``weight_decay`` and those of ``groups`` may be changed before any step.

    Raises TypeError for a parameter that is not a Tensor and an option that is not a number, and
    ValueError for a name or a parameter that appears twice, a tensor that was computed, an array
    that is read-only or shared by two parameters, several matrices that are all zero (nothing would
    move them), parameters of which none requires a gradient, an unknown key of a group, and numbers
    outside their range.
    """

    def __init__(self, params: Params, lr: float, weight_decay: float) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self._check_number("lr", lr, NOT_NEGATIVE)
        self.groups: list[Group] = self._groups(params)
        self.params: dict[str, Tensor] = {n: p for g in self.groups for n, p in g.params.items()}
        if not self.params:
            raise ValueError(f"{self._kind} was given no parameters")
        refuse_shared_memory(self._kind, self.params)
        refuse_what_cannot_learn(self._kind, self.params)
        self._check_numbers()
        self._state: dict[str, tuple] = {}  # name -> arrays of the parameter's shape
        self._steps: dict[str, int] = {}  # per parameter, since any step may skip one

    # --- the rule, which each optimizer has of its own --------------------------------------------

    @abstractmethod
    def _kinds(self, name: str) -> tuple[str, ...]:
        """What is remembered of a parameter: the names of arrays of its shape, zero at first."""

    @abstractmethod
    def _update(
        self, xp: Namespace, name: str, p: Any, g: Any, state: tuple, u: Update
    ) -> tuple[Any, tuple]:
        """(new parameter, new state), from arrays of one shape and type."""

    @abstractmethod
    def _numbers(self) -> Iterable[tuple[str, float, str]]:
        """(name, value, range) of the options that are checked before each step."""

    remembered: ClassVar[str]
    """The arrays of ``_kinds`` in words: "AdamW's two moments"."""

    def state_size(self) -> int:
        """How many numbers are remembered once all parameters have had a step."""
        return sum(p.size * len(self._kinds(name)) for name, p in self.params.items())

    @property
    def param_groups(self) -> NoReturn:
        """PyTorch's dictionaries, which are not here: a change of one must not be lost."""
        raise AttributeError(
            f"{self._kind} has no param_groups: set .lr and .weight_decay of the optimizer, or "
            ".lr_ratio and .weight_decay of one of its .groups"
        )

    # --- one step ------------------------------------------------------------------------------

    def step(self, grad_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient, which is first multiplied by ``grad_scale``.

        A parameter without a gradient is left alone: no decay, and no step is counted. Raises
        ValueError, before anything is changed, for numbers out of range, and for a parameter whose
        shape or type differs from that of its gradient or of its last step.
        """
        self._check_numbers()
        if not math.isfinite(grad_scale):
            raise ValueError(f"{self._kind}: grad_scale is {grad_scale}, expected a finite number")
        for name, p in self.params.items():
            if p.grad is not None:
                self._check_shapes(name, p, p.grad.data)
        for group in self.groups:
            for name, p in group.params.items():
                if p.grad is not None:
                    self._step(name, p, p.grad.data, group, grad_scale)

    def _step(self, name: str, p: Tensor, g: Any, group: Group, grad_scale: float) -> None:
        xp = namespace(p.data)
        if name in self._state:  # the model may have been moved to another device
            state = tuple(bring(xp, array) for array in self._state[name])
        else:
            state = tuple(xp.zeros_like(p.data) for _ in self._kinds(name))
        step = self._steps[name] = self._steps.get(name, 0) + 1
        own = group.weight_decay
        decay = own if own is not None else self.weight_decay if p.ndim >= 2 else 0.0
        update = Update(self.lr * group.lr_ratio, decay, step, grad_scale)
        new, state = self._update(xp, name, p.data, g, state, update)
        p.assign_(new)
        self._state[name] = tuple(xp.asarray(array) for array in state)  # 0-d: a NumPy scalar

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params.values():
            p.zero_grad()

    # --- checks --------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        return type(self).__name__

    def _check_numbers(self) -> None:
        """Raise for a learning rate or another number that would spoil the weights."""
        common = [("lr", self.lr, NOT_NEGATIVE), ("weight_decay", self.weight_decay, NOT_NEGATIVE)]
        for number, group in enumerate(self.groups):
            common.append((f"lr_ratio of group {number}", group.lr_ratio, NOT_NEGATIVE))
            if group.weight_decay is not None:
                common.append((f"weight_decay of group {number}", group.weight_decay, NOT_NEGATIVE))
        for name, value, expected in (*common, *self._numbers()):
            self._check_number(name, value, expected)

    def _check_number(self, name: str, value: Any, expected: str) -> None:
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{self._kind}: {name} is {value!r}, expected a number")
        if not 0 <= value < _RANGES[expected]:  # NaN is in no range
            raise ValueError(f"{self._kind}: {name} is {value}, expected {expected}")

    def _pair(self, name: str, value: Any) -> tuple[float, float]:
        if not isinstance(value, Sequence) or len(value) != 2:
            raise TypeError(f"{self._kind}: {name} is {value!r}, expected a pair of numbers")
        return value[0], value[1]

    def _check_shapes(self, name: str, p: Tensor, g: Any) -> None:
        check_parameter(self._kind, name, p)
        last = self._state.get(name, ())[:1]  # all have the same shape and type
        for what, array in (("gradient", g), *(("state of the last step", a) for a in last)):
            if array.shape != p.shape or array.dtype != p.dtype:
                raise ValueError(
                    f"{self._kind}: parameter {name} is {p.dtype} {p.shape} and its {what} is "
                    f"{array.dtype} {array.shape}: after a parameter was replaced, zero its "
                    "gradient and make a new optimizer"
                )

    # --- the groups ----------------------------------------------------------------------------

    def _groups(self, params: Params) -> list[Group]:
        if not isinstance(params, Sequence) or not any(isinstance(g, Mapping) for g in params):
            return [Group(by_name(self._kind, params))]
        items: list[list[Any]] = []
        for number, given in enumerate(params):
            self._check_group(number, given)
            items.append(list(given["params"]))
        named = iter(by_name(self._kind, itertools.chain(*items)).items())
        return [
            Group(
                dict(itertools.islice(named, len(some))),
                given["lr"] / self.lr if "lr" in given else 1.0,
                given.get("weight_decay"),
            )
            for given, some in zip(params, items, strict=True)
        ]

    def _check_group(self, number: int, given: Any) -> None:
        keys = ("params", "lr", "weight_decay")
        if not isinstance(given, Mapping) or "params" not in given:
            raise TypeError(
                f"{self._kind}: group {number} is {_short(given)}, expected a dict such as "
                '{"params": module.named_parameters(), "lr": 1e-3}'
            )
        if isinstance(given["params"], Tensor) or not isinstance(given["params"], Iterable):
            raise TypeError(
                f"{self._kind}: params of group {number} is one {type(given['params']).__name__}, "
                "expected several parameters: module.named_parameters()"
            )
        for key in given:
            if key not in keys:
                near = difflib.get_close_matches(str(key), keys, 1)
                raise ValueError(
                    f"{self._kind}: group {number} has the key {key!r}"
                    + (f", perhaps {near[0]!r}?" if near else f", expected {', '.join(keys)}")
                )
        if "lr" in given:
            self._check_number(f"lr of group {number}", given["lr"], NOT_NEGATIVE)
            if not self.lr:
                raise ValueError(
                    f"{self._kind}: lr is 0, and group {number} has a learning rate of its own, "
                    "which follows lr in proportion: give lr a value above 0"
                )

    # --- the state that is saved ---------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is remembered, and step counts, as arrays: "<name>.m", ..., "<name>.step" (int64).

        AdamW remembers m and v of a parameter, SGD momentum, and Muon either. In main memory these
        are the optimizer's own arrays, not copies: save them before the next step.
        """
        state: dict[str, np.ndarray] = {}
        for name, arrays in self._state.items():
            for kind, array in zip(self._kinds(name), arrays, strict=True):
                state[f"{name}.{kind}"] = to_numpy(array)
            state[f"{name}.step"] = np.array(self._steps[name], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a ``state_dict``; every array is copied.

        Raises UserError for a state of other parameters, shapes or another optimizer, and then
        changes nothing.
        """
        known = {f"{name}.{kind}" for name in self.params for kind in (*self._kinds(name), "step")}
        if unknown := sorted(state.keys() - known):
            raise UserError(
                f"the optimizer state has {unknown[0]!r}, which belongs to no parameter of this "
                f"model in {self._kind}; resume with the model and the optimizer that it was saved "
                "with"
            )
        arrays, steps = {}, {}
        for name, p in self.params.items():
            kinds = (*self._kinds(name), "step")
            parts = [state.get(f"{name}.{kind}") for kind in kinds]
            if all(part is None for part in parts):
                continue  # the parameter had no gradient so far
            for kind, part in zip(kinds, parts, strict=True):
                shape = () if kind == "step" else p.shape
                dtype = np.dtype(np.int64) if kind == "step" else p.dtype
                if part is None or part.shape != shape or part.dtype != dtype:
                    actual = "nothing" if part is None else f"{part.dtype} {part.shape}"
                    raise UserError(
                        f"the optimizer state has {actual} for {name}.{kind}, expected "
                        f"{dtype} {shape}; resume with the model it was saved with"
                    )
            xp = namespace(p.data)
            arrays[name] = tuple(xp.array(part) for part in parts[:-1])
            steps[name] = int(parts[-1])  # type: ignore[arg-type]
        self._state, self._steps = arrays, steps


def _short(value: Any) -> str:
    return f"of type {type(value).__name__}" if not isinstance(value, Mapping) else "without params"
