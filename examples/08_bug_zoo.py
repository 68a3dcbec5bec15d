"""The bug zoo: loss curves of one small model with ten different bugs. Which is which?

What it teaches. A model with a wrong gradient still trains. The loss falls more slowly, or ends
higher, and there is no sign that anything is wrong. That is why gradients are checked, and not just
watched. The curves below come from one model, one data set and one seed, and each has one bug of
autograd/bug_zoo/ in it. Look at the table and the picture, match each curve with one of the
suspects, and only then read on: the key is at the end, with what the project's checks say.

Some things to look for: a loss that is too good to be true; one that jumps before it falls; some
that get stuck near what the letters' frequencies alone would give; some that end a little too high.
One of the buggy curves ends *below* the right one. And two are the same as the right one, although
the gradient of one of them is 64 times too large.

The model predicts the next character of the Zen of Python from the eight before it: embedding,
layer norm, a hidden layer with dropout, and the transposed embedding as the output layer.

Before: 07_equivalence_lab.py. Next: 09_gradients_explained.py. The zoo is autograd/bug_zoo/zoo.py.
"""

import codecs
import contextlib
import io
import os
import tempfile
import textwrap
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from autograd import Parameter, ops  # noqa: E402
from autograd.bug_zoo import ZOO  # noqa: E402


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


# --- data, model, training: whatever a bug replaces is a piece ------------------------------------

with contextlib.redirect_stdout(io.StringIO()):  # importing it prints it
    import this

PAGE = codecs.decode(this.s, "rot13")
CHARACTERS = sorted(set(PAGE))
IDS = np.array([CHARACTERS.index(c) for c in PAGE])

B, T, C, H, V = 64, 8, 16, 64, len(CHARACTERS)  # batch, context, channels, hidden, vocabulary
STEPS, LR = 240, 0.01
CHANCE = np.log(V)

RIGHT = {
    "pairs": ZOO["targets-not-shifted"].right,
    "tied": True,
    "embedding": ZOO["embedding-buffered"].right,
    "norm": ZOO["layer-norm-without-third-term"].right,
    "activation": ZOO["relu-of-the-gradient"].right,
    "dropout": ZOO["dropout-new-mask"].right,
    "mean": ZOO["mean-without-n"].right,
    "zero_grad": True,
    "clip": ZOO["clip-per-tensor"].right,
    "update": ZOO["adamw-one-beta"].right,
}
SUSPECTS = {
    "targets-not-shifted": "pairs",
    "untied-copy": "tied",
    "embedding-buffered": "embedding",
    "layer-norm-without-third-term": "norm",
    "relu-of-the-gradient": "activation",
    "dropout-new-mask": "dropout",
    "mean-without-n": "mean",
    "stale-gradients": "zero_grad",
    "adamw-one-beta": "update",
    "decay-on-the-gradient": "update",
}
"""The bugs in this example, and the piece that each replaces."""


def with_bug(name):
    """The pieces of the model, one of them wrong."""
    piece = SUSPECTS[name]
    return {**RIGHT, piece: False if RIGHT[piece] is True else ZOO[name].wrong}


def train(pieces):
    """The loss at every step, (STEPS,), always with the same seed, data and initial weights."""
    rng, masks = np.random.default_rng(0), np.random.default_rng(1)
    p = {
        "embedding": Parameter(0.3 * rng.standard_normal((V, C))),
        "w1": Parameter(rng.standard_normal((T * C, H)) / np.sqrt(T * C)),
        "w2": Parameter(rng.standard_normal((H, C)) / np.sqrt(H)),
        "bias": Parameter(np.zeros(V)),
    }
    if not pieces["tied"]:
        p["head"] = Parameter(p["embedding"].data.copy())
    state = {name: (0.0, 0.0, 0) for name in p}
    losses = []
    for _ in range(STEPS):
        start = rng.integers(0, len(IDS) - T, size=B)
        windows = IDS[start[:, None] + np.arange(T + 1)]  # (B, T + 1)
        x, y = zip(*(pieces["pairs"](window) for window in windows), strict=True)
        x, y = np.array(x), np.array(y)[:, -1]  # (B, T), (B,)
        h = pieces["embedding"](x)(p["embedding"]).reshape(B, T * C)
        h = pieces["activation"]()(pieces["norm"]()(h) @ p["w1"])
        h = pieces["dropout"](masks)(h) @ p["w2"]
        logits = h @ p.get("head", p["embedding"]).T + p["bias"]  # (B, V)
        loss = pieces["mean"]()(ops.cross_entropy(logits, y, reduction="none"))
        if pieces["zero_grad"]:
            for parameter in p.values():
                parameter.zero_grad()
        loss.backward()
        for (name, parameter), g in zip(
            p.items(), pieces["clip"]([q.grad.data for q in p.values()]), strict=True
        ):
            decay = 0.3 if parameter.ndim == 2 else 0.0
            new, state[name] = pieces["update"](parameter.data, g, state[name], LR, decay=decay)
            parameter.assign_(new)
        losses.append(loss.item())
    return np.array(losses)


