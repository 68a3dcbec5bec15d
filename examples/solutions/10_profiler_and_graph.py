"""Solutions to the exercises of 10_profiler_and_graph.py."""

import numpy as np
from _solutions import answer, example_of

from autograd.debug import profile
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT

lab = example_of(__file__)


def profiled(T, recompute=False, n_layer=2):
    """The profile of one training step with sequences of T tokens."""
    model = GPT(GPTConfig(lab.V, T, n_layer, n_head=2, n_embd=lab.C), recompute=recompute)
    tokens = np.random.default_rng(1).integers(0, lab.V, (lab.B, T + 1))
    with profile() as p:
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    return p


def exercise_1():
    """Twice as long.

    What treats each token alone doubles: the linear layers, the layer norms, the loss. In attention
    each query meets the keys up to its own, 1 + 2 + ... + T of them: T (T + 1) / 2 pairs, and for
    each pair of each head 2 D operations for the score and 2 D for the weighted value, so 4 C for
    all heads. That grows nearly fourfold. Backward counts twice, as with every product. At T = 16
    attention is small next to the linear layers, with their 24 C^2 a token; at T = 12 C it is
    equal.
    """

    def attention(T):
        pairs = T * (T + 1) // 2
        return 3 * 2 * lab.B * pairs * 4 * lab.C  # forward and backward, two blocks

    short, long = profiled(16).rows(), profiled(32).rows()
    for op in ("Linear", "FeedForward", "LayerNorm", "CausalAttention"):
        ratio = long[op].flops / short[op].flops
        print(f"   {op:<16s} {short[op].flops:10,d} {long[op].flops:10,d}   x {ratio:.2f}")
        assert (ratio == 2) == (op != "CausalAttention")
    tokens = lab.B * 16
    linear = short["Linear"].flops + short["FeedForward"].flops
    assert abs(linear / (3 * 2 * tokens * 24 * lab.C**2) - 1) < 0.03  # the rest is biases and GELU
    T = 12 * lab.C - 1
    assert attention(T) == 3 * 2 * lab.B * T * 24 * lab.C**2
    assert [rows["CausalAttention"].flops for rows in (short, long)] == [
        attention(16), attention(32)
    ]  # fmt: skip


def exercise_2():
    """Memory for arithmetic.

    With recompute=True a block keeps only its input, and is computed again when backward gets to
    it. So each linear layer runs twice forward and once backward: four thirds of the arithmetic.
    The tape's peak no longer holds what all the blocks saved, but one block's savings and every
    block's input. So the deeper the model, the more it helps: the peak of the ordinary step grows
    by a whole block per layer, that of the recomputed step by at most one array (B, T, C).
    """
    peaks = {}
    print("   layers   peak, kept   peak, recomputed")
    for n_layer in (2, 4, 8):
        kept, again = (profiled(16, flag, n_layer) for flag in (False, True))
        peaks[n_layer] = kept.peak.bytes, again.peak.bytes
        print(f"   {n_layer:6d} {kept.peak.bytes:12,d} {again.peak.bytes:18,d}")
        flops = [p.rows()["FeedForward"].flops for p in (kept, again)]
        assert 3 * flops[1] == 4 * flops[0]
    growth = [(peaks[8][i] - peaks[4][i]) / 4 for i in (0, 1)]
    array = 4 * lab.B * 16 * lab.C
    print(f"   bytes per further layer: {growth[0]:,.0f} and {growth[1]:,.0f}")
    print(f"   one array (B, T, C) of float32 has {array:,}")
    assert growth[1] < 0.3 * growth[0]


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
