"""The Llama family on one page: the transformer of gpt.py, and what was changed since GPT-2.

    h = embed_tokens[ids]                      what each token is; no position is added
    h = h + self_attn(norm(h))                 n_layer times: look at the tokens before,
    h = h + mlp(norm(h))                                      then think about each one alone
    logits = norm(h) W^T                       how well each id of the vocabulary would come next

Llama (Touvron et al. 2023) has four changes, each of which was known before:

    RMS normalization       without mean and bias (Zhang and Sennrich 2019)
    rotary embedding        position is an angle by which queries and keys are turned, so that their
                            product depends on the distance of two tokens alone (Su et al. 2021)
    a gated mlp             one product decides how much of another passes (Shazeer 2020)
    grouped queries         several query heads share the keys and values of one head, of which a
                            generator then has fewer to store (Ainslie et al. 2023)

Its relatives add biases (Qwen2), normalized queries and keys (Qwen3, OLMo 2, Gemma 3), a sliding
window (Mistral) or one in some layers (Gemma 3), layers without position (SmolLM3), and put the
normalization elsewhere (OLMo 2, Gemma 3). Each is an option of ``LlamaConfig``.

Shape letters: B sequences of T tokens, C = n_embd channels, H query heads and G = n_kv_head key
heads of D = head_dim channels, of which R are turned, M = n_hidden channels in the mlp, V ids.
"""

import math

import numpy as np

from autograd import ops
from autograd.functional import recompute
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.model.containers import ModuleList
from tinygrad_llm.model.language_model import LanguageModel, check_config
from tinygrad_llm.model.layers import (
    Embedding,
    Linear,
    RMSNorm,
    look_up_tokens,
    normal_,
    positions_in,
    without_initial_values,
)
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.rotary import cos_sin, frequencies
from tinygrad_llm.model.summary import summary
from tinygrad_llm.quantized.linear import ops_for


class Attention(Module):
    """How tokens look at the tokens before them: (B, T, C) -> (B, T, C).

        q_proj, k_proj, v_proj   (B, T, C) -> (B, T, H D), (B, T, G D), (B, T, G D)
        norm                     of queries and keys, in some models
        rope                     turns queries and keys by the angles of their positions
        scores                   scale q k^T, -inf where key s comes after query t or, with a window
                                 of W tokens, where s <= t - W
        softmax, p v, merge      as in GPT-2; key head i serves query heads i H/G to (i + 1) H/G - 1
        o_proj                   (B, T, H D) -> (B, T, C)

    From the scores to p v is one operation, ``ops.grouped_query_attention``. With a cache, the T
    tokens also see the keys and values of those before them, which it has kept. With ``documents``,
    no token sees one before the start of its own document.
    """

    def __init__(self, config, layer):
        C, H, G, D = config.n_embd, config.n_head, config.n_kv_head, config.head_dim
        self.head_dim, self.scale = D, config.attention_scale
        self.window, self.softcap = config.window(layer), config.attention_softcap
        self.q_proj = Linear(C, H * D, config.qkv_bias)
        self.k_proj = Linear(C, G * D, config.qkv_bias)
        self.v_proj = Linear(C, G * D, config.qkv_bias)
        self.o_proj = Linear(H * D, C, config.out_bias)
        self.qk_norm = config.qk_norm
        if config.qk_norm != "none":
            q_size, k_size = (D, D) if config.qk_norm == "head" else (H * D, G * D)
            self.q_norm = RMSNorm(q_size, config.norm_eps, config.norm_offset)
            self.k_norm = RMSNorm(k_size, config.norm_eps, config.norm_offset)

    def forward(self, x, tables, cache=None, documents=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.qk_norm == "all":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)  # (B, T, H or G, D)
        if self.qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        if tables is not None:
            q, k = ops.rope(q, *tables), ops.rope(k, *tables)
        q, k, v = (ops.swapaxes(a, 1, 2) for a in (q, k, v))  # (B, H or G, T, D)
        if cache is not None:
            k, v = cache.extend(k, v)  # (B, G, S, D)
        options = self.window, self.softcap, self.scale
        y = ops.grouped_query_attention(q, k, v, *options, documents=documents)
        y = ops.swapaxes(y, 1, 2)  # (B, T, H, D)
        return self.o_proj(ops.reshape(y, (*y.shape[:2], -1)))  # (B, T, C)

    def _heads(self, x):
        return ops.reshape(x, (*x.shape[:2], -1, self.head_dim))


