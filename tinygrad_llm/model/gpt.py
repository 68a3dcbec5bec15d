"""GPT-2 (Radford et al. 2019) on one page: a decoder-only transformer, from token ids to the loss.

    h = wte[ids] + wpe[:T]                  what each token is, and where it stands
    h = h + attn(ln_1(h))                   n_layer times: look at the tokens before,
    h = h + mlp(ln_2(h))                                   then think about each one alone
    logits = ln_f(h) wte^T                  how well each id of the vocabulary would come next
    loss = cross-entropy(logits, targets)   how surprising the ids were that did come next

The blocks only ever *add* to h, the residual stream, so gradients reach every layer undiminished.
Normalization comes before each branch and is not part of the stream. The table that reads tokens in
also scores them at the end (tied weights): there is no other output layer.

Every operation is a function of ``autograd.ops``. The fused ones (attention, feed_forward,
layer_norm, linear_cross_entropy, ...) have folders in autograd/kernels with their derivations.

Shape letters: B sequences of T tokens, C = n_embd channels, H = n_head heads of D = C / H channels,
V = vocab_size ids.
"""

import math
from typing import Any

import numpy as np

from autograd import Tensor, ops
from autograd.functional import recompute
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.containers import ModuleList
from tinygrad_llm.model.language_model import LanguageModel, check_config
from tinygrad_llm.model.layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    look_up_tokens,
    normal_,
    positions_in,
    without_initial_values,
)
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.summary import summary
from tinygrad_llm.quantized.linear import ops_for

Documents = np.ndarray | None
"""(B, T), integers: for each token, the position in its row at which its document begins."""


class CausalSelfAttention(Module):
    """How tokens look at the tokens before them, and at nothing after: (B, T, C) -> (B, T, C).

    H heads of attention over one sequence (Vaswani et al. 2017):

        c_attn      (B, T, C)    -> (B, T, 3 C)    queries, keys and values, side by side
        split       (B, T, 3 C)  -> 3 (B, H, T, D) head h owns channels h D to (h + 1) D of each
        q k^T       (B, H, T, T)                   how well query t matches key s
        / sqrt(D)                                  a sum of D terms would make softmax a hard choice
        mask, softmax                              -inf where s > t: row t mixes tokens 0 to t only
        p v         (B, H, T, D)                   the values, averaged with those weights
        merge       (B, H, T, D) -> (B, T, C)      heads side by side again
        c_proj      (B, T, C)    -> (B, T, C)      mixes what the heads found

    From split to merge is one operation, ``ops.causal_attention``. This is the only place where
    tokens meet; everything else in a transformer treats each position alone.

    Dropout acts on the result only, not on the attention weights: those exist only inside the
    fused operation.

    With a cache, the T tokens also see the keys and values of those before them, which it has kept.
    With ``documents``, no token sees one before the start of its own document.
    """

    def __init__(self, config: GPTConfig, rng: np.random.Generator | None = None):
        self.n_head = config.n_head
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = Linear(config.n_embd, config.n_embd)
        self.resid_dropout = Dropout(config.dropout, rng)

    def forward(self, x: Tensor, cache: Any = None, documents: Documents = None) -> Tensor:
        qkv = self.c_attn(x)  # (B, T, 3 C)
        if cache is None and documents is None:
            y = ops.causal_attention(qkv, self.n_head)  # (B, T, C)
        else:
            y = self._attend(qkv, cache, documents)
        return self.resid_dropout(self.c_proj(y))  # (B, T, C)

    def _attend(self, qkv: Tensor, cache: Any, documents: Documents) -> Tensor:
        B, T, _ = qkv.shape
        heads = ops.reshape(qkv, (B, T, 3, self.n_head, -1))
        q, k, v = (ops.swapaxes(heads[:, :, i], 1, 2) for i in range(3))  # (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(k, v)  # (B, H, S, D)
        y = ops.grouped_query_attention(q, k, v, documents=documents)
        return ops.reshape(ops.swapaxes(y, 1, 2), (B, T, -1))  # (B, T, C)


class MLP(Module):
    """Each token on its own, through 4 C hidden channels: (B, T, C) -> (B, T, C).

        mlp(x) = GELU(x W_fc^T + b_fc) W_proj^T + b_proj

    GELU is the tanh approximation, with which GPT-2's weights were trained: the exact function
    changes its logits by about 1e-3.
    """

    def __init__(self, config: GPTConfig, rng: np.random.Generator | None = None):
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout, rng)

    def forward(self, x: Tensor) -> Tensor:
        fc, proj = self.c_fc, self.c_proj
        if all(type(layer) is Linear and isinstance(layer.weight, Tensor) for layer in (fc, proj)):
            y = ops.feed_forward(x, fc.weight, fc.bias, proj.weight, proj.bias, approximate="tanh")
        else:  # quantized, or with an adapter
            y = proj(ops.gelu(fc(x), "tanh"))
        return self.dropout(y)  # (B, T, C)


