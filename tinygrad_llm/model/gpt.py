"""GPT-2 (Radford et al. 2019): a decoder-only transformer, from token ids to logits and loss.

    h = wte[ids] + wpe[:T]                  what each token is, and where it stands
    h = h + attn(ln_1(h))                   n_layer times: look at the tokens before,
    h = h + mlp(ln_2(h))                                   then think about each alone
    logits = ln_f(h) wte^T                  how well each id of the vocabulary would come next

The blocks only ever *add* to h, the residual stream, so gradients reach every layer undiminished.
Normalization stands before each branch and not on the stream. The table that reads tokens in is
also the one that scores them at the end (tied weights): there is no other output layer.

Shape letters: B sequences of T tokens, C = n_embd channels, V = vocab_size ids.
"""

import numpy as np

from autograd import Tensor, ops
from autograd.device import is_array, namespace
from autograd.functional import checkpoint as recomputed
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import init
from tinygrad_llm.model.attention import CausalSelfAttention
from tinygrad_llm.model.layers import MLP, Dropout, Embedding, LayerNorm
from tinygrad_llm.model.module import Module, ModuleList
from tinygrad_llm.model.summary import summary


class Block(Module):
    """One transformer block: (B, T, C) -> (B, T, C)."""

    def __init__(self, config, rng=None):
        self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config, rng)
        self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config, rng)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))  # (B, T, C)
        return x + self.mlp(self.ln_2(x))  # (B, T, C)


class GPT(Module):
    """The model of a GPTConfig. Parameters have GPT-2's names and are float32.

    ``seed`` gives two independent streams: the initial weights, and ``model.rng``, from which all
    dropout masks are drawn (a checkpoint saves ``model.rng.bit_generator.state``). With
    ``initialize=False`` the weights stay zero, to be loaded. With ``recompute=True`` training keeps
    only the input of each block and computes the block again in backward: a third more arithmetic
    for a fraction of the memory, and the same gradients.
    """

    def __init__(self, config, seed=0, initialize=True, recompute=False):
        weights_seed, dropout_seed = np.random.SeedSequence(seed).spawn(2)
        self.config, self.recompute = config, recompute
        self.rng = np.random.default_rng(dropout_seed)
        self.wte = Embedding(config.vocab_size, config.n_embd)
        self.wpe = Embedding(config.block_size, config.n_embd)
        self.drop = Dropout(config.dropout, self.rng)
        self.h = ModuleList(Block(config, self.rng) for _ in range(config.n_layer))
        self.ln_f = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        if initialize:
            init.gpt2_(self, np.random.default_rng(weights_seed))

    def forward(self, ids):
        """Logits (B, T, V) for the id that follows each position of ``ids`` (B, T).

        Raises UserError unless ids is an integer array (B, T) with 1 <= T <= block_size and every
        id in the vocabulary. So do the other methods that take ids.
        """
        return ops.linear(self.hidden(ids), self.wte.weight)  # (B, T, V)

    def hidden(self, ids):
        """The residual stream after the last normalization: ids (B, T) -> (B, T, C)."""
        ids = self._checked_ids(ids)
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]  # (B, T, C)
        x = self.drop(x)
        for block in self.h:
            x = recomputed(block, x, rngs=(self.rng,)) if self.recompute else block(x)  # (B, T, C)
        return self.ln_f(x)

    def loss(self, ids, targets, ignore_index=-100, reduction="mean"):
        """Cross-entropy, in nats, of the logits of ``ids`` (B, T) against ``targets`` (B, T).

        ``reduction`` is "mean" (over the targets that are not ``ignore_index``; 0 if there is
        none), "sum", or "none" for (B, T). The (B, T, V) logits never exist at once: the last
        matrix product and the loss are one operation.
        """
        ids, targets = _integers(ids, "ids"), _integers(targets, "targets")
        if targets.shape != ids.shape:
            raise UserError(f"the targets have shape {targets.shape}, but ids {ids.shape}")
        self._check_vocabulary(targets[targets != ignore_index], "target")
        return ops.linear_cross_entropy(
            self.hidden(ids), self.wte.weight, targets, ignore_index, reduction
        )

    def next_token_logits(self, ids):
        """Logits (B, V) for the id that follows the last position of ``ids`` (B, T).

        What generation needs: the head, a (C, V) matrix product, runs for one position only.
        """
        return ops.linear(self.hidden(ids)[:, -1], self.wte.weight)  # (B, V)

    def summary(self):
        """A table of parameters, activation memory and arithmetic, as a string."""
        return summary(self)

    def _checked_ids(self, ids):
        ids = _integers(ids, "ids")
        if ids.ndim != 2 or ids.size == 0:
            raise UserError(
                f"ids have shape {ids.shape}, expected (B, T): B sequences of T tokens each, at "
                "least one of both"
            )
        if ids.shape[1] > self.config.block_size:
            raise UserError(
                f"the sequence has {ids.shape[1]} tokens, but this model's block_size is "
                f"{self.config.block_size}: keep its last {self.config.block_size}, or train a "
                "model with a larger block_size"
            )
        self._check_vocabulary(ids, "id")
        return ids

    def _check_vocabulary(self, ids, what):
        V = self.config.vocab_size
        if ids.size and (ids.min() < 0 or ids.max() >= V):
            wrong = int(ids[(ids < 0) | (ids >= V)].reshape(-1)[0])
            raise UserError(
                f"{what} {wrong} is outside the vocabulary of {V} (0 to {V - 1}): the tokens were "
                "made by another tokenizer than the model's"
            )


def _integers(ids, what):
    """``ids`` as a raw array in C order. Raises UserError unless it holds integers."""
    if isinstance(ids, Tensor):
        ids = ids.data
    elif not is_array(ids):
        ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise UserError(f"{what} are {ids.dtype}, expected an array of integers")
    return namespace(ids).ascontiguousarray(ids)  # what fast kernels take
