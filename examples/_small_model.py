"""A small model for the examples: a Llama that has read the Zen of Python many times.

It takes a few seconds to train, knows its page nearly by heart, and is good for nothing more. What
the examples show with it is true of any model: those that take MODEL also run with a real one.
"""

import codecs
import contextlib
import io
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from tinygrad_llm.config import LlamaConfig  # noqa: E402
from tinygrad_llm.model.llama import Llama  # noqa: E402
from tinygrad_llm.tokenizer import train_bpe  # noqa: E402
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm  # noqa: E402

with contextlib.redirect_stdout(io.StringIO()):  # importing it prints it
    import this

PAGE = codecs.decode(this.s, "rot13")


def make_tokenizer():
    """Byte pairs of the page: 257 single bytes and the end of text, and 127 pieces of words."""
    return train_bpe([PAGE], vocab_size=384)


def train_small_model(tokenizer, n_layer=2, n_embd=64, steps=150, block_size=256, seed=0):
    """A Llama with grouped queries after ``steps`` batches of 4 windows of 96 tokens."""
    B, T = 4, 96
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size, block_size=block_size, n_layer=n_layer, n_head=4,
        n_kv_head=2, n_embd=n_embd, n_hidden=2 * n_embd, tied=True,
    )  # fmt: skip
    model, rng = Llama(config, seed=seed), np.random.default_rng(seed)
    ids = np.array(tokenizer.encode(PAGE))
    optimizer = AdamW(model.named_parameters(), lr=4e-3)
    for _ in range(steps):
        at = rng.integers(0, len(ids) - T, size=(B, 1)) + np.arange(T)
        model.loss(ids[at], ids[at + 1]).backward()
        optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
        optimizer.zero_grad()
    return model.eval()
