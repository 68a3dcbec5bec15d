"""Depth: what vanishes through many layers, what explodes, and what each remedy does.

What it teaches. Every layer multiplies. A factor of 0.5 or 2, harmless once, is 0.0000000002 or
4,000,000,000 after 32 layers, for the activations on the way up and for the gradients on the way
down. Everything that has made deep networks trainable is a way to keep this factor at 1:

    1/sqrt(fan_in)          a sum of n products of size s has the size sqrt(n) s: divide by it
    the residual stream     layers add to what comes from below, in place of replacing it
    normalization           of what a layer reads, so that it does not matter how large that is
    1/sqrt(2 L)             2 L additions of equal size make a sum of size sqrt(2 L): divide by it
    zero projections        at first, add nothing at all

Read the parts in order. Part 1 is stacks of plain layers, with pictures. Part 2 asks for which
width the usual 0.02 is right. Part 3 measures the remedies, branch by branch. Part 4 trains each of
these stacks: to have the right size is not yet to learn. Part 5 is the same in tinygrad_llm's GPT.

Sizes are root mean squares. The gradients are those of the sum of all outputs, each times a random
number, so that at the top they have the size 1.

Before: 28_bigrams_to_attention.py. Next: 30_sgd_to_muon.py. Part 1 is in Glorot and Bengio 2010 and
He et al. 2015, the stream in He et al. 2016, 1/sqrt(2 L) in Radford et al. 2019, and the place of
the normalization in Xiong et al. 2020.

Exercises, answered in solutions/29_depth.py. Try first.

1. The factor of GELU. By which number does a layer of GELU, with weights of size 1/sqrt(fan_in),
   multiply inputs of size 1? And of size 0.1? Why is there no such question for relu?
2. Matrices that are not square. A layer from 64 to 256 channels: with which size of the weights do
   activations keep their size, and with which do gradients? What follows for a pair 64-256-64?
3. A stream without normalization. Its branches can be divided by sqrt(2 L), too. How large is the
   stream at the top, and the gradient at the bottom, if L is 24? If L grows without end?
"""

import math
import tempfile
from pathlib import Path

from _places import characters, np

from autograd import Parameter, Tensor, grad, no_grad, ops
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.optim import AdamW

C, L, N = 64, 32, 256  # channels, plain layers, inputs
BLOCKS = 24
BRANCHES = 2 * BLOCKS  # as in a transformer: attention and feed-forward in each block


def rms(a):
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def matrix(rng, n_in, n_out, gain):
    """Weights such that a sum over ``n_in`` inputs of size 1 has the size ``gain``."""
    return Parameter(gain / math.sqrt(n_in) * rng.standard_normal((n_in, n_out)))


def sizes(hs, rng):
    """The sizes of the activations of a stack, and of the gradients with respect to them."""
    gradients = grad(hs[-1], hs, rng.standard_normal(hs[-1].shape))
    up, down = [rms(h.data) for h in hs], [rms(g.data) for g in gradients]
    assert abs(down[-1] - 1) < 0.05
    return up, down


# --- part 1: plain layers -------------------------------------------------------------------------

PLAIN = {  # letter: name, activation, gain of the weights
    "a": ("linear, 0.5", lambda x: x, 0.5),
    "b": ("linear, 1", lambda x: x, 1.0),
    "c": ("linear, 2", lambda x: x, 2.0),
    "d": ("relu, 1", ops.relu, 1.0),
    "e": ("relu, sqrt(2)", ops.relu, math.sqrt(2)),
    "f": ("tanh, 1", ops.tanh, 1.0),
    "g": ("tanh, 3", ops.tanh, 3.0),
}


def plain_stack(f, gain, rng):
    """h = f(h W), L times. The activations, input and output included."""
    hs = [Tensor(rng.standard_normal((N, C)), requires_grad=True)]
    for _ in range(L):
        hs.append(f(hs[-1] @ matrix(rng, C, C, gain)))
    return hs


def picture(curves, decades):
    """Sizes from layer 0 to L, on a logarithmic scale: one row for two powers of ten."""
    for decade in decades:
        line = [" "] * (2 * L + 1)
        for letter, values in curves.items():
            for layer, size in enumerate(values):
                if round(math.log10(size) / 2) * 2 == decade:
                    line[2 * layer] = letter
        print(f"   1e{decade:+03d} |{''.join(line).rstrip()}")
    print("         " + "".join(f"{layer:<16d}" for layer in range(0, L + 1, 8)).rstrip())


