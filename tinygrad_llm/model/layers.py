"""The layers that models share: parameters, and one operation of ``autograd.ops`` on them.

A layer draws its initial values when it is made, as PyTorch's layers do (``reset_parameters`` says
from which distribution). What is right for a whole model depends on more (how deep it is, which
layer feeds the residual stream), so GPT and Llama make their layers without values, which costs
nothing, and then draw them all, or load them from a file.

Shape letters: B sequences of T tokens, C channels, V token ids.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from autograd import Parameter, Tensor, ops
from autograd.ops.dropping import drop_probability
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.module import Module
from tinygrad_llm.quantized.linear import ops_for

Rng = np.random.Generator | int | None
"""Where random numbers come from: a Generator, a seed, or None for others each time."""

_with_values = ContextVar("_with_values", default=True)


@contextmanager
def without_initial_values() -> Iterator[None]:
    """Within this, the weights of new layers are zeros, which take neither time nor memory."""
    token = _with_values.set(False)
    try:
        yield
    finally:
        _with_values.reset(token)


class Linear(Module):
    """y = x W^T + b: x (..., in_features) -> (..., out_features).

    ``weight`` is (out, in) as in PyTorch. It may be a QuantizedMatrix, which is constant: gradients
    pass through, but it has none. ``rng`` draws the initial values: pass one Generator to all the
    layers of a model, and its seed repeats them.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: Rng = None
    ) -> None:
        self.weight = Parameter(np.zeros((out_features, in_features), np.float32))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None
        if _with_values.get():
            self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw weight and bias uniformly between -1/sqrt(in) and 1/sqrt(in), as PyTorch does.

        A weight then has the variance 1/(3 in): of x with variance 1, y has about 1/3. (PyTorch's
        code says kaiming_uniform with a = sqrt(5), which is sqrt(6 / (1 + 5) / in).)
        """
        n_in = self.weight.shape[1]
        bound, rng = 1 / math.sqrt(n_in) if n_in else 0.0, np.random.default_rng(rng)
        uniform_(self.weight, bound, rng)
        if self.bias is not None:
            uniform_(self.bias, bound, rng)

    def extra_repr(self) -> str:
        n_out, n_in = self.weight.shape
        sizes = f"in_features={n_in}, out_features={n_out}"
        return f"{sizes}, bias={self.bias is not None}{_stored(self.weight)}"

    def forward(self, x: Tensor) -> Tensor:
        return ops_for(self.weight).linear(x, self.weight, self.bias)


def _stored(weight: Any) -> str:
    """How the weights of a layer are stored, where they are not plain numbers."""
    return "" if isinstance(weight, Tensor) else f", {weight.format}"


class LayerNorm(Module):
    """Layer normalization over the last axis: x (..., n) -> (..., n).

    A tuple ``n`` holds the lengths of the last axes, which are normalized together. Without
    ``elementwise_affine`` there is neither weight nor bias, without ``bias`` no bias. They start as
    ones and zeros.
    """

    def __init__(
        self,
        n: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        affine = elementwise_affine
        self.weight = Parameter(np.ones(n, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(n, np.float32)) if affine and bias else None
        self.axis = tuple(range(-len(n), 0)) if isinstance(n, tuple) else -1
        self.n, self.eps = n, eps

    def extra_repr(self) -> str:
        parts = [str(self.n), f"eps={self.eps}"]
        if self.bias is None:
            parts.append("bias=False" if self.weight is not None else "elementwise_affine=False")
        return ", ".join(parts)

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps, self.axis)


class RMSNorm(Module):
    """Normalization by the root mean square of the last axis: x (..., n) -> (..., n).

    With ``offset`` the weight is stored as its difference from 1, so that weight decay pulls the
    factor towards 1 and not towards 0 (Gemma).
    """

    def __init__(self, n, eps=1e-6, offset=False):
        self.weight = Parameter((np.zeros if offset else np.ones)(n, np.float32))
        self.eps, self.offset = eps, offset

    def extra_repr(self):
        return f"{self.weight.size}, eps={self.eps}{', offset=True' if self.offset else ''}"

    def forward(self, x):
        weight = 1 + self.weight if self.offset else self.weight
        return ops.rms_norm(x, weight, self.eps)


class Embedding(Module):
    """A table of V rows of C numbers: ids (...) -> (..., C).

    The row ``padding_idx`` is zero at first and gets no gradient, so it stays as it is. ``weight``
    may be a QuantizedMatrix, and ``rng`` is as in Linear. Raises IndexError for a ``padding_idx``
    outside the table.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        rng: Rng = None,
    ) -> None:
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim), np.float32))
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise IndexError(
                f"Embedding: padding_idx {padding_idx} is outside the table of {num_embeddings} "
                "rows"
            )
        self.padding_idx = padding_idx
        if _with_values.get():
            self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw every number from N(0, 1), as PyTorch does. GPT-2's is N(0, 0.02^2)."""
        normal_(self.weight, 1.0, np.random.default_rng(rng))
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return ", ".join(map(str, self.weight.shape)) + padding + _stored(self.weight)

    def forward(self, ids: np.ndarray | Tensor) -> Tensor:
        return ops_for(self.weight).embedding(self.weight, ids, self.padding_idx)


