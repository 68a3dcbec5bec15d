"""The equivalence lab: two roads to one gradient, and what it means when they do not meet.

What it teaches. A wrong gradient does not crash: the loss still falls, only less. But a mistake is
hardly ever the same on two different roads, and training is full of places where two roads must
lead to the same number:

    accumulate    many small batches added up     one large batch
    recompute     activations computed twice      activations kept
    fuse          one operation with a kernel     the formulas, step by step
    pack          documents side by side          each document alone
    reuse         gradients added up in place     each gradient an array of its own
    share         half of the batch per thread    one thread
    update        what has a gradient moves       what has none stays

Each pair below is computed on a small GPT, and *every* gradient is compared. Equal to the last bit
is possible where both roads do the same sums in the same order; else they agree to rounding, 1e-16
for the float64 numbers used here. Between 1e-12 and 1e-3 there is nothing: that gap is what
makes the comparison a proof. Some sections also take a road that looks right and is not.

Run it, then read ``main`` and the function of the line that interests you.

Before: 06_gpt_on_one_page.py. Next: 08_bug_zoo.py. More pairs: tests/test_equivalence.py.
"""

import math
import os
import threading

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from autograd import grad, ops, use_kernels  # noqa: E402
from autograd.functional import checkpoint  # noqa: E402
from tinygrad_llm.config import GPTConfig  # noqa: E402
from tinygrad_llm.model import GPT  # noqa: E402
from tinygrad_llm.training.optim import AdamW  # noqa: E402

V, T, B, L, H, C = 50, 16, 8, 2, 4, 32
IGNORE = -100  # a target that does not count: padding, or the question in a question and answer


def new_model(dropout=0.0, recompute=False):
    """A GPT in float64, its weights far from where they start: a zero would hide a mistake."""
    model = GPT(GPTConfig(V, T, L, H, C, dropout), seed=1, recompute=recompute)
    rng = np.random.default_rng(2)
    for p in model.parameters():
        p.data = p.data + 0.1 * rng.standard_normal(p.shape)
    return model.astype(np.float64)


def batch(masked=False):
    """Ids (B, T) and what comes next (B, T). Masked: the rows have 1, 2, 5, 9, ... targets left."""
    ids = np.random.default_rng(3).integers(0, V, (B, T + 1))
    x, y = ids[:, :-1].copy(), ids[:, 1:].copy()
    if masked:
        for row, kept in enumerate((1, 2, 5, 9, 12, 14, 15, 16)):
            y[row, : T - kept] = IGNORE
    return x, y


def gradients(model):
    """The gradients by name, taken away from the model."""
    found = {name: p.grad.data for name, p in model.named_parameters()}
    model.zero_grad()
    return found


def reference_gradients(model, x, y):
    model.loss(x, y).backward()
    return gradients(model)


def compare(what, found, expected, right=True):
    """One line: the largest difference of any gradient, as a share of the largest gradient."""
    size = max(np.abs(g).max() for g in expected.values())
    apart = max(np.abs(found[name] - expected[name]).max() for name in expected) / size
    bits = all(np.array_equal(found[name], expected[name]) for name in expected)
    verdict = "the same bits" if bits else "the same" if apart < 1e-12 else "NOT THE SAME"
    print(f"    {what:<58s} {apart:8.1e}  {verdict}")
    assert (apart < 1e-12) if right else (apart > 1e-3), what


# --- the pairs ------------------------------------------------------------------------------------


def accumulation():
    model = new_model()
    for masked in (False, True):
        x, y = batch(masked)
        expected = reference_gradients(model, x, y)
        kind = "masked" if masked else "full"
        count = np.count_nonzero(y != IGNORE)
        for part in np.split(np.arange(B), 4):
            model.loss(x[part], y[part], reduction="sum").backward(1 / count)
        compare(f"4 small batches, {kind}: sum of losses / all targets", gradients(model), expected)
        for part in np.split(np.arange(B), 4):
            (model.loss(x[part], y[part]) / 4).backward()
        compare(
            f"4 small batches, {kind}: mean of the means", gradients(model), expected, not masked
        )


def recomputing():
    x, y = batch()
    expected = reference_gradients(new_model(dropout=0.2), x, y)
    found = reference_gradients(new_model(dropout=0.2, recompute=True), x, y)
    compare("blocks recomputed in backward, with dropout", found, expected)
    model = new_model(dropout=0.2)
    try:
        checkpoint(lambda: model.loss(x, y)).backward()  # rngs=(model.rng,) is missing
    except RuntimeError as error:
        print(f"    without the random state: {str(error).partition('.')[0]}")
    else:
        raise AssertionError("a new dropout mask should have been noticed")


def fusing():
    x, y = batch(masked=True)
    model = new_model()
    with use_kernels("reference"):
        expected = reference_gradients(model, x, y)
    compare("compiled kernels for NumPy formulas", reference_gradients(model, x, y), expected)
    logits = model(x)
    rows = np.nonzero(y != IGNORE)
    log_p = logits - ops.log(ops.exp(logits).sum(axis=-1, keepdims=True))  # (B, T, V)
    (-log_p[(*rows, y[rows])].mean()).backward()
    compare("loss fused with the last product for log(softmax)", gradients(model), expected)


def attention(q, k, v, mask):
    """softmax(q k^T / sqrt(D)) v for (T, D) arrays, each row over what the mask lets it see."""
    scores = ops.where(mask, q @ k.T / math.sqrt(q.shape[-1]), -1e30)  # (T, T)
    weights = ops.exp(scores - scores.data.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)) @ v


def packing():
    """Two documents of 7 and 9 tokens: qkv (T, 3 D) of one head, as ops.causal_attention has it."""
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
    for what, mask, right in (
        (
            "two documents in one row, each masked from the other",
            causal & (owner[:, None] == owner),
            1,
        ),
        ("two documents in one row, without that mask", causal, 0),
    ):
        q, k, v = ops.split(ops.linear(x, w), 3, axis=-1)  # (T, C) each
        (found,) = grad(attention(q, k, v, mask), w, g)
        compare(what, {"w": found.data}, {"w": separate}, bool(right))


def reusing():
    model = new_model()
    x, y = batch()
    halves = np.split(np.arange(B), 2)
    apart = [grad(model.loss(x[i], y[i]), model.parameters()) for i in halves]
    names = [name for name, _ in model.named_parameters()]
    expected = {n: a.data + b.data for n, a, b in zip(names, *apart, strict=True)}
    model.loss(x[halves[0]], y[halves[0]]).backward()
    first = gradients(model)
    compare("the first half only, = in place of +=", first, expected, right=False)
    for i in halves:
        model.loss(x[i], y[i]).backward()
    compare("backward twice into the same .grad, in place", gradients(model), expected)


def sharing():
    model = new_model()
    x, y = batch()
    expected = reference_gradients(model, x, y)

    def work(half):
        (model.loss(x[half], y[half]) / 2).backward()

    threads = [threading.Thread(target=work, args=(i,)) for i in np.split(np.arange(B), 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compare("two threads, each half of the batch, one .grad", gradients(model), expected)


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
    print("    two roads to one gradient" + " " * 33 + "largest difference")
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
    print()
    print("Why the mean of means fails: a batch with 3 targets left and one with 31 get equal say,")
    print("so each target of the first counts ten times as much. Nothing crashes; it just learns")
    print("something else. The trainer therefore adds up sums and divides once.")


if __name__ == "__main__":
    main()
