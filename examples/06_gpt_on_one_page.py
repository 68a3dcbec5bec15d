"""A GPT trained on one page: data, model, optimizer, training and sampling, nothing left out.

What it teaches. A language model is a function from the tokens so far to a score for each possible
next one, and training is: score, measure how surprised it was, move every number a little the way
that would have surprised it less. Everything in this file is either one of those three sentences or
an operation with a derivative, which examples 01 to 05 took apart.

    data     the Zen of Python, which comes with every Python; a token is a character
    model    embed, then twice (attend, think), then score: GPT-2's architecture, 0.1 M numbers
    AdamW    six lines
    sample   score, draw a character, append it, again

Read it in that order: it is the order of the file. The page has 856 characters and the model a
hundred thousand numbers, so it learns the page by heart: do not look for wisdom in it, but for the
loss that falls and for letters that become words. ``tinygrad_llm`` is the same with a tokenizer, a
corpus of megabytes, validation and checkpoints.

Before: 05_attention_step_by_step.py. Next: 07_equivalence_lab.py, on trusting such a program; and
tinygrad_llm/model/gpt.py with ``tinygrad-llm train``.
"""

import codecs
import contextlib
import io
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from autograd import Parameter, no_grad, ops  # noqa: E402

# --- data -----------------------------------------------------------------------------------------

with contextlib.redirect_stdout(io.StringIO()):  # importing it prints it
    import this

PAGE = codecs.decode(this.s, "rot13")
CHARACTERS = sorted(set(PAGE))
IDS = np.array([CHARACTERS.index(c) for c in PAGE])

B, T = 16, 48  # sequences in a batch, characters in a sequence
L, H, C, V = 2, 4, 64, len(CHARACTERS)  # blocks, heads, channels, vocabulary
STEPS, PEAK, WARMUP = 500, 6e-3, 20


def batch(rng):
    """B random windows (B, T), and the same shifted by one: what comes next at each place."""
    starts = rng.integers(0, len(IDS) - T, size=(B, 1))
    at = starts + np.arange(T)
    return IDS[at], IDS[at + 1]


# --- model ----------------------------------------------------------------------------------------


def new_model(rng):
    """All parameters by name, GPT-2's way: N(0, 0.02), smaller where blocks add to the stream."""

    def normal(*shape, std=0.02):
        return Parameter((std * rng.standard_normal(shape)).astype(np.float32))

    def constant(value, n):
        return Parameter(np.full(n, value, np.float32))

    p = {"tokens": normal(V, C), "places": normal(T, C)}
    for i in range(L):
        p |= {f"{i}.norm1": constant(1, C), f"{i}.shift1": constant(0, C)}
        p |= {f"{i}.qkv": normal(3 * C, C), f"{i}.out": normal(C, C, std=0.02 / math.sqrt(2 * L))}
        p |= {f"{i}.norm2": constant(1, C), f"{i}.shift2": constant(0, C)}
        p |= {f"{i}.up": normal(4 * C, C), f"{i}.up_bias": constant(0, 4 * C)}
        p |= {f"{i}.down": normal(C, 4 * C, std=0.02 / math.sqrt(2 * L))}
    return p | {"norm": constant(1, C), "shift": constant(0, C)}


def logits(p, ids):
    """Scores for the next character at every place: ids (B, T) -> (B, T, V)."""
    h = ops.embedding(p["tokens"], ids) + p["places"][: ids.shape[1]]  # (B, T, C), the stream
    for i in range(L):
        x = ops.layer_norm(h, p[f"{i}.norm1"], p[f"{i}.shift1"])
        x = ops.causal_attention(ops.linear(x, p[f"{i}.qkv"]), H)  # look at what came before
        h = h + ops.linear(x, p[f"{i}.out"])
        x = ops.layer_norm(h, p[f"{i}.norm2"], p[f"{i}.shift2"])
        x = ops.gelu(ops.linear(x, p[f"{i}.up"], p[f"{i}.up_bias"]))  # (B, T, 4 C)
        h = h + ops.linear(x, p[f"{i}.down"])  # think about it
    h = ops.layer_norm(h, p["norm"], p["shift"])
    return ops.linear(h, p["tokens"])  # the table that reads characters also scores them