def part_1_plain_layers():
    print(f"1. {L} plain layers of {C} channels: h = f(h W), weights of size gain / sqrt({C})\n")
    measured = {}
    print("      f, gain              activations after layer           gradient   factor")
    print(f"      {'':16s}{'1':>9s}{'8':>9s}{'16':>9s}{'32':>9s}{'at layer 0':>13s}{'a layer':>9s}")
    for letter, (name, f, gain) in PLAIN.items():
        rng = np.random.default_rng(0)
        up, down = measured[letter] = sizes(plain_stack(f, gain, rng), rng)
        row = "".join(f"{up[layer]:9.1e}" for layer in (1, 8, 16, 32))
        print(f"   {letter}  {name:16s}{row}{down[0]:13.1e}{(up[-1] / up[0]) ** (1 / L):9.2f}")
    ups, downs = ({k: m[i] for k, m in measured.items()} for i in (0, 1))
    print("\n   The activations from layer 0 to the top (letters hide one another):\n")
    picture(ups, range(10, -12, -2))
    print("\n   The gradients, which come down from the right:\n")
    picture(downs, range(10, -12, -2))
    for letter, factor in {"a": 0.5, "b": 1, "c": 2, "d": 1 / math.sqrt(2), "e": 1}.items():
        for values, end, begin in ((ups[letter], L, 0), (downs[letter], 0, L)):
            assert abs((values[end] / values[begin]) ** (1 / L) / factor - 1) < 0.05
    assert ups["f"][-1] < 0.2 and 0.7 < ups["g"][-1] < 1 < 1e3 < downs["g"][0]
    print("""
   A linear layer multiplies by its gain, up and down. A relu sets half of the
   numbers to 0, and half of the sum of squares is 1/sqrt(2) of the size: a gain
   of sqrt(2) makes up for it (He). tanh has the slope 1 only near 0: with gain 1
   the activations shrink until they are there. With gain 3 they look well, since
   tanh cannot exceed 1, and the gradients explode: look at both.
""")
    return ups, downs


# --- part 2: the width ----------------------------------------------------------------------------


def part_2_the_width():
    print("2. For which width is 0.02 right?\n")
    print("   channels    factor of a layer    after 32 layers    1/sqrt(channels)")
    rng = np.random.default_rng(0)
    for width in (16, 64, 256, 1024, 2500):
        x, w = rng.standard_normal((64, width)), 0.02 * rng.standard_normal((width, width))
        factor = rms(x @ w) / rms(x)
        assert abs(factor / (0.02 * math.sqrt(width)) - 1) < 0.1
        print(f"   {width:8d}{factor:18.2f}{factor**32:21.0e}{1 / math.sqrt(width):17.4f}")
    print("""
   For 2,500. A size that does not know the width is right for one width. GPT-2
   has 0.02 for 768 to 1,600 channels, and normalization before each branch.
""")


# --- part 3: the remedies -------------------------------------------------------------------------


def norm(h):
    return ops.layer_norm(h, np.ones(C, h.dtype), np.zeros(C, h.dtype))


def branch(h, a, b):
    """Two layers: what each half of a block computes, in its simplest form."""
    return ops.relu(h @ a) @ b


def replaced(h, a, b):
    return branch(h, a, b)


def added(h, a, b):
    return h + branch(h, a, b)


def normalized_after(h, a, b):
    return norm(h + branch(h, a, b))


def normalized_before(h, a, b):
    return h + branch(norm(h), a, b)


REMEDIES = {  # name: how a branch joins the stream, and the gain of its second matrix
    "plain, gain 0.5": (replaced, 0.5),
    "plain, gain 1": (replaced, 1.0),
    "stream": (added, 1.0),
    "stream, norm after": (normalized_after, 1.0),
    "stream, norm before": (normalized_before, 1.0),
    "  and 1/sqrt(2 L)": (normalized_before, 1 / math.sqrt(BRANCHES)),
    "  and zero": (normalized_before, 0.0),
}


def branches_of(gain, rng):
    """Two matrices for each branch. The first makes up for the relu that follows it."""
    root = math.sqrt(2)
    return [(matrix(rng, C, C, root), matrix(rng, C, C, gain)) for _ in range(BRANCHES)]


