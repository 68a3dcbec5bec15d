"""Gradients that explain themselves: the ledger, anomaly mode, hooks.

What it teaches. A gradient is a sum, with one term for every use of the value, and ``backward``
shows only the total. When a gradient surprises you, the questions are always the same: which use
did it come from, on which line, and where did the NaN begin? Each part answers one of them.

    dL/dx = sum over the ops that used x of (dL/d output) (d output/dx)

Part 1 opens the ledger of a small language model, whose token table is used twice, once to read
tokens and once to score them (tied weights). Part 2 plants a NaN and finds the line that made it.
Part 3 looks at a gradient on its way, and changes it.

Before: 08_bug_zoo.py. Next: 10_profiler_and_graph.py. The tools are in autograd/debug/, described
in docs/debugging.md.

Exercises, answered in solutions/09_gradients_explained.py. Try first.

1. A copy in place of the table. Compute the loss with a copy of wte as the output layer. What does
   the ledger of wte show now, and where is the other term?
2. Zero times infinity. Mend ``entropy`` with ops.where, so that 0 log 0 is 0. Is the gradient
   right, too? If not, why, and what has to be chosen in place of the result?
"""

import textwrap

import numpy as np

from autograd import Tensor, ops
from autograd.debug import AnomalyError, detect_anomaly, record_gradients, register_op_hook
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def quote(text):
    """Print a text that the program computed, folded to the width of a page."""
    print(textwrap.fill(text, 92, initial_indent="   ", subsequent_indent=" " * 6))


def tiny_gpt():
    """A model of two blocks, and a batch: ids and the targets that follow them, (4, 16) each."""
    config = GPTConfig(vocab_size=65, block_size=16, n_layer=2, n_head=2, n_embd=32)
    tokens = np.random.default_rng(1).integers(0, 65, (4, 17))
    return GPT(config, seed=0), tokens[:, :-1], tokens[:, 1:]


def part_1_the_ledger():
    print("1. Which operations contributed to the gradient of the token table?\n")
    model, ids, targets = tiny_gpt()
    wte = model.wte.weight
    ledger = record_gradients(model.loss(ids, targets))  # runs backward, and keeps the books
    explanation = ledger.explain(wte, "wte")
    print(explanation)
    uses = [c.op for c in explanation.contributions]
    assert len(uses) == 2 and "Embedding" in uses
    norm = float(np.linalg.norm(wte.grad.data))
    assert abs(explanation.norm - norm) < 1e-5 * norm
    assert abs(sum(c.share for c in explanation.contributions) - 1) < 1e-5
    say("""

        Two uses, two terms. Both point roughly in the direction of their sum (the cosine), and the
        shares say how much each contributes. With the classic bug of tied weights, a copy of the
        table in place of the table itself, there would be only one term.

    """)
    bias = model.ln_f.bias
    print(ledger.explain(bias, "ln_f.bias"))
    assert len(ledger.explain(bias).contributions) == 1
    say("""

        The ledger adds up the terms itself and compares the sum with the engine's gradient: if a
        term had been lost, record_gradients would have raised LedgerError.

    """)


def part_2_anomaly_mode():
    x = Tensor(np.array([0.5, 0.0, 2.0]), requires_grad=True)

    def entropy(p):
        return -(p * ops.log(p)).sum()  # 0 log 0 is 0 on paper, and NaN here

    with np.errstate(all="ignore"):
        loss = entropy(x * x)
    assert np.isnan(loss.item())
    say(f"""
        2. Which line made the NaN?

        loss = {loss.item()}: something went wrong somewhere. In anomaly mode:

    """)
    try:
        with detect_anomaly():
            entropy(x * x)
        raise AssertionError("the infinity went unnoticed")
    except AnomalyError as error:
        quote(f"AnomalyError: {error}")
        assert "Log" in str(error) and "09_gradients_explained.py" in str(error)
    say("""

        A NaN that begins in backward is worse, because forward looks fine: sqrt at 0.

    """)
    try:
        with detect_anomaly():
            ops.sqrt(x * x).sum().backward()  # |x|, written so that its derivative is 0 / 0
        raise AssertionError("the infinite gradient went unnoticed")
    except AnomalyError as error:
        quote(f"AnomalyError: {error}")
        assert "backward of Sqrt" in str(error)
    print()


def part_3_hooks():
    model, ids, targets = tiny_gpt()
    norms = []
    handle = register_op_hook(
        "LayerNorm",
        backward=lambda op, g, gradients: norms.append(float(np.linalg.norm(g.data))),
    )
    model.loss(ids, targets).backward()
    handle.remove()
    say(f"""
        3. Looking at a gradient on its way, and changing it

        The norm of the gradient that reaches each layer norm, from the last one down:
            {"  ".join(f"{n:.4f}" for n in norms)}

    """)
    assert len(norms) == 2 * 2 + 1  # two per block, and the last
    x = Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    y = x * 10.0
    y.retain_grad()  # computed tensors do not keep their gradient otherwise
    y.register_hook(lambda g: ops.maximum(ops.minimum(g, 1.0), -1.0))  # clip it
    (y * y).sum().backward()
    say(f"""
        y.grad, clipped by a hook to [-1, 1]:      {y.grad.data}
        x.grad, computed from the clipped y.grad:  {x.grad.data}
    """)
    assert np.array_equal(y.grad.data, [1.0, -1.0, 1.0])
    assert np.array_equal(x.grad.data, [10.0, -10.0, 10.0])


if __name__ == "__main__":
    part_1_the_ledger()
    part_2_anomaly_mode()
    part_3_hooks()
