"""Print a hash of parameters and gradients after a training step; --forward: only predict."""

import hashlib
import sys

import numpy as np

from autograd import no_grad
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.optim import AdamW, global_norm

model = GPT(GPTConfig(vocab_size=300, block_size=192, n_layer=1, n_head=2, n_embd=64), seed=1)
x, y = np.random.default_rng(0).integers(0, 300, (2, 4, 192))
if "--forward" in sys.argv:
    with no_grad():
        model.next_token_logits(x)
else:
    optimizer = AdamW(model.named_parameters())
    model.loss(x, y).backward()
    optimizer.step(grad_scale=1 / global_norm(model.parameters()))
    bits = hashlib.sha256()
    for p in model.parameters():
        bits.update(p.data.tobytes() + p.grad.data.tobytes())
    print(bits.hexdigest())
