"""A language model that classifies: its output layer scores K classes in place of V token ids.

    h = hidden states of the model          (B, T, C)
    p = h at the last token, or their mean  (B, C)
    logits = p W^T                          (B, K)

A causal model reads a text from left to right, so only its last token has seen all of it (Radford
et al. 2018); the mean is the other usual choice. Texts of different lengths are padded on the
right. No token looks to its right, so padding changes no hidden state that is used, and what a text
gets does not depend on the texts that it is padded with.

Fine-tuning often trains the last blocks alone. The blocks below them, the frozen part, then give
the same hidden states in every epoch: ``frozen_part`` computes them, ``trained_part`` the rest.
"""

from dataclasses import replace

import numpy as np

from autograd import Tensor, no_grad, ops
from tinygrad_llm.model.freezing import freeze, unfreeze
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.layers import Linear, normal_, without_initial_values
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.module import Module

POOLINGS = ("last", "mean")


class Classifier(Module):
    """``body``, a GPT or a Llama, with an output layer for the classes named in ``labels``.

    The body's own output layer is removed if it is not the token table. ``seed`` gives the weights
    of the new one, drawn from N(0, 0.02^2). ``frozen`` is the number of blocks in the frozen part,
    None if there is none (``freeze``).
    """

    def __init__(
        self, body: GPT | Llama, labels: tuple[str, ...], pooling: str = "last", seed: int = 0
    ):
        if isinstance(body, Llama):
            body.lm_head, body.config = None, replace(body.config, tied=True)
        self.body, self.labels, self.pooling = body, tuple(labels), pooling
        with without_initial_values():
            self.score = Linear(body.config.n_embd, len(labels), bias=False)
        normal_(self.score.weight, 0.02, np.random.default_rng(seed))
        self.frozen: int | None = None

    @property
    def rng(self) -> np.random.Generator | None:
        """What draws the body's dropout masks."""
        return self.body.rng

    @property
    def blocks(self) -> list[Module]:
        """The body's transformer blocks."""
        return list(self.body.h if isinstance(self.body, GPT) else self.body.layers)

    @property
    def _norm(self) -> Module:
        return self.body.ln_f if isinstance(self.body, GPT) else self.body.norm

    def freeze(self, train_layers: int | None) -> None:
        """Train the last blocks, this many, the last normalization and the output layer alone.

        None trains every weight.
        """
        self.frozen = None
        if train_layers is not None:
            self.frozen = max(0, len(self.blocks) - train_layers)
        unfreeze(self)
        if self.frozen is not None:
            freeze(self)
            for module in (*self.blocks[self.frozen :], self._norm, self.score):
                unfreeze(module)

    def frozen_part(self, ids: np.ndarray) -> Tensor:
        """The residual stream where training begins: ids (B, T) -> (B, T, C).

        It is a constant: there are neither gradients nor dropout.
        """
        was_training = self.training
        self.eval()
        with no_grad():
            x = self._blocks(self.body.embed(ids), 0, self.frozen or 0)
        self.train(was_training)
        return x

    def trained_part(self, x: Tensor | np.ndarray, lengths: np.ndarray) -> Tensor:
        """The logits of texts of ``lengths`` (B,) tokens: ``frozen_part``'s output -> (B, K)."""
        x = x if isinstance(x, Tensor) else Tensor(x)
        x = self._blocks(x, self.frozen or 0, len(self.blocks))
        return self.score(pool(self._norm(x), lengths, self.pooling))

    def forward(self, ids: np.ndarray, lengths: np.ndarray) -> Tensor:
        """Logits (B, K) of texts: ids (B, T), of which the first ``lengths`` (B,) are the text's.

        Raises what the body raises for ids; ValueError for a length that is not from 1 to T.
        """
        lengths = np.asarray(lengths)
        if lengths.shape != ids.shape[:1] or (lengths < 1).any() or (lengths > ids.shape[1]).any():
            raise ValueError(
                f"lengths is {lengths.tolist()}, expected {len(ids)} numbers from 1 to "
                f"{ids.shape[1]}"
            )
        if self.frozen is not None:
            return self.trained_part(self.frozen_part(ids), lengths)
        return self.trained_part(self.body.embed(ids), lengths)

    def _blocks(self, x: Tensor, first: int, last: int) -> Tensor:
        """Blocks ``first`` to ``last`` - 1 of the body: (B, T, C) -> (B, T, C)."""
        blocks = self.blocks[first:last]
        if isinstance(self.body, GPT):
            for block in blocks:
                x = block(x)
            return x
        rotary = self.body.rotary
        tables = rotary.tables(slice(x.shape[1]), x.dtype)
        for layer, block in enumerate(blocks, first):
            x = block(x, tables[rotary.kind(layer)])
        return x


def pool(h: Tensor, lengths: np.ndarray, pooling: str) -> Tensor:
    """One vector for each text: hidden states (B, T, C) of ``lengths`` (B,) tokens -> (B, C).

    ``pooling`` is "last", the state of the last token, or "mean" of those of all tokens.
    """
    B, T, _ = h.shape
    if pooling == "last":
        return h[np.arange(B), lengths - 1]  # (B, C)
    counts = np.arange(T) < lengths[:, None]  # (B, T)
    weights = (counts / lengths[:, None]).astype(h.dtype)
    return ops.sum(h * weights[:, :, None], axis=1)  # (B, C)