def climb(join, h, branches):
    """The stream before the first branch and after each."""
    hs = [h]
    for a, b in branches:
        hs.append(join(hs[-1], a, b))
    return hs


def stack_of(join, gain, rng):
    branches = branches_of(gain, rng)
    return climb(join, Tensor(rng.standard_normal((N, C)), requires_grad=True), branches)


def alike(h):
    """The mean cosine between two of the inputs' activations: 1 if the input is forgotten."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return float(((unit @ unit.T).sum() - len(h)) / (len(h) * (len(h) - 1)))


def gradients_of_a_branch(join, gain):
    """The sizes of the gradients of the first branch's two matrices."""
    rng = np.random.default_rng(0)
    branches = branches_of(gain, rng)
    top = climb(join, Tensor(rng.standard_normal((N, C))), branches)[-1]
    return [rms(g.data) for g in grad(top, branches[0], rng.standard_normal(top.shape))]


def part_3_the_remedies():
    print(f"3. The remedies, measured on {BRANCHES} branches: two for each of {BLOCKS} blocks\n")
    print("                               size after branch          gradient    inputs")
    print(f"   {'':20s}{1:>9d}{12:>9d}{24:>9d}{48:>9d}{'at 0':>11s}{'alike':>10s}")
    measured, forgotten = {}, {}
    for name, (join, gain) in REMEDIES.items():
        rng = np.random.default_rng(0)
        hs = stack_of(join, gain, rng)
        up, down = measured[name] = sizes(hs, rng)
        forgotten[name] = alike(hs[-1].data)
        row = "".join(f"{up[i]:9.2g}" for i in (1, 12, 24, 48))
        print(f"   {name:20s}{row}{down[0]:11.2g}{round(forgotten[name], 2) + 0.0:10.2f}")
    first, second = gradients_of_a_branch(*REMEDIES["  and zero"])
    assert first == 0 < second
    ups = {name: up for name, (up, _) in measured.items()}
    root = math.sqrt(1 + BRANCHES)
    assert ups["plain, gain 0.5"][-1] < 1e-13 and ups["stream"][-1] > 1e6
    assert abs(ups["stream, norm before"][-1] / root - 1) < 0.2
    assert abs(ups["  and 1/sqrt(2 L)"][-1] / math.sqrt(2) - 1) < 0.1
    assert len(set(ups["  and zero"])) == 1
    assert min(forgotten[name] for name in list(REMEDIES)[:4]) > 0.9
    assert 0.9 > forgotten["stream, norm before"] > forgotten["  and 1/sqrt(2 L)"] + 0.1
    assert abs(forgotten["  and zero"]) < 0.05
    for name in list(REMEDIES)[2:]:  # the gradient grows downwards as the stream does upwards
        up, down = measured[name]
        assert abs(math.log(down[0] / up[-1])) < 0.5
    print(f"""
   The last column is the mean cosine between the results of two inputs.

   plain            the right gain keeps the sizes, and all inputs become alike:
                    each relu turns them a little towards one another
   stream           a branch as large as the stream doubles the sum of squares:
                    a factor of sqrt(2), {BRANCHES} times
   norm after       divides by that factor, and the stream with it. Nothing
                    explodes, but the input's own share is halved {BRANCHES} times
   norm before      each branch adds 1 to the mean square: at the top the size
                    is sqrt(1 + {BRANCHES}) = {root:.1f}
   and 1/sqrt(2 L)  all branches together add 1: sqrt(2) at the top
   and zero         the stack is the identity, up and down. Only the second
                    matrices have a gradient; after one step the first have, too

   In a stream the gradient grows on its way down as the sizes do on theirs up.
""")
    return measured


# --- part 4: which of them learn ------------------------------------------------------------------


