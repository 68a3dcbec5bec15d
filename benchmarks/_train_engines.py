"""The engines that train_step.py compares: a training step of the same GPT-2 in each.

A step is forward, backward, clipping of the global norm to 1, and AdamW. Every engine starts from
the same weights, which one process writes to a file, and trains on the same batches. Ours runs the
method that ``tinygrad-llm train`` calls. PyTorch and JAX are written the way their users write
GPT-2 for speed: fused attention and loss, the fused optimizer if there is one, compiled if asked.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass

from _machine import core_type, forget_peak_rss, peak_rss, seconds_of
from _workers import use_project, use_project_as_command

LR, BETAS, EPS, DECAY, CLIP = 3e-4, (0.9, 0.95), 1e-8, 0.1, 1.0
WARM_UP = 3


@dataclass(frozen=True)
class Config:
    """A model's shape and that of its batches; ``block`` is the model's context length."""

    L: int
    H: int
    C: int
    V: int
    B: int
    T: int
    block: int

    def __str__(self):
        return f"L{self.L} H{self.H} C{self.C} V{self.V} B{self.B} T{self.T}"

    def flops_per_token(self):
        """6 (12 L C^2 + V C) for the weights, 6 L C T for causal attention, forward and back."""
        L, C = self.L, self.C
        return 6 * (12 * L * C * C + self.V * C) + 6 * L * C * self.T


CONFIGS = {
    "smoke": Config(L=1, H=2, C=16, V=64, B=2, T=8, block=8),
    "tiny": Config(L=2, H=4, C=256, V=4096, B=16, T=256, block=256),
    "small": Config(L=6, H=6, C=384, V=512, B=16, T=256, block=256),
    "gpt2": Config(L=12, H=12, C=768, V=50257, B=4, T=256, block=1024),
    "gpt2-medium": Config(L=24, H=16, C=1024, V=50257, B=4, T=256, block=1024),
}
MODES = {
    "ours": ("float32", "bf16", "float32, keeping bf16", "bf16, keeping bf16"),
    "torch": ("eager", "fused", "compile"),
    "torch-avx512": ("eager", "fused", "compile"),
    "torch-bf16": ("eager", "fused", "compile"),
    "jax": ("jit",),
}
"""The modes of every engine. Ours is compared with the best mode of a peer.

Ours are its precisions (``--precision``), and with bf16 kept for backward (``--activations``).
"""


def batches(config, n=50, text=None, seed=1):
    """``n`` batches (ids, targets), each (B, T) int64.

    Small ids are frequent, as words are. With ``text`` they are the bytes of that file, from
    random places.
    """
    import numpy as np

    rng, shape = np.random.default_rng(seed), (config.B, config.T + 1)
    source = None if text is None else np.fromfile(text, np.uint8)
    for _ in range(n):
        if source is None:
            ids = (config.V ** rng.random(shape)).astype(np.int64) - 1
        else:
            places = rng.integers(0, len(source) - config.T, (config.B, 1))
            ids = source[places + np.arange(config.T + 1)].astype(np.int64) % config.V
        yield np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])


def gpt_config(config):
    from tinygrad_llm.config import GPTConfig

    return GPTConfig(
        vocab_size=config.V,
        block_size=config.block,
        n_layer=config.L,
        n_head=config.H,
        n_embd=config.C,
    )


def one_step(model, config):
    """A function that trains what is not frozen of ``model``, unclipped, on the same batch."""
    from tinygrad_llm.model.freezing import trainable_parameters
    from tinygrad_llm.training.optim import AdamW

    optimizer = AdamW(trainable_parameters(model))
    (x, y), *_ = batches(config, 1)

    def step():
        model.loss(x, y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def write_weights(config, path):
    """The initial weights of all engines, by GPT-2's names."""
    use_project()
    import numpy as np

    from tinygrad_llm.model.gpt import GPT

    np.savez(path, **GPT(gpt_config(config), seed=0).state_dict())


def read_weights(path):
    import numpy as np

    with np.load(path) as file:
        return {name: file[name] for name in file.files}


# --- the engines ----------------------------------------------------------------------------------


