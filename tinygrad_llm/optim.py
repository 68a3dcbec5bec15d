"""AdamW and the clipping of gradients.

AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) divides each step by
a running estimate of the gradient's size, and shrinks the weights apart from that. Only tensors of
two or more dimensions are decayed, as in nanoGPT: matrices and embeddings, but no bias and no
layer norm, whose size means something.

The arithmetic of one update is ``autograd/kernels/adamw``. Clipping is fused into it as a factor
on the gradient, so that the gradients are read once and never rewritten.
"""

import math
from collections.abc import Iterable

import numpy as np

from autograd import Parameter, Tensor
from autograd.device import bring, namespace, to_numpy
from autograd.kernels import adamw
from tinygrad_llm.errors import UserError


class AdamW:
    """Adam with decoupled weight decay, in PyTorch's convention.

    ``params`` are Parameters or pairs (name, Parameter) as ``model.named_parameters()`` gives
    them; without names they are called "0", "1", ... ``lr`` may be changed before any step.
    ``weight_decay`` is multiplied by the learning rate.
    """

    def __init__(
        self,
        params: Iterable[Parameter | tuple[str, Parameter]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.params: dict[str, Tensor] = {}
        for number, item in enumerate(params):
            if isinstance(item, Tensor):
                self.params[str(number)] = item
            else:
                name, p = item
                self.params[name] = p
        if not self.params:
            raise ValueError("AdamW was given no parameters")
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self._moments: dict[str, tuple] = {}  # name -> (m, v), each of the parameter's shape
        self._steps: dict[str, int] = {}  # per parameter: one may be skipped now and then

    def step(self, grad_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient, which is first multiplied by ``grad_scale``.

        A parameter without a gradient is left as it is: no decay, no step counted.
        """
        beta1, beta2 = self.betas
        for name, p in self.params.items():
            if p.grad is None:
                continue
            xp = namespace(p.data)
            held = self._moments.get(name)
            if held is None:
                m, v = xp.zeros_like(p.data), xp.zeros_like(p.data)
            else:
                m, v = (bring(xp, moment) for moment in held)  # the model may have been moved
            step = self._steps[name] = self._steps.get(name, 0) + 1
            decay = self.weight_decay if p.ndim >= 2 else 0.0
            new, m, v = adamw.update(
                xp, p.data, p.grad.data, m, v,
                self.lr, beta1, beta2, self.eps, decay, step, grad_scale,
            )  # fmt: skip
            p.assign_(new)
            self._moments[name] = xp.asarray(m), xp.asarray(v)  # 0-d results are NumPy scalars

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params.values():
            p.zero_grad()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Moments and step counts as arrays: "<name>.m", "<name>.v" and "<name>.step" (int64).

        In main memory the moments are the optimizer's own arrays, not copies: store them before
        the next step.
        """
        state: dict[str, np.ndarray] = {}
        for name, (m, v) in self._moments.items():
            state[f"{name}.m"], state[f"{name}.v"] = to_numpy(m), to_numpy(v)
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
                    found = "nothing" if part is None else f"{part.dtype} {part.shape}"
                    raise UserError(
                        f"the optimizer state has {found} for {name}.{kind}, expected "
                        f"{dtype} {shape}; resume with the model it was saved with"
                    )
            xp = namespace(p.data)
            m, v, step = parts
            moments[name], steps[name] = (xp.array(m), xp.array(v)), int(step)  # type: ignore
        self._moments, self._steps = moments, steps


def global_norm(params: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together; a parameter without one counts nothing.

    The squares are summed in float64: in float32, entries beyond 1e19 would overflow.
    """
    gradients = (p.grad.data for p in params if p.grad is not None)
    return math.sqrt(sum(float(adamw.square_sum(namespace(g), g)) for g in gradients))


def clip_scale(norm: float, max_norm: float) -> float:
    """The factor that brings gradients of global norm ``norm`` down to ``max_norm``: at most 1.

    ``max_norm`` 0 means no clipping. (Pascanu et al., "On the difficulty of training recurrent
    neural networks", 2013.)
    """
    return max_norm / norm if 0 < max_norm < norm else 1.0