# --- optimizer ------------------------------------------------------------------------------------


def adamw(p, m, v, step, lr, beta1=0.9, beta2=0.99, eps=1e-8, decay=0.1):
    """One step of AdamW (Loshchilov and Hutter 2019) on one parameter; m and v are its memory."""
    g = p.grad.data
    m += (1 - beta1) * (g - m)  # running mean of the gradient
    v += (1 - beta2) * (g * g - v)  # and of its square
    unbiased_m, unbiased_v = m / (1 - beta1**step), v / (1 - beta2**step)  # both began at 0
    p.data *= 1 - lr * decay * (p.ndim > 1)  # decay matrices only, apart from the gradient
    p.data -= lr * unbiased_m / (np.sqrt(unbiased_v) + eps)


def learning_rate(step):
    """Up in a line for WARMUP steps, then down along half a cosine to a tenth."""
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    done = (step - WARMUP) / (STEPS - WARMUP)
    return PEAK * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


# --- training -------------------------------------------------------------------------------------


def train(p, rng):
    """STEPS times: loss of a batch, its gradients, a step against them. Returns the losses."""
    memory = {name: (np.zeros_like(x.data), np.zeros_like(x.data)) for name, x in p.items()}
    losses = []
    for step in range(STEPS):
        ids, targets = batch(rng)
        loss = ops.cross_entropy(logits(p, ids), targets)  # nats per character, the mean
        loss.backward()
        for name, x in p.items():
            adamw(x, *memory[name], step + 1, learning_rate(step))
            x.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0 or step == STEPS - 1:
            bar = "*" * round(10 * losses[-1])
            print(f"    step {step + 1:4d}   loss {losses[-1]:.3f}   {bar}", flush=True)
    return losses


# --- sampling -------------------------------------------------------------------------------------


@no_grad()
def sample(p, prompt, length, rng, temperature=0.7):
    """``length`` characters after the prompt, each drawn from what the model expects there."""
    ids = [CHARACTERS.index(c) for c in prompt]
    for _ in range(length):
        scores = logits(p, np.array([ids[-T:]])).data[0, -1].astype(np.float64) / temperature
        odds = np.exp(scores - scores.max())
        ids.append(int(rng.choice(V, p=odds / odds.sum())))
    return "".join(CHARACTERS[i] for i in ids)


def known(text, n=8):
    """Which share of the text's n-letter pieces stand on the page."""
    pieces = [text[i : i + n] for i in range(len(text) - n + 1)]
    return sum(piece in PAGE for piece in pieces) / len(pieces)


def show(title, text):
    print()
    print(title)
    for line in text.splitlines():
        print(f"    | {line}")
    print(f"    of its pieces of 8 letters, {known(text):.0%} stand on the page")
    print()


def main():
    rng = np.random.default_rng(7)
    p = new_model(rng)
    print(f"The page: {len(PAGE)} characters, {V} different ones.")
    print(f"The model: {sum(x.size for x in p.values()):,} numbers in {len(p)} arrays.")
    print(f"Knowing nothing costs log({V}) = {math.log(V):.3f} nats per character.")
    before = sample(p, "Beautiful", 120, np.random.default_rng(1))
    show("Before training, after the prompt 'Beautiful' it writes:", before)

    losses = train(p, rng)
    first, last = losses[0], float(np.mean(losses[-10:]))
    print(f"    loss from {first:.3f} to {last:.3f} nats per character")

    after = sample(p, "Beautiful", 300, np.random.default_rng(1))
    show("After training:", after)
    assert abs(first - math.log(V)) < 0.1  # at first all characters are equally likely
    assert last < first / 10
    assert known(before) < 0.2 and known(after) > 0.8


if __name__ == "__main__":
    main()
