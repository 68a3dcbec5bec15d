"""Where a training step spends its time and memory, and what its graph looks like.

What it teaches. Part 1 measures one step of a small language model, op by op and line by line:
which ops take the time, how much memory forward keeps for backward (the tape), and which ops hold
most of it at its peak. Part 2 checks one count by hand. Part 3 draws the graph, as text for
Markdown and as a page to click through, with the statistics of every value and gradient.

Before: 09_gradients_explained.py. Next: 11_faster_stage_by_stage.py. The tools are in
autograd/debug/, described in docs/debugging.md.

Exercises, answered in solutions/10_profiler_and_graph.py. Try first.

1. Twice as long. With sequences of 32 tokens in place of 16, by which factor do the operations of
   each kind of op grow? Find the count of attention by hand.
2. Memory for arithmetic. GPT(..., recompute=True) keeps less for backward. Predict how often each
   linear layer runs, and how the tape's peak grows with the number of layers. Then profile it.
"""

import json
import tempfile
import textwrap
from pathlib import Path

import numpy as np

from autograd import Tensor, ops
from autograd.debug import draw_graph, explore, profile
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT

B, T, C, V = 4, 16, 32, 65  # sequences, tokens each, channels, vocabulary


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def tiny_gpt():
    """A model of two blocks, and a batch: ids and the targets that follow them, (B, T) each."""
    config = GPTConfig(vocab_size=V, block_size=T, n_layer=2, n_head=2, n_embd=C)
    tokens = np.random.default_rng(1).integers(0, V, (B, T + 1))
    return GPT(config, seed=0), tokens[:, :-1], tokens[:, 1:]


def part_1_the_profile(folder):
    print("1. One training step, by op and by line\n")
    model, ids, targets = tiny_gpt()
    model.loss(ids, targets).backward()  # compiles the fast kernels, before the measurement
    with profile() as p:
        model.loss(ids, targets).backward()
    print(p.table() + "\n")
    print(p.table("line", limit=4))
    rows = p.rows()
    # two blocks, each with two: qkv and out (up and down are in FeedForward)
    assert rows["Linear"].calls == rows["Linear"].backward_calls == 2 * 2
    assert sum(row.seconds for row in rows.values()) <= p.seconds
    assert p.peak.bytes == sum(size for _, _, size in p.peak.holders)
    path = p.chrome_trace(folder / "trace.json")
    assert len(json.loads(path.read_text())["traceEvents"]) > 2 * len(rows)
    say(f"""

        The same as a timeline: open chrome://tracing or ui.perfetto.dev and load
        {path}

    """)
    return rows


def part_2_a_count_by_hand(rows):
    per_block = C * 3 * C + C * C + C * 4 * C + 4 * C * C  # weights: qkv, out, up, down
    outputs = B * T * (3 * C + C + 4 * C + C)  # each adds a bias
    gelu = B * T * 4 * C  # counts as one operation per hidden channel
    forward = 2 * (2 * B * T * per_block + outputs + gelu)  # two blocks
    counted = rows["Linear"].flops + rows["FeedForward"].flops  # qkv, out; up, down
    assert counted == 3 * forward
    say(f"""
        2. The floating-point operations of the linear layers, by hand

        Each weight is used for B T = {B * T} tokens, with one multiplication and one addition each:
        2 B T x {2 * per_block} weights, the biases and GELU: {forward} operations in forward.
        Backward has two products for each one in forward, three times that in all: {3 * forward}.
        The profiler counted {counted}.

    """)


def part_3_the_graph(folder):
    print("3. The graph\n")
    x = Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    w = Tensor(np.array([[0.5], [-0.5]]), requires_grad=True)
    graph = draw_graph(ops.tanh(x @ w).sum(), names={"x": x, "w": w})
    print(graph.mermaid())
    say("""
        (This is Mermaid, which GitHub draws from a ```mermaid block in a Markdown file; graph.dot()
        writes the same for Graphviz.)

    """)
    assert [n.op or n.name for n in graph.nodes] == ["x", "w", "MatMul", "Tanh", "Sum"]
    model, ids, targets = tiny_gpt()
    explored = explore(
        lambda: model.loss(ids, targets), folder / "graph.html", model, title="A GPT of two blocks"
    )
    tape = explored.tape
    assert {value.key for value in tape.leaves} >= {"wte.weight", "ln_f.bias"}
    say(f"""
        The model's graph, {len(tape.calls)} operations on {len(tape.leaves)} leaves, as a page to
        step through in a browser: what each operation computes, what it saved, the user's line that
        called it, its value, its gradient, and how every number came about:
        {explored.path}
    """)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="autograd-"))
    part_2_a_count_by_hand(part_1_the_profile(folder))
    part_3_the_graph(folder)
