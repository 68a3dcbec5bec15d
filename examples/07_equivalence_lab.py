"""The equivalence lab: two ways to compute one gradient, and what it means when they differ.

What it teaches. A wrong gradient does not crash: the loss still falls, only more slowly. But the
same mistake is rarely made in two different ways of computing a gradient, and training is full of
places where two ways must give the same number:

    accumulate    many small batches added up     one large batch
    recompute     activations computed twice      activations kept
    fuse          one operation with a kernel     the formulas, step by step
    pack          documents side by side          each document alone
    reuse         gradients added up in place     each gradient an array of its own
    share         half of the batch per thread    one thread
    update        what has a gradient moves       what has none stays

Each pair below is computed on a small GPT, and *every* gradient is compared. The two are equal to
the last bit where both do the same sums in the same order; otherwise they agree to rounding, 1e-16
for the float64 numbers used here. No difference lies between 1e-12 and 1e-3, and that gap is what
makes the comparison convincing. Some sections also show a way that looks right and is wrong.

Run it, then read ``main`` and the function of the line that interests you.

Before: 06_gpt_on_one_page.py. Next: 08_bug_zoo.py. More pairs: tests/test_equivalence.py.

Exercises, answered in solutions/07_equivalence_lab.py. Try first.

1. Clip each part, or the whole. Is clipping the gradient of each of four micro-batches to a quarter
   of the limit, and adding up, the same as clipping the sum? Predict, then compare.
2. A gradient of 0, and no gradient. In ``updating``, set the gradients of the first block to zeros
   in place of freezing it. What moves, and why?
3. Dropout in small batches. Are four micro-batches with dropout the same as one large batch? If
   not, is it a bug, and how could one test it?
"""

import math
import os
import textwrap
import threading

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from autograd import grad, ops, use_kernels  # noqa: E402
from autograd.functional import recompute  # noqa: E402
from tinygrad_llm.config import GPTConfig  # noqa: E402
from tinygrad_llm.model import GPT  # noqa: E402
from tinygrad_llm.training.optim import AdamW  # noqa: E402

V, T, B, L, H, C = 50, 16, 8, 2, 4, 32
IGNORE = -100  # a target that does not count: padding, or the question in a question and answer


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def new_model(dropout=0.0, recompute=False):
    """A GPT in float64 with its weights moved away from their start: a zero could hide a bug."""
    model = GPT(GPTConfig(V, T, L, H, C, dropout), seed=1, recompute=recompute)
    rng = np.random.default_rng(2)
    for p in model.parameters():
        p.data = p.data + 0.1 * rng.standard_normal(p.shape)
    return model.astype(np.float64)


def batch(masked=False):
    """Ids (B, T) and their targets (B, T). Masked: the rows keep 1, 2, 5, 9, ... targets."""
    ids = np.random.default_rng(3).integers(0, V, (B, T + 1))
    x, y = ids[:, :-1].copy(), ids[:, 1:].copy()
    if masked:
        for row, targets in enumerate((1, 2, 5, 9, 12, 14, 15, 16)):
            y[row, : T - targets] = IGNORE
    return x, y


def take_gradients(model):
    """The gradients by name; the model starts again without any."""
    gradients = {name: p.grad.data for name, p in model.named_parameters()}
    model.zero_grad()
    return gradients


def gradients_of_loss(model, x, y):
    model.loss(x, y).backward()
    return take_gradients(model)


def compare(what, actual, expected, right=True):
    """One line: the largest difference of any gradient, as a share of the largest gradient."""
    size = max(np.abs(g).max() for g in expected.values())
    error = max(np.abs(actual[name] - expected[name]).max() for name in expected) / size
    bits = all(np.array_equal(actual[name], expected[name]) for name in expected)
    verdict = "the same bits" if bits else "the same" if error < 1e-12 else "NOT THE SAME"
    print(f"    {what:<58s} {error:8.1e}  {verdict}")
    assert (error < 1e-12) if right else (error > 1e-3), what


# --- the pairs ------------------------------------------------------------------------------------


def accumulation():
    model = new_model()
    for masked in (False, True):
        x, y = batch(masked)
        expected = gradients_of_loss(model, x, y)
        kind = "masked" if masked else "full"
        count = np.count_nonzero(y != IGNORE)
        for part in np.split(np.arange(B), 4):
            model.loss(x[part], y[part], reduction="sum").backward(1 / count)
        summed = take_gradients(model)
        compare(f"4 small batches, {kind}: sum of losses / all targets", summed, expected)
        for part in np.split(np.arange(B), 4):
            (model.loss(x[part], y[part]) / 4).backward()
        averaged = take_gradients(model)
        compare(f"4 small batches, {kind}: mean of the means", averaged, expected, not masked)