def look_up_tokens(table: Embedding, ids: np.ndarray | Tensor, block_size: int) -> Tensor:
    """The rows of ``table`` for ids (B, T) -> (B, T, C), where a model begins.

    Raises TypeError unless ids are integers; UserError unless 1 <= B, 1 <= T <= block_size, and
    every id is in the table.
    """
    try:
        tokens = table(ids)  # (B, T, C)
    except IndexError as error:
        raise UserError(
            f"{error}, the model's vocabulary: the tokens come from another tokenizer"
        ) from error
    if tokens.ndim != 3 or tokens.size == 0:
        raise UserError(
            f"ids have shape {tokens.shape[:-1]}, expected (B, T): B sequences of T tokens "
            "each, both at least 1"
        )
    if tokens.shape[1] > block_size:
        raise UserError(
            f"the sequence has {tokens.shape[1]} tokens, but this model's block_size is "
            f"{block_size}: keep its last {block_size}, or use a model with a larger block_size"
        )
    return tokens


def positions_in(documents: np.ndarray, ids: np.ndarray | Tensor, cache: Any = None) -> np.ndarray:
    """Where each token stands in its document, (B, T), counted from 0.

    ``documents`` (B, T) names for each token the position in its row at which its document begins,
    so that a row (a b c) (d e) has 0 0 0 3 3. Raises UserError unless they are such integers of the
    shape of ``ids``, and with a cache, whose rows are one document each.
    """
    documents = np.asarray(documents)
    if cache is not None:
        raise UserError("documents and a cache cannot be combined: a cache holds one text per row")
    if documents.dtype.kind not in "iu" or documents.shape != ids.shape:
        raise UserError(
            f"documents are {documents.dtype} {documents.shape}, expected integers {ids.shape}: "
            "for each token the position in its row at which its document begins"
        )
    positions = np.arange(ids.shape[1]) - documents.astype(np.int64)
    if documents.min() < 0 or positions.min() < 0:
        raise UserError(
            "documents must hold positions from 0 to the token's own: a document begins at or "
            "before each of its tokens"
        )
    return positions


class Dropout(Module):
    """In training, zero each element with probability ``p`` and scale the others by 1/(1 - p).

    ``rng`` draws the masks. The dropouts of one model share one Generator, so that its state is all
    a checkpoint needs to repeat them; without it each layer makes its own. Raises ValueError unless
    0 <= p < 1.
    """

    def __init__(self, p: float = 0.5, rng: Rng = None) -> None:
        self.p = drop_probability("Dropout", "p", p)
        self.rng = np.random.default_rng(rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng)


def uniform_(parameter: Parameter, bound: float, rng: np.random.Generator) -> None:
    """Overwrite ``parameter`` with draws between -bound and bound, made in float32."""
    draws = rng.random(parameter.shape, dtype=np.float32)
    draws *= np.float32(2 * bound)
    draws -= np.float32(bound)
    parameter.assign_(draws)


def normal_(parameter: Parameter, std: float, rng: np.random.Generator) -> None:
    """Overwrite ``parameter`` with draws from N(0, std^2), made in float32."""
    draws = rng.standard_normal(parameter.shape, dtype=np.float32)
    draws *= np.float32(std)
    parameter.assign_(draws)