class Ours:
    """The trainer's step, in a process set up like the command line's."""

    precision = activations = "float32"

    def __init__(self, config, mode, weights):
        self.set_up_process(mode)
        import numpy as np

        self.config, self.weights = config, weights
        self.label = f"numpy {np.__version__}"
        self.reset()

    def set_up_process(self, mode):
        use_project_as_command()
        self.precision, _, keeps = mode.partition(", keeping ")
        self.activations = keeps or "float32"

    def reset(self):
        from tinygrad_llm.config import TrainConfig
        from tinygrad_llm.model.gpt import GPT
        from tinygrad_llm.training.next_tokens import NextTokens
        from tinygrad_llm.training.optim import AdamW
        from tinygrad_llm.training.trainer import Trainer

        model = GPT(gpt_config(self.config), initialize=False)
        model.load_state_dict(read_weights(self.weights))
        # a constant learning rate
        options = TrainConfig(
            steps=10**9, lr=LR, warmup_steps=0, min_lr_ratio=1.0, grad_clip=CLIP,
            precision=self.precision, activations=self.activations,
        )  # fmt: skip
        self.source = OneBatch()
        self.trainer = Trainer(
            model, NextTokens(model, self.source, validation=None, token_bytes=None),
            AdamW(model.named_parameters(), LR, BETAS, EPS, DECAY), options,
            checkpoints=None, metrics=None, console=None,
        )  # fmt: skip

    def step(self, x, y):
        self.source.batch = x, y
        return self.trainer.train_step()["train_loss"]


class OneBatch:
    """A loader that returns its attribute ``batch``."""

    def next_batch(self):
        return self.batch


