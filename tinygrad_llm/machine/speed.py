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
    """The operations per second of this machine at best: of a bare product, as training has them.

    The median of a few, by our own kernel where there is one for this processor, or by BLAS.
    """
    return _limit("float32")


def bf16_limit() -> float:
    """The same for the products of ``--precision bf16``; rounding the operands is part of them."""
    return _limit("bf16")


def _limit(precision: str, n: int = SIZE, repeats: int = 5) -> float:
    from autograd import Tensor, matmul_precision, no_grad
    from autograd.ops import linear

    rng = np.random.default_rng(0)
    a, b = (Tensor(x) for x in rng.random((2, n, n), dtype=np.float32))
    rates = []
    with no_grad(), matmul_precision(precision):
        linear(a, b)  # the kernel is compiled or loaded
        for _ in range(repeats):
            start = time.perf_counter()
            linear(a, b)
            rates.append(2 * n**3 / (time.perf_counter() - start))
    return statistics.median(rates)


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
