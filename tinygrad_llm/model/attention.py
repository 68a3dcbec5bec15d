"""Causal self-attention: how tokens look at the tokens before them, and at nothing after."""

from autograd import ops
from tinygrad_llm.model.layers import Dropout, Linear
from tinygrad_llm.model.module import Module


class CausalSelfAttention(Module):
    """H heads of attention over one sequence (Vaswani et al. 2017), as GPT-2 has it.

    The shapes, for a batch x (B, T, C) and H heads of D = C / H channels:

        c_attn      (B, T, C)    -> (B, T, 3 C)    queries, keys and values, side by side
        split       (B, T, 3 C)  -> 3 (B, H, T, D) head h owns channels h D to (h + 1) D of each
        q k^T       (B, H, T, T)                   how well query t matches key s
        / sqrt(D)                                  else the sum over D makes softmax a hard choice
        mask, softmax                              -inf where s > t: row t mixes tokens 0 to t only
        p v         (B, H, T, D)                   the values, averaged by those weights
        merge       (B, H, T, D) -> (B, T, C)      heads side by side again
        c_proj      (B, T, C)    -> (B, T, C)      mixes what the heads found

    From split to merge is one operation, ``ops.causal_attention``, with a folder of its own:
    autograd/kernels/attention. A token's query, key and value are the only place where tokens
    meet; everything else in a transformer treats each position alone.

    Dropout acts on the result only, not on the attention weights: those exist only inside the
    fused operation.
    """

    def __init__(self, config, rng=None):
        self.n_head = config.n_head
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = Linear(config.n_embd, config.n_embd)
        self.resid_dropout = Dropout(config.dropout, rng)

    def forward(self, x):
        qkv = self.c_attn(x)  # (B, T, 3 C)
        y = ops.causal_attention(qkv, self.n_head)  # (B, T, C)
        return self.resid_dropout(self.c_proj(y))  # (B, T, C)