class MLP(Module):
    """Each token on its own: (B, T, C) -> (B, T, C).

        mlp(x) = (act(x W_gate^T) * (x W_up^T)) W_down^T

    With act = silu this is SwiGLU, with GELU GeGLU.
    """

    def __init__(self, config):
        C, M, bias = config.n_embd, config.n_hidden, config.mlp_bias
        self.gate_proj = Linear(C, M, bias)
        self.up_proj = Linear(C, M, bias)
        self.down_proj = Linear(M, C, bias)
        self.activation = config.activation

    def forward(self, x):
        gate, up = self.gate_proj(x), self.up_proj(x)  # (B, T, M)
        if self.activation == "silu":
            return self.down_proj(ops.swiglu(gate, up))  # (B, T, C)
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return self.down_proj(ops.geglu(gate, up, approximate))  # (B, T, C)


class Block(Module):
    """One transformer block: (B, T, C) -> (B, T, C).

    Up to four normalizations, with Gemma's names: Llama has the two before the branches, OLMo 2 the
    two after them, Gemma all four. None is part of the residual stream.
    """

    def __init__(self, config, layer):
        def norm(where):
            has = config.norm_placement in (where, "both")
            return RMSNorm(config.n_embd, config.norm_eps, config.norm_offset) if has else None

        self.input_layernorm = norm("before")
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = norm("after")
        self.pre_feedforward_layernorm = norm("before")
        self.mlp = MLP(config)
        self.post_feedforward_layernorm = norm("after")

    def forward(self, x, tables, cache=None, documents=None):
        y = self.self_attn(_normed(self.input_layernorm, x), tables, cache, documents)
        x = x + _normed(self.post_attention_layernorm, y)  # (B, T, C)
        y = self.mlp(_normed(self.pre_feedforward_layernorm, x))
        return x + _normed(self.post_feedforward_layernorm, y)  # (B, T, C)


def _normed(norm, x):
    return x if norm is None else norm(x)


