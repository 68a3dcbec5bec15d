"""AdamW: each number moves by about the learning rate, whatever the size of its gradient.

AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) divides each step by
a running estimate of the gradient's size. Step t of a parameter p with gradient g:

    m = beta1 m + (1 - beta1) g         running mean of the gradient
    v = beta2 v + (1 - beta2) g^2       running mean of its square
    p = p - lr wd p                     weight decay, apart from the gradient ("decoupled")
          - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

m and v start at 0, and dividing by 1 - beta^t makes up for that in the first steps.

These lines are ``autograd/kernels/adamw``.
"""

from collections.abc import Iterable

from autograd.device import Namespace
from autograd.kernels import adamw
from tinygrad_llm.training.optim.optimizer import BELOW_ONE, NOT_NEGATIVE, Optimizer, Params, Update


class AdamW(Optimizer):
    """Adam with decoupled weight decay, in PyTorch's convention.

    ``params``, ``lr`` and ``weight_decay`` are those of every ``Optimizer``; the decay is
    multiplied by the learning rate. ``betas`` are the shares of the two running means that a step
    keeps. ``betas`` and ``eps`` may be changed before any step.
    """

    remembered = "AdamW's two moments"

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.betas, self.eps = betas, eps
        super().__init__(params, lr, weight_decay)

    def _numbers(self) -> Iterable[tuple[str, float, str]]:
        beta1, beta2 = self._pair("betas", self.betas)
        return [
            ("eps", self.eps, NOT_NEGATIVE),
            ("betas[0]", beta1, BELOW_ONE),
            ("betas[1]", beta2, BELOW_ONE),
        ]

    def _kinds(self, name: str) -> tuple[str, ...]:
        return ("m", "v")

    def _update(self, xp: Namespace, name: str, p, g, state, u: Update):
        beta1, beta2 = self.betas
        new, m, v = adamw.update(
            xp, p, g, *state, u.lr, beta1, beta2, self.eps, u.weight_decay, u.step, u.grad_scale
        )
        return new, (m, v)