def learn(join, gain, steps=100, lr=1e-3, T=8):
    """Train a stack to predict the next character from the ``T`` before it. The losses."""
    rng = np.random.default_rng(0)
    letters, ids, _ = characters(300)
    V = len(letters)
    branches = [
        tuple(Parameter(w.data.astype(np.float32)) for w in pair) for pair in branches_of(gain, rng)
    ]
    table = Parameter(rng.standard_normal((V, C // T)).astype(np.float32))
    head = Parameter(matrix(rng, C, V, 0.1).data.astype(np.float32))
    optimizer = AdamW([table, head, *(w for pair in branches for w in pair)], lr=lr)
    losses = []
    for _ in range(steps):
        windows = ids[rng.integers(0, len(ids) - T, size=(64, 1)) + np.arange(T + 1)]
        h = ops.embedding(table, windows[:, :T]).reshape(64, C)
        h = climb(join, h, branches)[-1]
        h = h if join is replaced else norm(h)
        loss = ops.cross_entropy(h @ head, windows[:, T])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, math.log(V)


def part_4_which_learn():
    print("4. Which of them learn? The loss of 100 steps of AdamW, rate 0.001\n")
    ends = {}
    for name, (join, gain) in REMEDIES.items():
        losses, nothing = learn(join, gain)
        ends[name] = float(np.mean(losses[-20:]))
        parts = np.array_split(losses, 32)
        levels = [min(8, int(np.mean(part) / nothing * 7)) for part in parts]
        print(f"   {name:20s} {''.join('▁▂▃▄▅▆▇█↑'[level] for level in levels)}{ends[name]:8.2f}")
    good = [ends[name] for name in list(REMEDIES)[-3:]]
    assert abs(ends["plain, gain 0.5"] - nothing) < 0.05
    assert max(good) + 0.6 < min(ends[name] for name in list(REMEDIES)[:4])
    print(f"""
   Knowing nothing costs {nothing:.2f}. In the first stack nothing arrives at the top,
   and nothing is learned. The second has perfect sizes, and learns little: at
   the top all inputs look alike. So they do with a stream that is normalized
   itself, or not at all. (The first transformers normalized after. They were
   trained with small rates that grow slowly: "warm-up".) Where only additions
   touch the stream, and branches read it normalized, all {BRANCHES} of them learn from
   the start.
""")


# --- part 5: the product --------------------------------------------------------------------------


def part_5_the_model():
    print(f"5. The GPT of tinygrad_llm with {BLOCKS} blocks: the size of its stream\n")
    model = GPT(GPTConfig(vocab_size=64, block_size=32, n_layer=BLOCKS, n_head=4, n_embd=C))
    ids = np.random.default_rng(0).integers(0, 64, (8, 32))

    @no_grad()
    def stream():
        hs = [model.embed(ids)]
        for block in model.h:
            hs.append(block(hs[-1]))
        return [rms(h.data) for h in hs]

    scaled = stream()
    for name, parameter in model.named_parameters():
        if name.endswith("c_proj.weight"):
            parameter.data *= math.sqrt(BRANCHES)
    plain = stream()
    print("   after block          0         6        12        18        24")
    for name, values in (("with 1/sqrt(2 L)", scaled), ("without", plain)):
        print(f"   {name:16s}" + "".join(f"{values[i]:10.4f}" for i in range(0, 25, 6)))
    added_with, added_without = (v[-1] ** 2 - v[0] ** 2 for v in (scaled, plain))
    ratio = added_without / added_with
    assert BRANCHES / 2 < ratio < BRANCHES * 2
    print(f"""
   Without it, the blocks add {ratio:.0f} times as much to the mean square (2 L = {BRANCHES}).
   The embeddings have the size 0.03, and the matrices of a branch the gain
   0.02 sqrt({C}) = 0.16: in a model as narrow as this one, a branch adds little.""")


def draw(plain, remedies, path):
    """Activations and gradients of all stacks, from layer to layer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    named = {f"{PLAIN[k][0]}": (up, plain[1][k]) for k, up in plain[0].items()}
    for row, curves in zip(panels, (named, remedies), strict=True):
        for i, (panel, what) in enumerate(zip(row, ("activations", "gradients"), strict=True)):
            for name, values in curves.items():
                panel.semilogy(values[i], linewidth=1.6, label=name.strip())
            panel.set_title(what, loc="left", fontsize=11, fontweight="bold", color="#22313f")
            panel.grid(color="#e3e7ec", linewidth=0.8)
            panel.spines[["top", "right"]].set_visible(False)
        row[0].legend(frameon=False, fontsize=8)
        row[0].set_ylabel("size")
    for panel in panels[1]:
        panel.set_xlabel("layer, branch")
    figure.savefig(path, format="png")


def main():
    plain = part_1_plain_layers()
    part_2_the_width()
    remedies = part_3_the_remedies()
    part_4_which_learn()
    part_5_the_model()
    path = Path(tempfile.mkdtemp(prefix="depth-")) / "depth.png"
    draw(plain, remedies, path)
    print(f"\n   Parts 1 and 3 as a picture: {path}")


if __name__ == "__main__":
    main()