class Llama(LanguageModel):
    """The model of a LlamaConfig. Parameters have Hugging Face's names and are float32.

    ``seed`` gives the initial weights; with ``initialize=False`` the matrices stay zero, to be
    loaded. With ``recompute=True`` training keeps only the input of each block and computes the
    block again in backward.
    """

    def __init__(self, config, seed=0, initialize=True, recompute=False):
        check_config(self, config, LlamaConfig)
        self.config, self.recompute = config, recompute
        self.rng = None  # a GPT draws its dropout masks from one; here only adapters may
        with without_initial_values():
            self.embed_tokens = Embedding(config.vocab_size, config.n_embd)
            self.layers = ModuleList(Block(config, layer) for layer in range(config.n_layer))
            self.norm = RMSNorm(config.n_embd, config.norm_eps, config.norm_offset)
            self.lm_head = None
            if not config.tied:
                self.lm_head = Linear(config.n_embd, config.vocab_size, bias=False)
        self.rotary = Rotary(config)
        if initialize:
            self._initialize(np.random.default_rng(seed))

    def _initialize(self, rng, std=0.02):
        """Draw the matrices from N(0, std^2), those that feed the residual stream with less.

        As in gpt.py: the stream is a sum of 2 L branches, whose last matrices are drawn with
        std / sqrt(2 L). Biases are 0 and normalization starts as a factor of 1.
        """
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                normal_(parameter, std / math.sqrt(2 * self.config.n_layer), rng)
            elif parameter.ndim == 2:
                normal_(parameter, std, rng)

    def embed(self, ids):
        """What each token is: ids (B, T) -> (B, T, C)."""
        tokens = look_up_tokens(self.embed_tokens, ids, self.config.block_size)  # (B, T, C)
        scale = self.config.embedding_scale
        return tokens if scale == 1 else scale * tokens

    def hidden(self, ids, cache=None, documents=None):
        """The residual stream after the last normalization: ids (B, T) -> (B, T, C).

        With a ``KVCache`` (of generation/cache.py) the ids continue the B rows in it, and are added
        to them. Its rows must have the same length; gradients must be off.

        Where a row holds several documents, ``documents`` (B, T) names for each token the position
        at which its own begins. It sees nothing before that, and its position is counted from
        there: the result is that of each document in a row of its own, but for rounding.
        """
        x = self.embed(ids)  # (B, T, C)
        if documents is None:
            start = 0 if cache is None else cache.start(*x.shape[:2])
            positions = slice(start, start + x.shape[1])
        else:
            positions = positions_in(documents, ids, cache)
        tables = self.rotary.tables(positions, x.dtype)
        rngs = () if self.rng is None else (self.rng,)
        for layer, block in enumerate(self.layers):
            turn = tables[self.rotary.kind(layer)]
            if cache is not None:
                x = block(x, turn, cache.layer(layer))
            elif self.recompute:
                x = recompute(block, x, turn, None, documents, rngs=rngs)
            else:
                x = block(x, turn, None, documents)
        if cache is not None:
            cache.append(ids)
        return self.norm(x)  # (B, T, C)

    @property
    def head(self):
        """The matrix (V, C) of the output layer: with tied weights, the token table."""
        return (self.embed_tokens if self.lm_head is None else self.lm_head).weight

    def forward(self, ids, cache=None, documents=None):
        """Logits (B, T, V) for the id that follows each position of ``ids`` (B, T).

        ``cache`` and ``documents`` are those of ``hidden``. Raises TypeError unless ids are
        integers; UserError unless 1 <= B, 1 <= T <= block_size, and every id is in the vocabulary.
        So do the other methods that take ids.
        """
        return self.logits(self.hidden(ids, cache, documents))  # (B, T, V)

    def logits(self, h):
        """The output layer: hidden states (..., C) -> logits (..., V)."""
        layer, table, cap = self.lm_head, self.embed_tokens.weight, self.config.logit_softcap
        logits = ops_for(table).linear(h, table) if layer is None else layer(h)
        return logits if cap is None else cap * ops.tanh(logits / cap)

    def loss(self, ids, targets, ignore_index=-100, reduction="mean", documents=None):
        """Cross-entropy, in nats, of the logits of ``ids`` (B, T) against ``targets`` (B, T).

        As GPT.loss: the logits never exist at once, unless they have a soft-cap or the output layer
        has an adapter.
        """
        h = self.hidden(ids, documents=documents)  # (B, T, C)
        plain = self.lm_head is None or type(self.lm_head) is Linear
        if self.config.logit_softcap is not None or not plain:
            return ops.cross_entropy(self.logits(h), targets, ignore_index, reduction)
        head = self.head
        return ops_for(head).linear_cross_entropy(h, head, targets, ignore_index, reduction)

    def next_token_logits(self, ids):
        """Logits (B, V) for the id that follows the last position of ``ids`` (B, T)."""
        return self.logits(self.hidden(ids)[:, -1])  # (B, V)

    def summary(self):
        """A table of parameters, memory and arithmetic, as a string."""
        return summary(self)


class Rotary:
    """The tables of cos and sin, (T, 1, R/2), for every layer: one pair for each base.

    They are computed for the longest sequence so far and kept.
    """

    def __init__(self, config):
        R = config.n_turned
        # False: the layers' frequencies; True: those of sliding layers, if they have a base of
        # their own.
        self.frequencies = {False: frequencies(R, config.rope_theta, config.rope_scaling)}
        if config.rope_theta_sliding is not None:
            self.frequencies[True] = frequencies(R, config.rope_theta_sliding)
        self.config, self.kept = config, {}

    def kind(self, layer):
        """Which of the frequencies a layer has: False or True; None without rotary embedding."""
        if not self.config.has_rope(layer):
            return None
        return True in self.frequencies and self.config.window(layer) is not None

    def table(self, kind, length, dtype):
        """(cos, sin) of at least the positions 0 to ``length`` - 1."""
        kept = self.kept.get((kind, dtype))
        if kept is None or len(kept[0]) < length:
            n = min(max(length, self.config.block_size), 2 * length)  # not for each token anew
            kept = cos_sin(np.arange(n)[:, None], *self.frequencies[kind], dtype)
            self.kept[kind, dtype] = kept
        return kept

    def tables(self, positions, dtype):
        """(cos, sin) for each kind of layer, and None for layers without rotary embedding.

        ``positions`` is a slice of T, for tables (T, 1, R/2), or an array (B, T), for tables
        (B, T, 1, R/2).
        """
        stop = positions.stop if isinstance(positions, slice) else int(positions.max()) + 1
        found = {None: None}
        for kind in self.frequencies:
            found[kind] = tuple(table[positions] for table in self.table(kind, stop, dtype))
        return found
