"""Muon: the matrices of the blocks move by steps whose singular values are all about 1.

A gradient of a matrix is dominated by a few directions. Muon (Jordan et al., 2024) takes the
running mean of the gradients and replaces its singular values by 1, so that the rare directions are
learned as fast as the frequent ones:

    b = momentum b + (1 - momentum) g
    u = momentum b + (1 - momentum) g          Nesterov's look ahead; otherwise u = b
    p = p - lr wd p - lr factor orthogonalize(u)

``autograd/kernels/muon`` has the derivation. Only matrices that are multiplied with activations
have such directions: embeddings (a row is a token's own), the output layer and vectors are trained
by AdamW.

**The factor.** An R x K matrix with singular values of 1 has numbers of the size
1 / sqrt(max(R, K)): a step that is smaller for larger matrices. Two factors are in use.

    "adamw"      0.2 sqrt(max(R, K))     every number moves by about 0.2 lr, which is what AdamW's
                                         do (Liu et al., "Muon is scalable for LLM training", 2025)
    "spectral"   sqrt(max(1, R / K))     the change of an output of unit variance is about lr,
                                         whatever the shape (Jordan's; lr is then about 0.02)

The first is the default: one learning rate and one decay serve both halves of the parameters, so
the values that were found for AdamW carry over.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from autograd import Tensor
from autograd.device import Namespace
from autograd.kernels import adamw, muon
from tinygrad_llm.training.optim.optimizer import BELOW_ONE, NOT_NEGATIVE, Optimizer, Params, Update

STACKED = {"c_attn.weight": 3}
"""Matrices that are several, one below the other: queries, keys and values."""


def in_a_block(name: str, p: Tensor) -> bool:
    """Whether a parameter is a matrix of a block, that is, its name has a number (h.0.mlp...).

    Outside the blocks are the embeddings and the output layer.
    """
    return p.ndim == 2 and any(part.isdecimal() for part in name.split("."))


class Muon(Optimizer):
    """Muon for the matrices that ``matrices(name, parameter)`` picks, AdamW for the rest.

    ``params``, ``lr`` and ``weight_decay`` are those of every ``Optimizer``; both decays are
    multiplied by the learning rate. ``momentum``, ``nesterov`` and ``steps`` (of the Newton-Schulz
    iteration) are Muon's, ``betas`` and ``eps`` AdamW's, whose learning rate is
    ``adamw_lr_ratio * lr``. ``factor`` is described at the top of this file. ``stacked`` says which
    matrices, by the ends of their names, consist of how many of equal size: each is orthogonalized
    by itself.

    Raises what every Optimizer raises, and ValueError if ``matrices`` picks no parameter, or one
    that is not a matrix or cannot be divided.
    """

    remembered = "Muon's momentum and AdamW's two moments"

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        *,
        steps: int = 5,
        factor: Literal["adamw", "spectral"] = "adamw",
        matrices: Callable[[str, Tensor], bool] = in_a_block,
        stacked: Mapping[str, int] = STACKED,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        adamw_lr_ratio: float = 1.0,
    ) -> None:
        self.momentum, self.nesterov, self.steps, self.factor = momentum, nesterov, steps, factor
        self.betas, self.eps, self.adamw_lr_ratio = betas, eps, adamw_lr_ratio
        super().__init__(params, lr, weight_decay)
        if factor not in FACTORS:
            raise ValueError(f"Muon: factor is {factor!r}, expected {' or '.join(FACTORS)}")
        if not isinstance(steps, int) or not 1 <= steps <= 100:
            raise ValueError(f"Muon: steps is {steps!r}, expected a whole number from 1 to 100")
        self.parts = {
            name: self._parts(name, p, stacked)
            for name, p in self.params.items()
            if matrices(name, p)
        }
        """How many matrices each parameter is that Muon trains."""
        if not self.parts:
            raise ValueError(
                "Muon was given no matrix of a block: name the parameters as "
                "model.named_parameters() does, say with matrices=... which ones it trains, or use "
                "AdamW"
            )

    @staticmethod
    def _parts(name: str, p: Tensor, stacked: Mapping[str, int]) -> int:
        ends = (n for end, n in stacked.items() if name == end or name.endswith(f".{end}"))
        parts = next(ends, 1)
        if p.ndim != 2 or parts < 1 or p.shape[0] % parts:
            raise ValueError(
                f"Muon: parameter {name} has the shape {p.shape}, expected a matrix"
                + (f" of {parts} equal parts" if parts > 1 else "")
                + ": leave it to AdamW, with matrices=..."
            )
        return parts

    def _numbers(self) -> Iterable[tuple[str, float, str]]:
        beta1, beta2 = self._pair("betas", self.betas)
        return [
            ("momentum", self.momentum, BELOW_ONE),
            ("eps", self.eps, NOT_NEGATIVE),
            ("betas[0]", beta1, BELOW_ONE),
            ("betas[1]", beta2, BELOW_ONE),
            ("adamw_lr_ratio", self.adamw_lr_ratio, NOT_NEGATIVE),
        ]

    def _kinds(self, name: str) -> tuple[str, ...]:
        return ("momentum",) if name in self.parts else ("m", "v")

    def _update(self, xp: Namespace, name: str, p, g, state, u: Update):
        if name not in self.parts:
            beta1, beta2 = self.betas
            new, m, v = adamw.update(
                xp, p, g, *state, u.lr * self.adamw_lr_ratio, beta1, beta2, self.eps,
                u.weight_decay, u.step, u.grad_scale,
            )  # fmt: skip
            return new, (m, v)
        parts = self.parts[name]
        new, buffer = muon.update(
            xp, p, g, *state, u.lr, self.momentum, self.nesterov, u.weight_decay, u.grad_scale,
            self.steps, FACTORS[self.factor](p.shape[0] // parts, p.shape[1]), parts,
        )  # fmt: skip
        return new, (buffer,)


FACTORS: dict[str, Callable[[int, int], float]] = {
    "adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral": lambda rows, columns: math.sqrt(max(1, rows / columns)),
}
