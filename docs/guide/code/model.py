"""The decoder-only transformer of GPT-2: embeddings, blocks, and the next token."""

from dataclasses import dataclass

import numpy as np

from attention import causal_self_attention, linear, log_softmax, part
from engine import Tensor, mean, reshape, tanh, total, transpose

@dataclass
class Config:
    vocab_size: int
    block_size: int = 96
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64

def layer_norm(x, p, eps=1e-5):
    """Each position's C numbers with mean 0 and variance 1, then scaled and shifted."""
    centred = x - mean(x)
    normal = centred * (mean(centred * centred) + eps) ** -0.5
    return normal * p["weight"] + p["bias"]

def gelu(x):
    """x times the share of a normal distribution below x, by GPT-2's formula."""
    return x * 0.5 * (1 + tanh((x + x**3 * 0.044715) * (2 / np.pi) ** 0.5))

def mlp(x, p):
    return linear(gelu(linear(x, part(p, "c_fc."))), part(p, "c_proj."))

def block(x, p, n_head):
    """Talk to the others, then think alone; each adds to the stream (B, T, C)."""
    h = layer_norm(x, part(p, "ln_1."))
    x = x + causal_self_attention(h, part(p, "attn."), n_head)
    return x + mlp(layer_norm(x, part(p, "ln_2.")), part(p, "mlp."))

def cross_entropy(logits, targets):
    """-log p(target), averaged over the targets that are not -100."""
    V = logits.shape[-1]
    targets = targets.reshape(-1)
    rows = np.flatnonzero(targets != -100)
    logp = log_softmax(reshape(logits, (-1, V)))  # (B T, V)
    return total(logp[rows, targets[rows]]) * (-1 / max(1, len(rows)))

def shapes(config):
    """The name and the shape of every parameter, as in GPT-2's files."""
    C = config.n_embd
    blocks = [f"h.{i}." for i in range(config.n_layer)]
    yield "wte.weight", (config.vocab_size, C)
    yield "wpe.weight", (config.block_size, C)
    for h in blocks:
        for name, n_in, n_out in (
            ("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C),
            ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C),
        ):
            yield f"{h}{name}.weight", (n_in, n_out)
            yield f"{h}{name}.bias", (n_out,)
    for name in [*(h + ln for h in blocks for ln in ("ln_1", "ln_2")), "ln_f"]:
        yield f"{name}.weight", (C,)
        yield f"{name}.bias", (C,)

def initial(config, rng, dtype=np.float32, std=None):
    """Matrices from N(0, 1/C), smaller where they add to the stream; norms scale by 1."""
    arrays, std = {}, std or config.n_embd**-0.5  # GPT-2: 0.02, for C from 768 to 1,600
    for name, shape in shapes(config):
        small = (2 * config.n_layer) ** -0.5 if "c_proj" in name else 1
        value = np.ones(shape) if "ln_" in name and "weight" in name else np.zeros(shape)
        if len(shape) == 2:
            value = rng.normal(0, std * small, shape)
        arrays[name] = value.astype(dtype)
    return arrays

class GPT:
    """The model of a Config: `model(ids)` gives logits for what follows each position."""

    def __init__(self, config, arrays):
        self.config = config
        self.parameters = {n: Tensor(a, requires_grad=True) for n, a in arrays.items()}

    def __call__(self, ids):
        """ids (B, T) -> logits (B, T, V)."""
        p, T = self.parameters, ids.shape[1]
        if T > self.config.block_size:
            raise ValueError(f"{T} tokens, but positions for {self.config.block_size}")
        x = p["wte.weight"][ids] + p["wpe.weight"][:T]  # (B, T, C)
        for i in range(self.config.n_layer):
            x = block(x, part(p, f"h.{i}."), self.config.n_head)
        x = layer_norm(x, part(p, "ln_f."))
        return x @ transpose(p["wte.weight"], (1, 0))  # the embedding again: tied

    def loss(self, ids, targets):
        return cross_entropy(self(ids), targets)

if __name__ == "__main__":
    config = Config(vocab_size=400)
    model = GPT(config, initial(config, np.random.default_rng(0)))
    x, y = np.random.default_rng(1).integers(0, 400, size=(2, 8, 96))
    print(config, sum(p.data.size for p in model.parameters.values()), "numbers")
    print(f"loss before training {model.loss(x, y).data:.3f}, log V {np.log(400):.3f}")
