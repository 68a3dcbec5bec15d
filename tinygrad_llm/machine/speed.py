"""How fast this machine multiplies matrices, and how much of that a training step reaches.

Nearly all arithmetic of a transformer is in matrix products, so the speed of a bare product is the
limit of a training step, and the share of it that is reached says how good the rest is. That share
can be compared between machines, unlike tokens per second.
"""

import statistics
import time

import numpy as np

from tinygrad_llm.config import ModelConfig
from tinygrad_llm.model.summary import flops_per_token

SIZE = 1536  # large enough to reach the limit, small enough to be measured at every start


def sgemm_rates(n: int = SIZE, repeats: int = 5) -> list[float]:
    """Operations per second of the float32 product of two (n, n) matrices, one value per run."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, n, n), dtype=np.float32)
    out = np.empty((n, n), dtype=np.float32)
    np.matmul(a[:256, :256], b[:256, :256])  # BLAS starts its threads
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        rates.append(2 * n**3 / (time.perf_counter() - start))
    return rates


def gemm_limit() -> float:
    """The median of ``sgemm_rates``: the operations per second of this machine at best."""
    return statistics.median(sgemm_rates())


def tokens_at_limit(config: ModelConfig, limit: float) -> float:
    """Tokens per second if a model of this shape trained at ``limit`` operations per second."""
    return limit / flops_per_token(config, config.block_size)


def training_rate(config: ModelConfig, batch_size: int, steps: int = 3) -> float:
    """Tokens per second (the median) of training on random tokens, once kernels are compiled."""
    from tinygrad_llm.model import build_model
    from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

    rng = np.random.default_rng(0)
    model = build_model(config)
    optimizer = AdamW(model.named_parameters())
    tokens = rng.integers(0, config.vocab_size, (batch_size, config.block_size + 1))
    ids, targets = tokens[:, :-1], tokens[:, 1:]
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        model.loss(ids, targets).backward()
        optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return ids.size / statistics.median(times[1:])