def recomputing():
    x, y = batch()
    expected = gradients_of_loss(new_model(dropout=0.2), x, y)
    recomputed = gradients_of_loss(new_model(dropout=0.2, recompute=True), x, y)
    compare("blocks recomputed in backward, with dropout", recomputed, expected)
    model = new_model(dropout=0.2)
    try:
        recompute(lambda: model.loss(x, y)).backward()  # rngs=(model.rng,) is missing
    except RuntimeError as error:
        print(f"    without the random state: {str(error).partition('.')[0]}")
    else:
        raise AssertionError("a new dropout mask should have been noticed")


def fusing():
    x, y = batch(masked=True)
    model = new_model()
    with use_kernels("reference"):
        expected = gradients_of_loss(model, x, y)
    compare("compiled kernels for NumPy formulas", gradients_of_loss(model, x, y), expected)
    logits = model(x)
    rows = np.nonzero(y != IGNORE)
    log_p = logits - ops.log(ops.exp(logits).sum(axis=-1, keepdims=True))  # (B, T, V)
    (-log_p[(*rows, y[rows])].mean()).backward()
    compare("loss fused with the last product for log(softmax)", take_gradients(model), expected)


def attention(q, k, v, mask):
    """softmax(q k^T / sqrt(D)) v for (T, D) arrays; each row sees only what the mask allows."""
    scores = ops.where(mask, q @ k.T / math.sqrt(q.shape[-1]), -1e30)  # (T, T)
    weights = ops.exp(scores - scores.data.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)) @ v


def packing():
    """Two documents of 7 and 9 tokens; qkv (T, 3 D) of one head, as in ops.causal_attention."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.standard_normal((n, C)) for n in (7, 9)])
    w = GPT(GPTConfig(V, T, 1, 1, C), seed=5).astype(np.float64).h[0].attn.c_attn.weight
    g = rng.standard_normal((T, C))
    separate = np.zeros_like(w.data)
    for part in (slice(0, 7), slice(7, 16)):
        y = ops.causal_attention(ops.linear(x[None, part], w), 1)
        separate = separate + grad(y, w, g[None, part])[0].data
    owner = np.repeat([0, 1], [7, 9])
    causal = np.tril(np.ones((T, T), bool))
    own_document = causal & (owner[:, None] == owner)
    for what, mask, right in (
        ("two documents in one row, each masked from the other", own_document, True),
        ("two documents in one row, without that mask", causal, False),
    ):
        q, k, v = ops.split(ops.linear(x, w), 3, axis=-1)  # (T, C) each
        (packed,) = grad(attention(q, k, v, mask), w, g)
        compare(what, {"w": packed.data}, {"w": separate}, right)


def reusing():
    model = new_model()
    x, y = batch()
    halves = np.split(np.arange(B), 2)
    per_half = [grad(model.loss(x[i], y[i]), model.parameters()) for i in halves]
    names = [name for name, _ in model.named_parameters()]
    expected = {n: a.data + b.data for n, a, b in zip(names, *per_half, strict=True)}
    first = gradients_of_loss(model, x[halves[0]], y[halves[0]])
    compare("the first half only, = in place of +=", first, expected, right=False)
    for i in halves:
        model.loss(x[i], y[i]).backward()
    compare("backward twice into the same .grad, in place", take_gradients(model), expected)


def sharing():
    model = new_model()
    x, y = batch()
    expected = gradients_of_loss(model, x, y)

    def work(half):
        (model.loss(x[half], y[half]) / 2).backward()

    threads = [threading.Thread(target=work, args=(i,)) for i in np.split(np.arange(B), 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compare("two threads, each half of the batch, one .grad", take_gradients(model), expected)


def updating():
    model = new_model()
    for name, p in model.named_parameters():
        if name.startswith("h.0."):  # freeze the first block
            p.requires_grad = False
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    model.loss(*batch()).backward()
    AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.1).step()
    moved = {n for n, p in model.named_parameters() if (p.data != before[n]).any()}
    learning = {n for n, p in model.named_parameters() if p.grad is not None}
    print(f"    {len(before)} parameters, {len(learning)} with a gradient, {len(moved)} moved")
    assert moved == learning and len(moved) == len(before) - 12


def main():
    print(f"    {'two ways to one gradient':<57s} largest difference")
    for title, pair in (
        ("1. Accumulation", accumulation),
        ("2. Recomputing activations", recomputing),
        ("3. Fused operations", fusing),
        ("4. Packed documents", packing),
        ("5. Adding in place", reusing),
        ("6. Threads", sharing),
        ("7. One optimizer step", updating),
    ):
        print(title)
        pair()
    say("""

        Why the mean of means fails: a batch with 3 targets and one with 31 get equal weight, so
        each target of the first counts ten times as much. Nothing crashes; the model just learns
        something else. The trainer therefore adds up sums and divides once.
    """)


if __name__ == "__main__":
    main()
