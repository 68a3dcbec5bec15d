"""A GPT trained on one page: data, model, optimizer, training and sampling, nothing left out.

What it teaches. A language model is a function from the tokens so far to a score for each possible
next one, and training is: score, measure how surprised it was, move every number a little the way
that would have surprised it less. Everything in this file is either one of those three sentences or
an operation with a derivative, which examples 01 to 05 took apart.

    data     the Zen of Python, which comes with every Python; a token is a character
    model    embed, then twice (attend, think), then score: GPT-2's architecture, 0.1 M numbers
    AdamW    six lines
    held out the last lines of the page, which training never sees
    sample   score, draw a character, append it, again

Read it in that order: it is the order of the file. The page has 856 characters and the model a
hundred thousand numbers, so it learns the page by heart: do not look for wisdom in it, but for the
loss that falls and for letters that become words. What was learned by heart, and what was learned,
is told apart by the lines that were held out: their loss falls too at first, and then rises.
``tinygrad_llm`` is the same with a tokenizer, a corpus of megabytes and checkpoints.

Before: 05_attention_step_by_step.py. Next: 07_equivalence_lab.py, on trusting such a program; and
tinygrad_llm/model/gpt.py with ``tinygrad-llm train``.

Exercises, answered in solutions/06_gpt_on_one_page.py. Try first.

1. Without places. Set ``places`` to 0. Does the order of the characters before the last one still
   matter to the scores of the next? With one block, and with two?
2. The loss before the first step. It is close to log(V). Draw ``tokens`` from N(0, 0.5) in place of
   N(0, 0.02), and it is far above. Which character does the untrained model then expect, and why?
3. Stop in time. Watch the held-out loss every 10 steps, and stop when it has not improved for 50.
   After how many steps is that, and what does the model at its best write?
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
CUT = PAGE.index("If the implementation is hard")  # the last three lines are held out
TRAIN, HELD_OUT = IDS[:CUT], IDS[CUT:]

B, T = 16, 48  # sequences in a batch, characters in a sequence
L, H, C, V = 2, 4, 64, len(CHARACTERS)  # blocks, heads, channels, vocabulary
STEPS, PEAK, WARMUP = 500, 6e-3, 20


def batch(rng):
    """B random windows (B, T), and the same shifted by one: what comes next at each place."""
    starts = rng.integers(0, len(TRAIN) - T, size=(B, 1))
    at = starts + np.arange(T)
    return TRAIN[at], TRAIN[at + 1]


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


# --- what was held out, and what its loss is compared with ----------------------------------------


@no_grad()
def held_out_loss(p):
    """The mean loss of the lines that training never sees, from every place where T fit."""
    at = np.arange(len(HELD_OUT) - T)[:, None] + np.arange(T)
    return ops.cross_entropy(logits(p, HELD_OUT[at]), HELD_OUT[at + 1]).item()


def marks():
    """The held-out loss of three models that count, and have no parameters to learn.

    u knows nothing, 1 how often each character occurs, and 2 how often each follows another. (One
    more than was counted, so that nothing is impossible.)
    """
    ones, pairs = np.ones(V), np.ones((V, V))
    np.add.at(ones, TRAIN, 1)
    np.add.at(pairs, (TRAIN[:-1], TRAIN[1:]), 1)
    pairs /= pairs.sum(axis=1, keepdims=True)
    before, after = HELD_OUT[:-1], HELD_OUT[1:]
    return {
        "u": math.log(V),
        "1": -float(np.log(ones / ones.sum())[after].mean()),
        "2": -float(np.log(pairs[before, after]).mean()),
    }


def scale(points):
    """A line from 0 to 7 nats, eight columns for each, with a letter at each of the points."""
    line = [" "] * 57
    for letter, nats in points.items():
        line[min(56, round(8 * nats))] = letter
    return "".join(line).rstrip()


# --- training -------------------------------------------------------------------------------------


def train(p, rng):
    """STEPS times: loss of a batch, its gradients, a step against them.

    Yields (steps so far, loss of the last batch) before each step and at the end, so that a loop
    over it can look at the model, or stop.
    """
    memory = {name: (np.zeros_like(x.data), np.zeros_like(x.data)) for name, x in p.items()}
    for step in range(STEPS + 1):
        ids, targets = batch(rng)
        loss = ops.cross_entropy(logits(p, ids), targets)  # nats per character, the mean
        yield step, loss.item()
        loss.backward()
        for name, x in p.items():
            adamw(x, *memory[name], step + 1, learning_rate(step))
            x.zero_grad()


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

    counting, losses, held_out = marks(), [], {}
    print("Training on all but the last three lines. In nats per character:\n")
    print(f"    t  the page, one batch    1  counting characters, {counting['1']:.2f}")
    print(f"    h  held out               2  counting pairs, {counting['2']:.2f}")
    print(f"                              u  knowing nothing, {counting['u']:.2f}\n")
    print("  step     t     h   " + "       ".join("01234567"))
    for step, loss in train(p, rng):
        losses.append(loss)
        if step % 50 == 0:
            held_out[step] = held_out_loss(p)
            line = scale({**counting, "h": held_out[step], "t": loss})
            print(f"  {step:4d}  {loss:4.2f}  {held_out[step]:4.2f}  {line}", flush=True)
    first, last = losses[0], float(np.mean(losses[-10:]))
    best = min(held_out, key=held_out.get)
    print(f"""
The loss of the page fell from {first:.2f} to {last:.2f}: the page is known by heart.
That of the lines held out was lowest after {best} steps, {held_out[best]:.2f}, and ended at
{held_out[STEPS]:.2f}: to be wrong with great confidence costs more than to know nothing.
One page is too little to learn a language from. That takes megabytes, of which
no line is seen often enough to be learned by heart.""")

    after = sample(p, "Beautiful", 300, np.random.default_rng(1))
    show("After training:", after)
    assert abs(first - math.log(V)) < 0.1  # at first all characters are equally likely
    assert last < first / 10
    assert counting["2"] < counting["1"] < counting["u"] and best < STEPS / 4
    assert held_out[best] < counting["u"] - 0.5 and held_out[STEPS] > counting["u"] + 1
    assert known(before) < 0.2 and known(after) > 0.8


if __name__ == "__main__":
    main()
