"""The engine's part: a loss, and its gradients at both ends of a model.

The fused cross-entropy of training never stores the logits. Here they exist, so that backward can
be asked for dL/dlogits; the loss is the same function of them.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor, enable_grad, grad
from autograd.debug import keep_outputs
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.collate import Rows
from tinygrad_llm.model.freezing import trainable_parameters


@dataclass(frozen=True)
class Measured:
    """A loss and what backward says of it."""

    loss: float
    logits: np.ndarray
    """(B, T, V)"""
    g_logits: np.ndarray
    """dL/dlogits (B, T, V)"""
    g_inputs: np.ndarray
    """dL/dx at the embeddings (B, T, C)"""


def measure(model: Any, rows: Rows, loss_of: Callable[[Tensor], Tensor]) -> Measured:
    """Forward, the loss of the logits (B, T, V), and backward; dropout is off.

    Raises UserError if the rows are longer than the model's context, and if the token table is
    stored quantized.
    """
    with evaluating(model), frozen(model), enable_grad():
        with keep_outputs("Embedding") as tables:
            documents = {} if rows.documents is None else {"documents": rows.documents}
            logits = model(rows.ids, **documents)
        if not tables:
            raise UserError(
                "the token table is stored quantized, and no gradient can be taken at it: load the "
                "model with float32 weights"
            )
        loss = loss_of(logits)
        g_logits, g_inputs = grad(loss, [logits, tables[0]])
    return Measured(loss.item(), logits.numpy(), g_logits.numpy(), g_inputs.numpy())


@contextlib.contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Within this, no weight of the model requires a gradient, so backward computes none.

    The gradients that weights had are forgotten.
    """
    trained = [parameter for _, parameter in trainable_parameters(model)]
    for parameter in trained:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad = True