# --- showing --------------------------------------------------------------------------------------


def paragraph(text, margin="      "):
    """A text folded to the width of a page."""
    return textwrap.fill(text, 96, initial_indent="   ", subsequent_indent=margin)


def smooth(losses, width=12):
    return np.convolve(losses, np.ones(width) / width, mode="valid")


def sparkline(losses, columns=40):
    """The curve as blocks, from 0 to 5 nats; an arrow means more than that."""
    parts = np.array_split(losses, columns)
    levels = [min(9, int(part.mean() / 5 * 8)) for part in parts]
    return "".join("▁▂▃▄▅▆▇█↑↑"[level] for level in levels)


def show(curves):
    print(f"        {'0 steps ... ' + str(STEPS):<40}  first   third    last")
    for letter, losses in curves.items():
        first, last = losses[0], losses[-24:].mean()
        third = losses[STEPS // 3 - 12 : STEPS // 3].mean()
        print(f"  {letter:>5} {sparkline(losses)} {first:7.2f} {third:7.2f} {last:7.2f}")


def draw(curves, path):
    """One panel per letter: the right curve, and the one with a bug."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    letters = [letter for letter in curves if letter != "right"]
    panels = figure.subplots(2, len(letters) // 2, sharex=True, sharey=True).ravel()
    for panel, letter in zip(panels, letters, strict=True):
        panel.axhline(CHANCE, color="#b8c0c8", linewidth=1, linestyle=":")
        panel.plot(smooth(curves["right"]), color="#9aa5b1", linewidth=2.5, label="right")
        panel.plot(smooth(curves[letter]), color="#d1495b", linewidth=1.6, label="with a bug")
        panel.set_title(letter, loc="left", fontsize=12, fontweight="bold", color="#22313f")
        panel.set_ylim(0, 5.2)
        panel.grid(color="#e3e7ec", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].text(STEPS * 0.97, CHANCE + 0.1, "chance", ha="right", fontsize=8, color="#7b8794")
    panels[0].legend(frameon=False, loc="lower left", fontsize=9)
    figure.supxlabel("step")
    figure.supylabel("loss (nats per character)")
    figure.savefig(path, format="png")


if __name__ == "__main__":
    order = np.random.default_rng(6).permutation(list(SUSPECTS))
    key = dict(zip("ABCDEFGHIJ", map(str, order), strict=True))
    curves = {"right": train(RIGHT)}
    for letter, name in key.items():
        curves[letter] = train(with_bug(name))

    print(f"1. One model, one seed, ten bugs. Guessing at random costs {CHANCE:.2f} nats.\n")
    show(curves)
    path = Path(tempfile.mkdtemp(prefix="bug-zoo-")) / "loss_curves.png"
    draw(curves, path)
    say(f"""

           As a picture: {path}

        2. The suspects, in alphabetical order: which curve belongs to which bug?

    """)
    for name in sorted(SUSPECTS):
        print(f"   {name}")
    say("""

           (Stop here, and guess.)

        3. The key, and what the check of each says
    """)
    for letter, name in key.items():
        print()
        print(paragraph(f"{letter}  {name}: {ZOO[name].story}"))
        print(f"      caught by: {ZOO[name].caught_by}")
        print(paragraph(f"   {ZOO[name].catch()}"))
    print()

    # What the key claims, in numbers.
    last = {name: curves[letter][-24:].mean() for letter, name in key.items()}
    right = curves["right"][-24:].mean()
    assert right < 1.5 and last["targets-not-shifted"] < 0.3
    stuck = ("decay-on-the-gradient", "relu-of-the-gradient", "stale-gradients", "adamw-one-beta")
    assert all(last[name] > 2 * right for name in stuck)
    assert last["dropout-new-mask"] > 1.2 * right > last["embedding-buffered"] > 1.03 * right
    assert last["untied-copy"] < right
    invisible = ("mean-without-n", "layer-norm-without-third-term")
    assert all(abs(last[name] - right) < 0.05 for name in invisible)
    leap = {name: curves[letter][:6].max() for letter, name in key.items()}
    assert max(leap, key=leap.get) == "adamw-one-beta"

    print("4. What the curves cannot tell\n")
    text = f"""
        The right one ends at {right:.2f}. mean-without-n ends at {last["mean-without-n"]:.2f} with
        a gradient 64 times too large: clipping and AdamW both divide by the gradient's size, and
        the factor cancels. layer-norm-without-third-term ends at
        {last["layer-norm-without-third-term"]:.2f}: in this model the missing term is small. And
        untied-copy ends lower, at {last["untied-copy"]:.2f}: the copy made the model larger, and
        the page is short enough to be learnt by heart. Three of the ten bugs are invisible in the
        loss or look like progress. The check of each finds it in a fraction of a second, without
        training anything.
    """
    print(paragraph(" ".join(text.split()), "   "))