class Block(Module):
    """One transformer block: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: GPTConfig, rng: np.random.Generator | None = None):
        self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config, rng)
        self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config, rng)

    def forward(self, x: Tensor, cache: Any = None, documents: Documents = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache, documents)  # (B, T, C)
        return x + self.mlp(self.ln_2(x))  # (B, T, C)


class GPT(LanguageModel):
    """The model of a GPTConfig. Parameters have GPT-2's names and are float32.

    ``seed`` gives two independent streams: the initial weights, and ``model.rng``, from which all
    dropout masks are drawn (a checkpoint saves ``model.rng.bit_generator.state``). With
    ``initialize=False`` the weights stay zero, to be loaded. With ``recompute=True`` training keeps
    only the input of each block and computes the block again in backward: a third more arithmetic
    for a fraction of the memory, and the same gradients.
    """

    def __init__(
        self, config: GPTConfig, seed: int = 0, initialize: bool = True, recompute: bool = False
    ):
        check_config(self, config, GPTConfig)
        weights_seed, dropout_seed = np.random.SeedSequence(seed).spawn(2)
        self.config, self.recompute = config, recompute
        self.rng = np.random.default_rng(dropout_seed)
        with without_initial_values():
            self.wte = Embedding(config.vocab_size, config.n_embd)
            self.wpe = Embedding(config.block_size, config.n_embd)
            self.drop = Dropout(config.dropout, self.rng)
            self.h = ModuleList(Block(config, self.rng) for _ in range(config.n_layer))
            self.ln_f = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        if initialize:
            self._initialize(np.random.default_rng(weights_seed))

    def _initialize(self, rng: np.random.Generator, std: float = 0.02) -> None:
        """Draw the weights as GPT-2 does (section 2.3), in the order of ``named_parameters``.

        Every matrix is drawn from N(0, std^2), biases are 0, and layer normalization starts as the
        identity. One correction: each block adds two terms to the residual stream, so after L
        blocks it is a sum of 2 L terms. The projections that make these terms, both named c_proj,
        are drawn with std / sqrt(2 L), and the stream's variance does not grow with depth.

        OpenAI's code draws the position table with 0.01. Hugging Face and nanoGPT use 0.02 for it
        as for everything else, and so do we.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                normal_(parameter, std / math.sqrt(2 * self.config.n_layer), rng)
            elif parameter.ndim == 2:
                normal_(parameter, std, rng)

    def embed(
        self, ids: np.ndarray | Tensor, cache: Any = None, documents: Documents = None
    ) -> Tensor:
        """What each token is plus where it stands: ids (B, T) -> (B, T, C).

        With a cache, the first stands after the tokens in it; with ``documents``, each stands where
        it is in its own.
        """
        tokens = look_up_tokens(self.wte, ids, self.config.block_size)  # (B, T, C)
        if documents is not None:
            return self.drop(tokens + self.wpe(positions_in(documents, ids, cache)))
        B, T, _ = tokens.shape
        start = 0 if cache is None else cache.start(B, T)
        return self.drop(tokens + self.wpe.weight[start : start + T])

    def hidden(
        self, ids: np.ndarray | Tensor, cache: Any = None, documents: Documents = None
    ) -> Tensor:
        """The residual stream after the last normalization: ids (B, T) -> (B, T, C).

        With a ``KVCache`` (of generation/cache.py) the ids continue the B rows in it, and are added
        to them. Its rows must have the same length; gradients must be off.

        Where a row holds several documents, ``documents`` (B, T) names for each token the position
        at which its own begins. It sees nothing before that, and its position is counted from
        there: the result is that of each document in a row of its own, but for rounding.
        """
        x = self.embed(ids, cache, documents)  # (B, T, C)
        for layer, block in enumerate(self.h):
            if cache is not None:
                x = block(x, cache.layer(layer))
            elif self.recompute:
                x = recompute(block, x, None, documents, rngs=(self.rng,))
            else:
                x = block(x, None, documents)
        if cache is not None:
            cache.append(ids)
        return self.ln_f(x)  # (B, T, C)

    def forward(
        self, ids: np.ndarray | Tensor, cache: Any = None, documents: Documents = None
    ) -> Tensor:
        """Logits (B, T, V) for the id that follows each position of ``ids`` (B, T).

        ``cache`` and ``documents`` are those of ``hidden``. Raises TypeError unless ids are
        integers; UserError unless 1 <= B, 1 <= T <= block_size, and every id is in the vocabulary.
        So do the other methods that take ids.
        """
        return self.logits(self.hidden(ids, cache, documents))  # (B, T, V)

    def logits(self, h: Tensor) -> Tensor:
        """The output layer: hidden states (..., C) -> logits (..., V)."""
        return ops_for(self.wte.weight).linear(h, self.wte.weight)

    def loss(
        self,
        ids: np.ndarray | Tensor,
        targets: np.ndarray | Tensor,
        ignore_index: int = -100,
        reduction: str = "mean",
        documents: Documents = None,
    ) -> Tensor:
        """Cross-entropy, in nats, of the logits of ``ids`` (B, T) against ``targets`` (B, T).

        ``reduction`` is "mean" (over the targets that are not ``ignore_index``; 0 if there are
        none), "sum", or "none" for (B, T). The (B, T, V) logits never exist at once: the last
        matrix product and the loss are one operation. Raises what ``ops.linear_cross_entropy``
        raises for targets that do not fit. ``documents`` are those of ``hidden``.
        """
        h = self.hidden(ids, documents=documents)  # (B, T, C)
        table = self.wte.weight
        return ops_for(table).linear_cross_entropy(h, table, targets, ignore_index, reduction)

    def next_token_logits(self, ids: np.ndarray | Tensor) -> Tensor:
        """Logits (B, V) for the id that follows the last position of ``ids`` (B, T).

        What generation needs: the head, a (C, V) matrix product, runs for one position only.
        """
        return self.logits(self.hidden(ids)[:, -1])  # (B, V)

    def summary(self) -> str:
        """A table of parameters, activation memory and arithmetic, as a string."""
        return summary(self)
