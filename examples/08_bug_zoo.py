"""The bug zoo: loss curves of one small model with ten different bugs. Which is which?

What it teaches. A model with a wrong gradient still trains. The loss falls more slowly, or ends
higher, and there is no sign that anything is wrong. That is why gradients are checked, and not just
watched. The curves below come from one model, one data set and one seed, and each has one bug of
autograd/bug_zoo/ in it. Look at the tables and the picture, match each curve with one of the
suspects, and only then read on: the key is near the end, with what the project's checks say.

A loss means little alone. So part 2 has a scale: what it costs to know nothing, to count letters,
to count pairs of letters; the loss of sentences that were held out; and what the right model
reaches with other seeds. A bug is visible if it is further away than they are from each other.

Some things to look for: a loss that is too good to be true, and much worse where it was held out;
one that jumps before it falls; some that get stuck near what the letters' frequencies alone would
give; some that end a little too high. One of the buggy curves ends *below* the right one. And two
end where other seeds do, although the gradient of one of them is 64 times too large.

The model predicts the next character of a sentence from the eight before it: embedding, layer norm,
a hidden layer with dropout, and the transposed embedding as the output layer.

Before: 07_equivalence_lab.py. Next: 09_gradients_explained.py. The zoo is autograd/bug_zoo/zoo.py.

Exercises, answered in solutions/08_bug_zoo.py. Try first.

1. An eleventh suspect. Put clip-per-tensor in the place of ``clip``. Does it show on the scale?
2. Without AdamW. Let every update be p - 0.5 g, without clipping. Which bug that AdamW hid shows
   now?
3. The same seed, or another. The layer norm's missing term is lost among the seeds. Is it still if
   each run is compared with the right run of its own seed?
"""

import tempfile
import textwrap
from pathlib import Path

from _places import characters, loss_of_counting_pairs, np

from autograd import Parameter, no_grad, ops
from autograd.bug_zoo import ZOO


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


# --- data, model, training: whatever a bug replaces is a piece ------------------------------------

CHARACTERS, IDS, HELD_OUT_IDS = characters()  # sentences such as "The old gull lifts the wet rope."
B, T, C, H, V = 64, 8, 16, 64, len(CHARACTERS)  # batch, context, channels, hidden, vocabulary
STEPS, LR, EVERY = 240, 0.01, 10
SEEDS = 5  # of the right model

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


def new_parameters(rng, tied=True):
    p = {
        "embedding": Parameter(0.3 * rng.standard_normal((V, C))),
        "w1": Parameter(rng.standard_normal((T * C, H)) / np.sqrt(T * C)),
        "w2": Parameter(rng.standard_normal((H, C)) / np.sqrt(H)),
        "bias": Parameter(np.zeros(V)),
    }
    return p if tied else p | {"head": Parameter(p["embedding"].data.copy())}


def logits(p, x, pieces, dropout):
    """Scores for the next character: ids (B, T) -> (B, V)."""
    h = pieces["embedding"](x)(p["embedding"]).reshape(len(x), T * C)
    h = pieces["activation"]()(pieces["norm"]()(h) @ p["w1"])
    return dropout(h) @ p["w2"] @ p.get("head", p["embedding"]).T + p["bias"]


@no_grad()
def held_out_loss(p):
    """The loss of sentences that training does not see, measured by code without a bug."""
    windows = HELD_OUT_IDS[np.arange(0, len(HELD_OUT_IDS) - T, 5)[:, None] + np.arange(T + 1)]
    scores = logits(p, windows[:, :T], RIGHT, dropout=lambda h: h)
    return ops.cross_entropy(scores, windows[:, T]).item()


def train(pieces, seed=0):
    """The loss of every step, (STEPS,), and the held-out loss after every tenth.

    The same seed gives the same initial weights, batches and dropout.
    """
    rng, masks = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    p = new_parameters(rng, pieces["tied"])
    state = {name: (0.0, 0.0, 0) for name in p}
    losses, held_out = [], []
    for step in range(1, STEPS + 1):
        start = rng.integers(0, len(IDS) - T, size=B)
        windows = IDS[start[:, None] + np.arange(T + 1)]  # (B, T + 1)
        x, y = zip(*(pieces["pairs"](window) for window in windows), strict=True)
        x, y = np.array(x), np.array(y)[:, -1]  # (B, T), (B,)
        scores = logits(p, x, pieces, pieces["dropout"](masks))
        loss = pieces["mean"]()(ops.cross_entropy(scores, y, reduction="none"))
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
        if step % EVERY == 0:
            held_out.append(held_out_loss(p))
    return np.array(losses), np.array(held_out)


