"""SGD: stochastic gradient descent, with momentum and Nesterov's look ahead.

    b = momentum b + g + wd p          running sum of the gradients, decay included
    p = p - lr b                       or, with nesterov, p - lr (g + wd p + momentum b)

Without momentum this is p - lr g, the method that all others start from. These lines are
``autograd/kernels/sgd``.
"""

from collections.abc import Iterable

from autograd.device import Namespace
from autograd.kernels import sgd
from tinygrad_llm.training.optim.optimizer import BELOW_ONE, Optimizer, Params, Update


class SGD(Optimizer):
    """Gradient descent with momentum, in PyTorch's convention (its dampening is 0).

    ``params``, ``lr`` and ``weight_decay`` are those of every ``Optimizer``; the decay is added to
    the gradient, as in PyTorch. ``momentum`` is the share of the running sum that a step keeps;
    with ``nesterov`` the step goes where the next sum will point. Both may be changed before any
    step. Raises what every Optimizer raises, and ValueError for nesterov without momentum.
    """

    remembered = "SGD's momentum"

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(params, lr, weight_decay)
        if nesterov and not momentum:
            raise ValueError(
                "SGD: nesterov looks ahead along the momentum, which is 0: add momentum=0.9, or "
                "leave it out"
            )

    def _numbers(self) -> Iterable[tuple[str, float, str]]:
        return [("momentum", self.momentum, BELOW_ONE)]

    def _kinds(self, name: str) -> tuple[str, ...]:
        return ("momentum",)

    def _update(self, xp: Namespace, name: str, p, g, state, u: Update):
        new, buffer = sgd.update(
            xp, p, g, *state, u.lr, self.momentum, self.nesterov, u.weight_decay, u.grad_scale
        )
        return new, (buffer,)