class Torch:
    """PyTorch: eager, with the fused optimizer, or also compiled; float32, or bf16 autocast."""

    half = False

    def __init__(self, config, mode, weights):
        import torch

        self.config, self.mode, self.weights = config, mode, weights
        self.label = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
        self.loss = torch.compile(self.loss_of) if mode == "compile" else self.loss_of
        self.reset()

    def reset(self):
        import torch

        self.p = {k: torch.tensor(v) for k, v in read_weights(self.weights).items()}
        for p in self.p.values():
            p.requires_grad_()
        groups = [
            {"params": [p for p in self.p.values() if p.ndim >= 2], "weight_decay": DECAY},
            {"params": [p for p in self.p.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, LR, BETAS, EPS, fused=True if self.mode != "eager" else None
        )

    def gemm(self, n=2048):
        """Operations per second of this PyTorch's product of two (n, n) matrices."""
        import torch

        kind = torch.bfloat16 if self.half else torch.float32
        a = torch.rand(n, n).to(kind)
        return 2 * n**3 / seconds_of(lambda: a @ a)

    def step(self, x, y):
        import torch

        x, y = torch.from_numpy(x), torch.from_numpy(y)
        bf16 = torch.autocast("cpu", torch.bfloat16) if self.half else nullcontext()
        with bf16:
            loss = self.loss(self.p, x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.p.values()), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def loss_of(self, p, x, y):
        from torch.nn import functional as F

        B, T, C, H = self.config.B, self.config.T, self.config.C, self.config.H
        h = F.embedding(x, p["wte.weight"]) + p["wpe.weight"][:T]
        for i in range(self.config.L):
            q = f"h.{i}."
            a = F.layer_norm(h, (C,), p[q + "ln_1.weight"], p[q + "ln_1.bias"])
            a = F.linear(a, p[q + "attn.c_attn.weight"], p[q + "attn.c_attn.bias"])
            heads = (t.view(B, T, H, C // H).transpose(1, 2) for t in a.split(C, dim=2))
            a = F.scaled_dot_product_attention(*heads, is_causal=True)  # (B, H, T, D)
            a = a.transpose(1, 2).reshape(B, T, C)
            h = h + F.linear(a, p[q + "attn.c_proj.weight"], p[q + "attn.c_proj.bias"])
            a = F.layer_norm(h, (C,), p[q + "ln_2.weight"], p[q + "ln_2.bias"])
            a = F.linear(a, p[q + "mlp.c_fc.weight"], p[q + "mlp.c_fc.bias"])
            a = F.gelu(a, approximate="tanh")
            h = h + F.linear(a, p[q + "mlp.c_proj.weight"], p[q + "mlp.c_proj.bias"])
        h = F.layer_norm(h, (C,), p["ln_f.weight"], p["ln_f.bias"])
        logits = F.linear(h, p["wte.weight"])  # (B, T, V)
        return F.cross_entropy(logits.view(B * T, -1), y.view(-1))


class TorchHalf(Torch):
    half = True


class Jax:
    """JAX: the whole step is compiled, and the old state's memory donated to the new state."""

    def __init__(self, config, mode, weights):
        import jax

        self.config, self.weights = config, weights
        self.label = f"jax {jax.__version__}"
        self.compiled = jax.jit(self._step, donate_argnums=0)
        self.reset()

    def reset(self):
        import jax.numpy as jnp

        p = {name: jnp.asarray(v) for name, v in read_weights(self.weights).items()}
        zeros = {name: jnp.zeros_like(v) for name, v in p.items()}
        self.state = p, zeros, {name: jnp.zeros_like(v) for name, v in p.items()}, jnp.float32(0)

    def step(self, x, y):
        self.state, loss = self.compiled(self.state, x, y)
        loss = float(loss)
        self.state[3].block_until_ready()
        return loss

    def _step(self, state, x, y):
        import jax
        import jax.numpy as jnp

        p, m, v, t = state
        loss, g = jax.value_and_grad(self._loss)(p, x, y)
        norm = jnp.sqrt(sum(jnp.sum(a * a) for a in g.values()))
        scale, t = jnp.minimum(1.0, CLIP / norm), t + 1
        g = {k: a * scale for k, a in g.items()}
        m = {k: BETAS[0] * m[k] + (1 - BETAS[0]) * g[k] for k in p}
        v = {k: BETAS[1] * v[k] + (1 - BETAS[1]) * g[k] ** 2 for k in p}
        first, second = 1 - BETAS[0] ** t, 1 - BETAS[1] ** t
        p = {
            k: a * (1 - LR * (DECAY if a.ndim >= 2 else 0.0))
            - LR * (m[k] / first) / (jnp.sqrt(v[k] / second) + EPS)
            for k, a in p.items()
        }
        return (p, m, v, t), loss

    def _loss(self, p, x, y):
        import jax
        import jax.numpy as jnp

        B, T, C, H = self.config.B, self.config.T, self.config.C, self.config.H

        def norm(h, name):
            centred = h - h.mean(-1, keepdims=True)
            rstd = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
            return centred * rstd * p[f"{name}.weight"] + p[f"{name}.bias"]

        def linear(h, name):
            return h @ p[f"{name}.weight"].T + p[f"{name}.bias"]

        h = p["wte.weight"][x] + p["wpe.weight"][:T]
        for i in range(self.config.L):
            a = linear(norm(h, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
            heads = (t.reshape(B, T, H, C // H) for t in jnp.split(a, 3, axis=-1))
            a = jax.nn.dot_product_attention(*heads, is_causal=True).reshape(B, T, C)
            h = h + linear(a, f"h.{i}.attn.c_proj")
            a = jax.nn.gelu(linear(norm(h, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate=True)
            h = h + linear(a, f"h.{i}.mlp.c_proj")
        logits = norm(h, "ln_f") @ p["wte.weight"].T
        picked = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        return (jax.nn.logsumexp(logits, axis=-1) - picked).mean()


ENGINES = {
    "ours": Ours,
    "torch": Torch,
    "torch-avx512": Torch,
    "torch-bf16": TorchHalf,
    "jax": Jax,
}


# --- a worker -------------------------------------------------------------------------------------


def prepare(config, kind, mode, weights):
    """A worker that trains an engine of class ``kind``; its hello follows ``WARM_UP`` steps."""
    begun = time.perf_counter()
    engine = kind(config, mode, weights)
    data = list(batches(config))
    losses = [engine.step(x, y) for x, y in data[:WARM_UP]]
    forget_peak_rss()
    done = 0

    def answer(what, n=1, text=None, seed=1):
        nonlocal done
        if what == "losses":
            engine.reset()
            losses = [engine.step(x, y) for x, y in batches(config, n, text, seed)]
            forget_peak_rss()  # starting again held the weights twice
            return losses
        if what == "rss":
            return peak_rss()
        seconds = []
        for _ in range(n + 1):
            x, y = data[done % len(data)]
            start = time.perf_counter()
            engine.step(x, y)
            seconds.append(time.perf_counter() - start)
            done += 1
        return seconds[1:]  # the first step brings its memory back into the caches

    hello = {"label": engine.label, "losses": losses, "start_s": time.perf_counter() - begun}
    if isinstance(engine, Ours):
        from autograd.kernels import product

        hello |= {"method": product.method(), "why_not": product.why_not()}
    if isinstance(engine, Torch):
        hello["gemm_flops"] = engine.gemm(256 if config.C < 64 else 2048)
    return hello, answer


def prepare_gemm():
    """A worker that measures NumPy's matrix product, the limit of a step's speed."""
    use_project()
    import numpy as np

    from tinygrad_llm.machine.speed import sgemm_rates

    def answer(sizes, n):
        return {size: sgemm_rates(size, n) for size in sizes}

    return {"label": f"numpy {np.__version__}", "core_type": core_type()}, answer
