"""AdamW and the clipping of gradients.

AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) divides each step by
a running estimate of the gradient's size. Step t of a parameter p with gradient g:

    m = beta1 m + (1 - beta1) g         running mean of the gradient
    v = beta2 v + (1 - beta2) g^2       running mean of its square
    p = p - lr wd p                     weight decay, apart from the gradient ("decoupled")
          - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

m and v start at 0, and dividing by 1 - beta^t makes up for that in the first steps. Only tensors of
two or more dimensions are decayed, as in nanoGPT: matrices and embeddings, but no bias and no
layer norm, whose scale matters.

These lines are ``autograd/kernels/adamw``. Clipping is fused into them as a factor on the gradient,
so the gradients are read once and never rewritten.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from autograd import Parameter, Tensor
from autograd.device import bring, namespace, to_numpy
from autograd.kernels import adamw
from tinygrad_llm.errors import UserError


class AdamW:
    """Adam with decoupled weight decay, in PyTorch's convention.

    ``params`` are Parameters or pairs (name, Parameter) as from ``model.named_parameters()``;
    without names they are called "0", "1", ... The parameters of two modules may have the same
    names: then give them different ones. ``lr``, ``betas``, ``eps`` and ``weight_decay`` may be
    changed before any step; ``weight_decay`` is multiplied by the learning rate.

    Raises TypeError for a parameter that is not a Tensor and an option that is not a number, and
    ValueError for a name or a parameter that appears twice, a tensor that was computed, an array
    that is read-only or shared by two parameters, several matrices that are all zero (nothing would
    move them), parameters of which none requires a gradient, and numbers outside their range.
    """

    def __init__(
        self,
        params: Iterable[Parameter | tuple[str, Parameter]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.params: dict[str, Tensor] = _by_name(params)
        if not self.params:
            raise ValueError("AdamW was given no parameters")
        _refuse_shared_memory(self.params)
        _refuse_what_cannot_learn(self.params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self._check_numbers()
        self._moments: dict[str, tuple] = {}  # name -> (m, v), each of the parameter's shape
        self._steps: dict[str, int] = {}  # per parameter, since any step may skip one

    def _check_numbers(self) -> None:
        """Raise ValueError for a learning rate or another number that would spoil the weights."""
        if not isinstance(self.betas, Sequence) or len(self.betas) != 2:
            raise TypeError(f"AdamW: betas is {self.betas!r}, expected a pair of numbers")
        beta1, beta2 = self.betas
        numbers = {"lr": self.lr, "eps": self.eps, "weight_decay": self.weight_decay}
        for name, value in {**numbers, "betas[0]": beta1, "betas[1]": beta2}.items():
            if not isinstance(value, (int, float, np.integer, np.floating)):
                raise TypeError(f"AdamW: {name} is {value!r}, expected a number")
        allowed = {  # NaN is in no range
            "lr": (self.lr, 0 <= self.lr < math.inf, "a finite number, at least 0"),
            "eps": (self.eps, 0 <= self.eps < math.inf, "a finite number, at least 0"),
            "weight_decay": (
                self.weight_decay, 0 <= self.weight_decay < math.inf, "a finite number, at least 0"
            ),
            "betas[0]": (beta1, 0 <= beta1 < 1, "at least 0 and below 1"),
            "betas[1]": (beta2, 0 <= beta2 < 1, "at least 0 and below 1"),
        }  # fmt: skip
        for name, (value, valid, expected) in allowed.items():
            if not valid:
                raise ValueError(f"AdamW: {name} is {value}, expected {expected}")

    def step(self, grad_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient, which is first multiplied by ``grad_scale``.

        A parameter without a gradient is left alone: no decay, and no step is counted. Raises
        ValueError, before anything is changed, for numbers out of range, and for a parameter whose
        shape or type differs from that of its gradient or of its last step.
        """
        self._check_numbers()
        if not math.isfinite(grad_scale):
            raise ValueError(f"AdamW: grad_scale is {grad_scale}, expected a finite number")
        params = self.params.items()
        trained = {name: (p, p.grad.data) for name, p in params if p.grad is not None}
        for name, (p, g) in trained.items():
            _check_parameter(name, p)
            for what, array in (("gradient", g), *self._last_moment(name)):
                if array.shape != p.shape or array.dtype != p.dtype:
                    raise ValueError(
                        f"AdamW: parameter {name} is {p.dtype} {p.shape} and its {what} is "
                        f"{array.dtype} {array.shape}: after a parameter was replaced, zero its "
                        "gradient and make a new optimizer"
                    )
        beta1, beta2 = self.betas
        for name, (p, g) in trained.items():
            xp = namespace(p.data)
            moments = self._moments.get(name)
            if moments is None:
                m, v = xp.zeros_like(p.data), xp.zeros_like(p.data)
            else:
                m, v = (bring(xp, moment) for moment in moments)  # the model may have been moved
            step = self._steps[name] = self._steps.get(name, 0) + 1
            decay = self.weight_decay if p.ndim >= 2 else 0.0
            new, m, v = adamw.update(
                xp, p.data, g, m, v,
                self.lr, beta1, beta2, self.eps, decay, step, grad_scale,
            )  # fmt: skip
            p.assign_(new)
            self._moments[name] = xp.asarray(m), xp.asarray(v)  # 0-d results are NumPy scalars

    def _last_moment(self, name: str) -> list[tuple[str, np.ndarray]]:
        """The first moment, if there was a step (the second has the same shape and type)."""
        return (
            [("moment of the last step", self._moments[name][0])] if name in self._moments else []
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params.values():
            p.zero_grad()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Moments and step counts as arrays: "<name>.m", "<name>.v" and "<name>.step" (int64).

        In main memory the moments are the optimizer's own arrays, not copies: save them before the
        next step.
        """
        state: dict[str, np.ndarray] = {}
        for name, (m, v) in self._moments.items():
            state[f"{name}.m"] = to_numpy(m)
            state[f"{name}.v"] = to_numpy(v)
            state[f"{name}.step"] = np.array(self._steps[name], dtype=np.int64)
        return state

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a ``state_dict``; every array is copied.

        Raises UserError for a state of other parameters or shapes, and then changes nothing.
        """
        known = {f"{name}.{kind}" for name in self.params for kind in ("m", "v", "step")}
        if unknown := sorted(state.keys() - known):
            raise UserError(
                f"the optimizer state has {unknown[0]!r}, which belongs to no parameter of this "
                "model; resume with the model it was saved with"
            )
        moments, steps = {}, {}
        for name, p in self.params.items():
            parts = [state.get(f"{name}.{kind}") for kind in ("m", "v", "step")]
            if all(part is None for part in parts):
                continue  # the parameter had no gradient so far
            for kind, part in zip(("m", "v", "step"), parts, strict=True):
                shape = () if kind == "step" else p.shape
                dtype = np.dtype(np.int64) if kind == "step" else p.dtype
                if part is None or part.shape != shape or part.dtype != dtype:
                    actual = "nothing" if part is None else f"{part.dtype} {part.shape}"
                    raise UserError(
                        f"the optimizer state has {actual} for {name}.{kind}, expected "
                        f"{dtype} {shape}; resume with the model it was saved with"
                    )
            xp = namespace(p.data)
            m, v, step = parts
            moments[name] = xp.array(m), xp.array(v)
            steps[name] = int(step)  # type: ignore[arg-type]
        self._moments, self._steps = moments, steps


def _by_name(params: Iterable[Parameter | tuple[str, Parameter]]) -> dict[str, Tensor]:
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        kind = type(params).__name__
        advice = "[parameter]" if isinstance(params, Tensor) else "model.named_parameters()"
        raise TypeError(f"AdamW was given one {kind}, expected several parameters: {advice}")
    by_name: dict[str, Tensor] = {}
    names: dict[int, str] = {}  # id of a parameter -> its name
    for number, item in enumerate(params):
        name, p = item if isinstance(item, tuple) and len(item) == 2 else (str(number), item)
        if not isinstance(p, Tensor) or not isinstance(name, str):
            raise TypeError(
                f"AdamW: parameter {name} is of type {type(p).__name__}, expected a Parameter or a "
                "pair (name, Parameter), as from model.named_parameters()"
            )
        if name in by_name:
            raise ValueError(
                f"AdamW was given two parameters called {name!r}: give them different names, as "
                'in [(f"decoder.{name}", p) for name, p in decoder.named_parameters()]'
            )
        if id(p) in names:
            raise ValueError(
                f"AdamW was given one parameter twice, as {names[id(p)]!r} and as {name!r}: each "
                "step would update it twice"
            )
        _check_parameter(name, p)
        by_name[name], names[id(p)] = p, name
    return by_name


def _check_parameter(name: str, p: Tensor) -> None:
    """Raise ValueError for a parameter whose elements cannot be changed."""
    if not p.is_leaf:
        raise ValueError(
            f"AdamW: parameter {name} was computed, and changing it would change nothing: pass the "
            "Parameters that it was computed from"
        )
    if p.dtype.kind != "f":
        raise ValueError(f"AdamW: parameter {name} is {p.dtype}, expected a floating-point type")
    if not getattr(p.data.flags, "writeable", True):  # CuPy's always are
        raise ValueError(
            f"AdamW: parameter {name} cannot be changed, since its array is read-only (as "
            "np.broadcast_to and memory maps are): make it from a copy, Parameter(array.copy())"
        )


def _refuse_what_cannot_learn(params: dict[str, Tensor]) -> None:
    """Raise ValueError if no step would ever change anything, or next to nothing."""
    if not any(p.requires_grad for p in params.values()):
        raise ValueError(
            "AdamW: none of the parameters requires a gradient, so there is nothing to learn: make "
            "them with Parameter(array), or set requires_grad to True"
        )
    matrices = [name for name, p in params.items() if p.ndim >= 2 and p.requires_grad and p.size]
    if len(matrices) > 1 and not any(to_numpy(params[name].data).any() for name in matrices):
        raise ValueError(
            f"AdamW: all {len(matrices)} matrices are zero ({', '.join(matrices[:3])}, ...), and "
            "layers of zeros have gradients of zero: draw their initial values, as with "
            "tinygrad_llm.model.layers.normal_(matrix, 0.02, rng)"
        )


def _refuse_shared_memory(params: dict[str, Tensor]) -> None:
    """Raise ValueError if two parameters share memory, which would be updated twice."""
    arrays = [(n, p.data) for n, p in params.items() if isinstance(p.data, np.ndarray) and p.size]
    bounds = sorted((*np.lib.array_utils.byte_bounds(a), n) for n, a in arrays)
    for (_, end, first), (start, _, second) in itertools.pairwise(bounds):
        if start < end and np.shares_memory(params[first].data, params[second].data):
            raise ValueError(
                f"AdamW: the parameters {first} and {second} share memory: to tie them, use one "
                "Parameter in both places; otherwise make one from a copy"
            )


def global_norm(params: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together; a parameter without one counts as zero.

    The squares are summed in float64: in float32, entries beyond 1e19 would overflow.
    """
    gradients = (p.grad.data for p in params if p.grad is not None)
    return math.sqrt(sum(float(adamw.square_sum(namespace(g), g)) for g in gradients))


def clip_scale(norm: float, max_norm: float) -> float:
    """The factor, at most 1, that scales gradients of global norm ``norm`` down to ``max_norm``.

    ``max_norm`` 0 means no clipping. Raises FloatingPointError for a norm that is not finite, and
    ValueError for a ``max_norm`` below 0. (Pascanu et al., "On the difficulty of training recurrent
    neural networks", 2013.)
    """
    if not 0 <= max_norm:
        raise ValueError(f"max_norm is {max_norm}, expected at least 0 (0: no clipping)")
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the norm of the gradients is {norm}: a loss or a gradient is not finite, and a step "
            "would spoil every weight"
        )
    return max_norm / norm if 0 < max_norm < norm else 1.0
