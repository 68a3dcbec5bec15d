"""Gradients that explain themselves: the ledger, anomaly mode, hooks.

What it teaches. A gradient is a sum, one term for every time the value was used, and ``backward``
shows only the total. When a gradient surprises you, the questions are always the same: which use
did it come from, on which line, and where did the NaN begin. Each part asks one of them.

    dL/dx = sum over the ops that used x of (dL/d output) (d output/dx)

Part 1 opens the ledger of a small language model, whose token table is used twice, once to read
tokens in and once to score them (tied weights). Part 2 plants a NaN and asks which line made it.
Part 3 looks at a gradient on its way, and changes it.

Before: 08_bug_zoo.py. Next: 10_profiler_and_graph.py. The tools are in autograd/debug/, described
in docs/debugging.md.
"""

import textwrap

import numpy as np

from autograd import Tensor, ops
from autograd.debug import AnomalyError, detect_anomaly, record_gradients, register_op_hook
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT


def say(text):
    """Print, folded to the width of a page."""
    print(textwrap.fill(text, 92, initial_indent="   ", subsequent_indent=" " * 6))


def tiny_gpt():
    """A model of two blocks, and a batch: ids and the targets that follow them, (4, 16) each."""
    config = GPTConfig(vocab_size=65, block_size=16, n_layer=2, n_head=2, n_embd=32)
    tokens = np.random.default_rng(1).integers(0, 65, (4, 17))
    return GPT(config, seed=0), tokens[:, :-1], tokens[:, 1:]


def part_1_the_ledger():
    print("1. Who contributed to the gradient of the token table?")
    print()
    model, ids, targets = tiny_gpt()
    wte = model.wte.weight
    ledger = record_gradients(model.loss(ids, targets))  # runs backward, and keeps the books
    explanation = ledger.explain(wte, "wte")
    print(explanation)
    print()
    uses = [c.op for c in explanation.contributions]
    assert len(uses) == 2 and "Embedding" in uses
    norm = float(np.linalg.norm(wte.grad.data))
    assert abs(explanation.norm - norm) < 1e-5 * norm
    assert abs(sum(c.share for c in explanation.contributions) - 1) < 1e-5
    print("   Two uses, two terms. Both point roughly where their sum points (cosine), and the")
    print("   shares say how much of it is due to each. A copy of the table instead of the table")
    print("   itself, the classic bug of tied weights, would show one term only.")
    print()
    bias = model.ln_f.bias
    print(ledger.explain(bias, "ln_f.bias"))
    assert len(ledger.explain(bias).contributions) == 1
    print()
    print("   The ledger added the terms up itself and compared with what the engine handed on:")
    print("   had one been lost, record_gradients would have raised LedgerError.")
    print()


def part_2_anomaly_mode():
    print("2. Which line made the NaN?")
    print()
    x = Tensor(np.array([0.5, 0.0, 2.0]), requires_grad=True)

    def entropy(p):
        return -(p * ops.log(p)).sum()  # 0 log 0 is 0 on paper, and NaN here

    with np.errstate(all="ignore"):
        loss = entropy(x * x)
    assert np.isnan(loss.item())
    print(f"   loss = {loss.item()}: something went wrong, somewhere. In anomaly mode:")
    print()
    try:
        with detect_anomaly():
            entropy(x * x)
        raise AssertionError("the infinity went unnoticed")
    except AnomalyError as error:
        say(f"AnomalyError: {error}")
        assert "Log" in str(error) and "09_gradients_explained.py" in str(error)
    print()
    print("   Worse is the NaN of backward, for the forward is fine: sqrt at 0.")
    print()
    try:
        with detect_anomaly():
            ops.sqrt(x * x).sum().backward()  # |x|, written so that its derivative is 0 / 0
        raise AssertionError("the infinite gradient went unnoticed")
    except AnomalyError as error:
        say(f"AnomalyError: {error}")
        assert "backward of Sqrt" in str(error)
    print()


def part_3_hooks():
    print("3. Looking at a gradient on its way, and changing it")
    print()
    model, ids, targets = tiny_gpt()
    norms = []
    handle = register_op_hook(
        "LayerNorm",
        backward=lambda op, g, gradients: norms.append(float(np.linalg.norm(g.data))),
    )
    model.loss(ids, targets).backward()
    handle.remove()
    print("   The gradient that reaches each layer norm, from the last one down:")
    print("   ", "  ".join(f"{n:.4f}" for n in norms))
    assert len(norms) == 2 * 2 + 1  # two per block, and the last
    print()
    x = Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    y = x * 10.0
    y.retain_grad()  # computed tensors keep no gradient unless asked
    y.register_hook(lambda g: ops.maximum(ops.minimum(g, 1.0), -1.0))  # clip it
    (y * y).sum().backward()
    print("   y.grad, clipped by a hook to [-1, 1]: ", y.grad.data)
    print("   x.grad, which got the clipped one:    ", x.grad.data)
    assert np.array_equal(y.grad.data, [1.0, -1.0, 1.0])
    assert np.array_equal(x.grad.data, [10.0, -10.0, 10.0])


if __name__ == "__main__":
    part_1_the_ledger()
    part_2_anomaly_mode()
    part_3_hooks()
