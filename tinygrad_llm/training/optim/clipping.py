"""The clipping of gradients by their global norm.

It is fused into the optimizers as a factor on the gradient, so the gradients are read once and
never rewritten. (Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.)
"""

import math
from collections.abc import Iterable

from autograd import Tensor
from autograd.device import namespace
from autograd.kernels import adamw
from autograd.questions import see


def global_norm(params: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together; a parameter without one counts as zero.

    The squares are summed in float64: in float32, entries beyond 1e19 would overflow.
    """
    gradients = (p.grad.data for p in params if p.grad is not None)
    return math.sqrt(sum(float(adamw.square_sum(namespace(g), g)) for g in gradients))


def clip_scale(norm: float, max_norm: float) -> float:
    """The factor, at most 1, that scales gradients of global norm ``norm`` down to ``max_norm``.

    ``max_norm`` 0 means no clipping. Raises FloatingPointError for a norm that is not finite, and
    ValueError for a ``max_norm`` below 0.
    """
    if not 0 <= max_norm:
        raise ValueError(f"max_norm is {max_norm}, expected at least 0 (0: no clipping)")
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the norm of the gradients is {norm}: a loss or a gradient is not finite, and a step "
            "would spoil every weight" + see("Why do gradients explode and vanish?")
        )
    return max_norm / norm if 0 < max_norm < norm else 1.0
