"""A linear layer with low-rank changes: LoRA, rsLoRA and DoRA (docs/lora.md derives them).

The weight W (out, in) of the layer is frozen, and perhaps quantized. What is trained is the
product of two thin matrices that is added to it, A (r, in) and B (out, r):

    y = x W^T + s (x A^T) B^T        s = alpha / r, or alpha / sqrt(r) (rsLoRA)

B starts at 0, so an adapter changes nothing at first. DoRA also trains the lengths of the rows of
W + s B A, a vector m (out,):

    y = c (x W^T + s (x A^T) B^T)    c = m / n,  n_o = length of row o of W + s B A

In the derivative n is a constant (Liu et al. 2024, section 4.3). The bias is added as it was.
"""

import math
from typing import Any

import numpy as np

from autograd import Parameter, Tensor, no_grad, ops
from autograd.device import bring, namespace
from tinygrad_llm.finetune.low_rank import low_rank
from tinygrad_llm.model.containers import ModuleDict
from tinygrad_llm.model.layers import Dropout, Linear
from tinygrad_llm.model.module import Module
from tinygrad_llm.quantized.linear import ops_for, tiles
from tinygrad_llm.quantized.matrix import QuantizedMatrix


class Adapter(Module):
    """A low-rank change of one layer.

    ``A`` (r, in) and ``B`` (out, r) are Parameters, and so is ``magnitude`` (out,) with DoRA, which
    is None without. ``base`` is the Linear that is changed; dropout acts on the x of the change.
    """

    def __init__(
        self,
        base: Linear,
        r: int,
        alpha: float,
        dropout: float = 0.0,
        use_rslora: bool = False,
        use_dora: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        n_out, n_in = base.weight.shape
        dtype = base.weight.dtype if isinstance(base.weight, Tensor) else np.float32
        self.r, self.alpha, self.use_rslora = r, alpha, use_rslora
        self.A = Parameter(_like(base, np.zeros((r, n_in), dtype)))
        self.B = Parameter(_like(base, np.zeros((n_out, r), dtype)))
        self.dropout = Dropout(dropout, rng)
        self.magnitude: Parameter | None = None
        self._squares: tuple[Any, Tensor] | None = None
        self._lengths: tuple[Any, Tensor] | None = None
        if use_dora:
            self.magnitude = Parameter(self.lengths(base).data.copy())

    @property
    def scale(self) -> float:
        """s, the factor of B A."""
        return self.alpha / (math.sqrt(self.r) if self.use_rslora else self.r)

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw A uniformly from +-1/sqrt(in), as PEFT does; B stays 0."""
        limit = 1 / math.sqrt(self.A.shape[1])
        self.A.assign_(rng.uniform(-limit, limit, self.A.shape).astype(self.A.dtype))

    def forward(self, x: Tensor, base: Linear) -> Tensor:
        """The output of the layer ``base`` with the change: x (..., in) -> (..., out)."""
        dropped = self.dropout(x)
        if self.magnitude is None and dropped is x and _is_constant(base):
            return low_rank(x, base.weight, base.bias, self.A, self.B, self.scale)
        y = base(x)
        h = self.scale * ops.linear(dropped, self.A)  # (..., r): a factor of few numbers
        change = ops.linear(h, self.B)  # (..., out)
        if self.magnitude is None:
            return y + change
        c = self.magnitude / self.lengths(base)  # (out,)
        if dropped is not x:  # dropout acts on all that c multiplies
            product = ops_for(base.weight).linear(dropped, base.weight)
        else:
            product = y if base.bias is None else y - base.bias
        return y + ((c - 1) * product + c * change)

    def merged(self, base: Linear) -> Tensor:
        """The weight (out, in) of the layer with the change, as numbers."""
        stored: Any = base.weight
        if isinstance(stored, QuantizedMatrix):
            stored = stored.dequantize(dtype=self.A.dtype)
        weight = stored + self.scale * (self.B @ self.A)
        if self.magnitude is None:
            return weight
        return ops.reshape(self.magnitude / self.lengths(base), (-1, 1)) * weight

    @no_grad()
    def lengths(self, base: Linear) -> Tensor:
        """n (out,): the lengths of the rows w + s b A of W + s B A, without this matrix.

            |w + s b A|^2 = |w|^2 + 2 s b (A w) + s^2 b (A A^T) b

        The squares of W are summed once, and A W^T is a product as any other: W may be quantized.
        """
        key = _state(base.weight), _state(self.A), _state(self.B)
        if self._lengths is None or self._lengths[0] != key:
            product = ops_for(base.weight).linear(self.A, base.weight)  # (r, out)
            along = (self.B * product.T).sum(axis=1)
            change = (self.B @ (self.A @ self.A.T) * self.B).sum(axis=1)
            s = self.scale
            squares = self._row_squares(base) + 2 * s * along + s * s * change
            # rounding may leave less than nothing of a row of zeros
            self._lengths = key, ops.sqrt(ops.maximum(squares, 0))
        return self._lengths[1]

    def _row_squares(self, base: Linear) -> Tensor:
        """|w|^2 (out,) of the rows of W, which are constant."""
        weight, key = base.weight, _state(base.weight)
        if self._squares is None or self._squares[0] != key:
            if isinstance(weight, QuantizedMatrix):
                parts = [(w * w).sum(axis=1) for _, w in tiles(weight, self.A.dtype)]
                total = Tensor(np.concatenate(parts))
            else:
                total = (weight * weight).sum(axis=1)
            self._squares = key, total
        return self._squares[1]


def _like(base: Linear, array: np.ndarray) -> Any:
    """An array where the layer's weight is."""
    weight = base.weight
    return bring(namespace(weight.data), array) if isinstance(weight, Tensor) else array


def _is_constant(base: Linear) -> bool:
    """Whether the layer's own weight and bias get no gradients."""
    return not any(isinstance(p, Tensor) and p.requires_grad for p in (base.weight, base.bias))


def _state(weight: Any) -> tuple[Any, ...]:
    """What changes whenever the numbers of a weight do."""
    version = 0 if isinstance(weight, QuantizedMatrix) else weight._version[0]  # one is constant
    return type(weight), id(weight), version


class LoraLinear(Module):
    """A Linear, and the adapters on it, of which one at most is ``active``.

    With ``active`` None it is the Linear alone.
    """

    def __init__(self, base_layer: Linear) -> None:
        self.base_layer = base_layer
        self.adapters = ModuleDict()
        self.active: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        base = self.base_layer
        return base(x) if self.active is None else self.adapters[self.active](x, base)

    @property
    def weight(self) -> Any:
        """The weight with the active adapter, computed: for an output layer, whose weight the loss
        reads itself."""
        base = self.base_layer
        return base.weight if self.active is None else self.adapters[self.active].merged(base)

    @property
    def bias(self) -> Parameter | None:
        """The bias of the Linear."""
        return self.base_layer.bias