def end(losses):
    """Where a curve ends: the mean of its last tenth."""
    return losses[-len(losses) // 10 :].mean()


# --- the scale ------------------------------------------------------------------------------------


def marks():
    """The held-out loss of three models that only count, from the best to the worst."""
    shares = np.bincount(IDS) / len(IDS)
    return {
        "2": (loss_of_counting_pairs(IDS, HELD_OUT_IDS), "counting pairs of letters"),
        "1": (-np.log(shares[HELD_OUT_IDS]).mean(), "counting letters"),
        "u": (np.log(V), "knowing nothing"),
    }


class Spread:
    """The right model with several seeds: where it ends on average, and how far apart."""

    def __init__(self, ends):
        self.mean, self.deviation = np.mean(ends), np.std(ends, ddof=1)

    def away(self, loss):
        """How far a loss is from the right ones, in standard deviations of these."""
        return (loss - self.mean) / self.deviation

    def verdict(self, loss):
        away = self.away(loss)
        return "like another seed" if abs(away) < 3 else "worse" if away > 0 else "better"


# --- showing --------------------------------------------------------------------------------------


def paragraph(text, margin="      "):
    """A text folded to the width of a page."""
    return textwrap.fill(text, 79, initial_indent="   ", subsequent_indent=margin)


def smooth(losses, width=12):
    return np.convolve(losses, np.ones(width) / width, mode="valid")


def sparkline(losses, columns=40):
    """The curve as blocks, from 0 to 4 nats; an arrow means more than that."""
    parts = np.array_split(losses, columns)
    levels = [min(8, int(part.mean() / 4 * 8)) for part in parts]
    return "".join("▁▂▃▄▅▆▇█↑"[level] for level in levels)


def show_curves(curves):
    print(f"         {'step 1 ... ' + str(STEPS):<40}   first  third   last")
    for letter, (losses, _) in curves.items():
        third = losses[STEPS // 3 - 12 : STEPS // 3].mean()
        numbers = f"{losses[0]:7.2f}{third:7.2f}{end(losses):7.2f}"
        print(f"   {letter:>5} {sparkline(losses)} {numbers}")


def show_scale(curves, spread, low=0.8, columns=40):
    """A row for each run: its losses, its distance from the right ones, and where it is."""

    def column(nats):
        return round((nats - low) / (np.log(V) - low) * (columns - 1))

    print(f"{'training  held out   distance':>39}")
    for letter, (losses, held_out) in curves.items():
        line = [" "] * columns
        for mark, (nats, _) in marks().items():
            line[column(nats)] = mark
        line[column(spread.mean)] = "|"
        if column(end(held_out)) < columns:
            line[column(end(held_out))] = "#"
        else:
            line[-1] = ">"
        away = f"{spread.away(end(held_out)):+10.1f}"
        print(f"   {letter:>5}{end(losses):10.2f}{end(held_out):10.2f}{away}  {''.join(line)}")


def draw(curves, spread, path):
    """One panel per letter: the held-out loss of the right model, and of the one with a bug."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    letters = [letter for letter in curves if letter != "right"]
    panels = figure.subplots(2, len(letters) // 2, sharex=True, sharey=True).ravel()
    steps = EVERY * np.arange(1, STEPS // EVERY + 1)
    for panel, letter in zip(panels, letters, strict=True):
        for nats, meaning in marks().values():
            panel.axhline(nats, color="#b8c0c8", linewidth=1, linestyle=":")
            if panel is panels[0]:
                panel.text(STEPS, nats + 0.05, meaning, ha="right", fontsize=7, color="#7b8794")
        right, wrong = curves["right"], curves[letter]
        panel.plot(steps, right[1], color="#9aa5b1", linewidth=2.5, label="right, held out")
        panel.plot(smooth(wrong[0]), color="#edae49", linewidth=1, label="with a bug, training")
        panel.plot(steps, wrong[1], color="#d1495b", linewidth=1.6, label="with a bug, held out")
        away = f"{spread.away(end(wrong[1])):+.0f}"
        panel.set_title(f"{letter}   {away}", loc="left", fontsize=12, fontweight="bold")
        panel.set_ylim(0, 4.2)
        panel.grid(color="#e3e7ec", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, loc="lower left", fontsize=8)
    figure.supxlabel("step")
    figure.supylabel("loss (nats per character)")
    figure.savefig(path, format="png")


# --- the parts ------------------------------------------------------------------------------------


def part_1_and_2_the_curves(curves, spread):
    print("1. One model, one seed, ten bugs: the training loss, in nats per character\n")
    show_curves(curves)
    print("\n2. Where each ends, and the scale\n")
    show_scale(curves, spread)
    counted = "".join(f"      {m}  {words}, {nats:.2f}\n" for m, (nats, words) in marks().items())
    print(f"""
      #  the held-out loss of this run (> is beyond the scale)
      |  that of the right model, {spread.mean:.3f} on average over {SEEDS} seeds
{counted}
   These seeds differ by {spread.deviation:.3f}, their standard deviation, which is the unit
   of the distance: a run that is one or two away might be another seed, and
   one that is fifty away is not. In training there is dropout, and when the
   held-out loss is measured there is none: it may be the lower of the two.""")
    path = Path(tempfile.mkdtemp(prefix="bug-zoo-")) / "loss_curves.png"
    draw(curves, spread, path)
    print(f"\n   As a picture: {path}")


def part_3_and_4_the_suspects(key):
    say("""

        3. The suspects, in alphabetical order: which curve belongs to which bug?

    """)
    for name in sorted(SUSPECTS):
        print(f"   {name}")
    say("""

           (Stop here, and guess.)

        4. The key, and what the check of each says
    """)
    for letter, name in key.items():
        evidence = ZOO[name].catch()
        assert evidence
        print()
        print(paragraph(f"{letter}  {name}: {ZOO[name].story}"))
        print(f"      caught by: {ZOO[name].caught_by}")
        print(paragraph(f"   {evidence}"))


def part_5_what_the_losses_cannot_tell(key, curves, training, spread):
    print("\n5. What the losses cannot tell\n")
    print(f"      {'':30s}{'training':<18s}{'held out':<18s}check")
    seen, away = {}, {}
    for letter, name in key.items():
        losses, held_out = map(end, curves[letter])
        seen[name] = training.verdict(losses), spread.verdict(held_out)
        away[name] = spread.away(held_out)
        print(f"   {letter}  {name:30s}{seen[name][0]:<18s}{seen[name][1]:<18s}caught")

    stuck = ("decay-on-the-gradient", "relu-of-the-gradient", "stale-gradients", "adamw-one-beta")
    assert all(away[name] > 30 for name in stuck)
    assert away["dropout-new-mask"] > 6 and away["embedding-buffered"] > 1
    assert seen["targets-not-shifted"] == ("better", "worse")
    hidden = ("mean-without-n", "layer-norm-without-third-term", "untied-copy")
    assert all(seen[name][1] == "like another seed" for name in hidden)
    ends = {name: end(curves[letter][1]) for letter, name in key.items()}
    assert abs(ends["mean-without-n"] - end(curves["right"][1])) < 1e-3
    assert ends["untied-copy"] < end(curves["right"][1])
    leap = {name: curves[letter][0][:6].max() for letter, name in key.items()}
    assert max(leap, key=leap.get) == "adamw-one-beta"
    print()
    for text in (
        """Three of the ten end where another seed might. mean-without-n has a gradient 64 times
        too large, but clipping and AdamW both divide by the gradient's size, and the factor
        cancels. The term that layer-norm-without-third-term leaves out is small in this model.
        And untied-copy has made the model larger, which helps.""",
        f"""embedding-buffered is {away["embedding-buffered"]:.0f} units away. With one seed and no
        scale it would pass for bad luck. targets-not-shifted is by far the best in training, and
        the worst of all on held-out sentences that other code measures: that is what these are
        for.""",
        """The check of each finds it in a fraction of a second, without training anything.""",
    ):
        print(paragraph(" ".join(text.split()), "   "))
        print()


def main():
    order = np.random.default_rng(6).permutation(list(SUSPECTS))
    key = dict(zip("ABCDEFGHIJ", map(str, order), strict=True))
    rights = [train(RIGHT, seed) for seed in range(SEEDS)]
    curves = {"right": rights[0]} | {letter: train(with_bug(n)) for letter, n in key.items()}
    training, spread = (Spread([end(losses[i]) for losses in rights]) for i in (0, 1))
    assert spread.mean < marks()["2"][0] - 0.5 and spread.deviation < 0.05
    part_1_and_2_the_curves(curves, spread)
    part_3_and_4_the_suspects(key)
    part_5_what_the_losses_cannot_tell(key, curves, training, spread)


if __name__ == "__main__":
    main()
