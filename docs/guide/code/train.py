"""Training: AdamW, a schedule, clipping, perplexity. It takes half a minute."""

import argparse
import math
import time

import numpy as np

import tokenizer as bpe
from data import batches, clean, collect, convert, split
from engine import no_grad
from model import GPT, Config, initial

class AdamW:
    """Steps of about the learning rate, whatever the size of a gradient."""

    def __init__(self, parameters, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
        self.parameters, self.betas, self.eps = parameters, betas, eps
        self.weight_decay, self.t = weight_decay, 0
        self.m = {name: np.zeros_like(p.data) for name, p in parameters.items()}
        self.v = {name: np.zeros_like(p.data) for name, p in parameters.items()}

    def step(self, lr, scale=1.0):
        """Move each parameter against scale times its gradient; forget the gradient."""
        (beta1, beta2), self.t = self.betas, self.t + 1
        for name, p in self.parameters.items():
            g = p.grad * scale
            m = self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            v = self.v[name] = beta2 * self.v[name] + (1 - beta2) * g * g
            m_hat, v_hat = m / (1 - beta1**self.t), v / (1 - beta2**self.t)
            decay = self.weight_decay if p.data.ndim == 2 else 0.0  # matrices only
            p.data = p.data * (1 - lr * decay) - lr * m_hat / (np.sqrt(v_hat) + self.eps)
            p.grad = None

def learning_rate(step, steps, peak, warmup=20):
    """Up in a straight line, then down to 0 along half a cosine."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

def clip(parameters, max_norm=1.0):
    """The factor that makes all gradients together no longer than max_norm."""
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters.values()))
    return max_norm / norm if norm > max_norm else 1.0

def perplexity(model, ids, end):
    """exp of the mean loss over all tokens of the texts that stand between two ends."""
    T, nats, n = model.config.block_size, 0.0, 0
    places = np.flatnonzero(ids == end)
    with no_grad():
        for start, stop in zip(places, places[1:]):
            for i in range(start, stop, T):  # a text longer than a window is cut
                row = ids[None, i : min(i + T, stop) + 1].astype(np.int64)
                nats += float(model.loss(row[:, :-1], row[:, 1:]).data) * (row.size - 1)
                n += row.size - 1
    return math.exp(nats / n)

def train(model, ids, steps, batch_size=8, peak=4e-3, end=None, seed=0, report=None):
    """Learn from random windows, which begin where texts end; gives the losses."""
    optimizer, losses, T = AdamW(model.parameters), [], model.config.block_size
    places = None if end is None else np.flatnonzero(ids == end)
    data = batches(ids, batch_size, T, np.random.default_rng(seed), places)
    for step, (x, y) in zip(range(steps), data):
        loss = model.loss(x, y)
        loss.backward()
        optimizer.step(learning_rate(step, steps, peak), clip(model.parameters))
        losses.append(float(loss.data))
        if report and (step % 50 == 0 or step == steps - 1):
            report(f"step {step:4}  loss {losses[-1]:.3f}")
    return losses

def main():
    from generate import generate
    from pretrained import save

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", nargs="?", help="of .txt and .md files; else stories")
    options.add_argument("--steps", type=int, default=400)
    options = options.parse_args()
    start, rng = time.time(), np.random.default_rng(0)
    training, held_out = split(clean(collect(options.folder))[0])
    tokenizer = bpe.train(training, 512)
    config = Config(len(tokenizer.bytes))
    model, end = GPT(config, initial(config, rng)), tokenizer.end
    row, held_out = convert(training, tokenizer), convert(held_out, tokenizer)
    if len(row) <= config.block_size:
        raise SystemExit(f"{options.folder}: too little text to learn and to hold out")
    places = None if options.folder else end  # long texts: windows begin anywhere
    train(model, row, options.steps, end=places, report=print)
    save("story.safetensors", model, tokenizer)
    found = perplexity(model, np.append(end, held_out), end)
    print(f"perplexity on texts held out {found:.3f}; {time.time() - start:.0f} seconds")
    print(tokenizer.decode(generate(model, [end], 90, rng, temperature=0.8, end=end)))

if __name__ == "__main__":
    main()
