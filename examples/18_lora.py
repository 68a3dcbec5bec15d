"""LoRA: what a low-rank update of a weight looks like, and how to merge it by hand.

What it teaches. Fine-tuning changes a matrix W by some matrix of the same size. LoRA trains that
change as a product s B A of two thin matrices, so that it has rank r and few parameters, while W
itself stays. At first B = 0, which is why nothing changes, and why A gets no gradient yet. At the
end the product can be added to W, and nothing of LoRA is left but the numbers.

Part 1 is the start. Part 2 trains a small model to contradict the page it knows, once with all
weights of its layers and once with r = 4, and shows both changes of one matrix, with their singular
values. Part 3 merges by hand. Part 4 asks how much of the full change a low rank can hold, and how
much it has to.

    python examples/18_lora.py

Before: 17_sft_masks.py. Next: 19_where_dpo_pushes.py. The derivation is in docs/lora.md, and the
page to read is tinygrad_llm/finetune/lora_layer.py.

Exercises, answered in solutions/18_lora.py. Try first.

1. Which of the two begins at 0. Fit a change of a small matrix with B = 0, with A = 0, and with
   both at first. Which of them learn, and why?
2. Where it stops paying. At which r does LoRA have as many numbers as the matrix, 64 x 64 or 4,096
   x 4,096? What does it save in training, and what not?
3. Two adapters at once. Add the changes of two adapters to one weight. Is the sum an adapter, too,
   and of which rank?
"""

import copy
import tempfile
from pathlib import Path

from _small_model import PAGE, make_tokenizer, np, train_small_model
from rich.console import Console
from rich.text import Text

from autograd import no_grad
from tinygrad_llm.finetune.lora import add_lora, disable_adapter, merge_lora
from tinygrad_llm.model.freezing import freeze, trainable_parameters, training_cost, unfreeze
from tinygrad_llm.training.optim import AdamW

TASK = PAGE.replace("better", "worse")
NAME = "layers.1.self_attn.q_proj"  # the matrix that is shown, 64 x 64
R, SCALE = 4, 2.0  # s = alpha / r
RANKS = (1, 2, 4, 8)
STEPS, B, T = 60, 4, 96
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def windows(ids, starts):
    at = starts + np.arange(T)
    return ids[at], ids[at + 1]


def adapted(base, r):
    return add_lora(copy.deepcopy(base), r=r, alpha=SCALE * r)


def train(model, ids, lr):
    """Train what is not frozen; the loss of the whole text afterwards."""
    optimizer, rng = AdamW(trainable_parameters(model), lr=lr), np.random.default_rng(1)
    for _ in range(STEPS):
        model.loss(*windows(ids, rng.integers(0, len(ids) - T, size=(B, 1)))).backward()
        optimizer.step()
        optimizer.zero_grad()
    return evaluate(model, ids)


def evaluate(model, ids):
    with no_grad():
        return model.loss(*windows(ids, np.arange(0, len(ids) - T, T)[:, None])).item()


def module(model, name):
    return dict(model.named_modules())[name]


def largest(a, b):
    """The largest difference, relative to the largest number."""
    return np.abs(a - b).max() / np.abs(b).max()


# --- part 1 ---------------------------------------------------------------------------------------


def part_1_the_start(base, ids):
    print("1. The start: B = 0\n")
    x, y = windows(ids, np.array([[0], [50]]))
    with no_grad():
        assert np.array_equal(adapted(base, R)(x).data, base(x).data)
    print("   The logits with a new adapter are those of the base, to the last bit.\n")

    # In float64, to compare gradients with those that the weight itself would have
    full = copy.deepcopy(base).astype(np.float64)
    model = adapted(full, R)
    full.loss(x, y).backward()
    adapter, G = module(model, NAME).adapters["default"], module(full, NAME).weight.grad.numpy()
    assert adapter.scale == SCALE
    optimizer = AdamW(trainable_parameters(model), lr=1e-2)
    print(f"   {'step':>7s}{'|B|':>12s}{'|dL/dB|':>12s}{'|dL/dA|':>12s}")
    sizes = []
    for step in (1, 2):
        model.loss(x, y).backward()
        A, B = adapter.A.numpy(), adapter.B.numpy()
        g_A, g_B = adapter.A.grad.numpy(), adapter.B.grad.numpy()
        if step == 1:  # W + s B A = W, so dL/d(W + s B A) is the gradient G that W would have
            assert largest(g_B, SCALE * G @ A.T) < 1e-10
            assert np.array_equal(g_A, SCALE * B.T @ G) and not g_A.any() and g_B.any()
        sizes.append([np.linalg.norm(a) for a in (B, g_B, g_A)])
        print(f"   {step:7d}" + "".join(f"{size:12.6f}" for size in sizes[-1]))
        optimizer.step()
        optimizer.zero_grad()
    assert sizes[0][0] == sizes[0][2] == 0 < sizes[1][2]
    print("""
   With G = dL/dW, the gradient that the weight would have:

       dL/dB = s G A^T        dL/dA = s B^T G

   B = 0 makes the second one 0, exactly. So only B moves in the first step, and then both do.
   Were A = 0 too, both gradients would be 0, and nothing would ever move.
""")


# --- part 2 ---------------------------------------------------------------------------------------


def picture(change, rows=16, columns=32):
    """The mean size of the numbers in each cell of a grid: a row of shades for each row."""
    shades = " .:-=+*#%@"
    n, m = change.shape[0] // rows, change.shape[1] // columns
    cells = np.abs(change).reshape(rows, n, columns, m).mean(axis=(1, 3))
    levels = np.minimum(10 * cells / cells.max(), 9).astype(int)
    return ["".join(shades[level] for level in row) for row in levels]


def singular_values(change):
    return np.linalg.svd(change.astype(np.float64), compute_uv=False)


def bars(values, n=16):
    levels = np.ceil(8 * values[:n] / values[0] - 1e-4).astype(int)
    return "".join(" ▁▂▃▄▅▆▇█"[level] for level in levels)


def changes_of(full, base):
    """How much full training changed each matrix of the layers."""
    before = dict(base.named_parameters())
    return {
        name: p.numpy() - before[name].numpy()
        for name, p in full.named_parameters()
        if name.startswith("layers") and p.ndim == 2
    }


def draw(changes, path):
    """The two changes as images, and their singular values."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for panel, (name, change) in zip(panels, changes.items(), strict=False):
        limit = np.abs(change).max()
        image = panel.imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit)
        panel.set_title(name, loc="left", fontsize=11, fontweight="bold", color="#22313f")
        figure.colorbar(image, ax=panel, shrink=0.8)
    for color, (name, change) in zip(("#3d7ea6", "#d1495b"), changes.items(), strict=True):
        values = singular_values(change)
        numbers = np.arange(1, len(values) + 1)
        panels[2].plot(numbers, values, "o-", color=color, markersize=3, linewidth=1, label=name)
    panels[2].set_title("singular values", loc="left", fontsize=11, fontweight="bold")
    panels[2].spines[["top", "right"]].set_visible(False)
    panels[2].legend(frameon=False)
    figure.savefig(path, format="png")


def part_2_the_change(base, full, model):
    print(f"2. The change of {NAME}, 64 x 64\n")
    adapter = module(model, NAME).adapters["default"]
    lora = adapter.scale * adapter.B.numpy() @ adapter.A.numpy()
    changes = {"all weights": changes_of(full, base)[f"{NAME}.weight"], f"s B A, r = {R}": lora}
    print("   " + "".join(f"{name:<38s}" for name in changes).rstrip())
    for rows in zip(*map(picture, changes.values()), strict=True):
        console.print(
            Text("   ").append(rows[0], "cyan").append(" " * 6).append(rows[1].rstrip(), "red")
        )
    print("\n   the 16 largest singular values of 64, and the rank")
    for name, change in changes.items():
        values = singular_values(change)
        rank = int((values > 1e-5 * values[0]).sum())
        print(f"   {name:<14s} |{bars(values)}|   {rank:2d}")
        assert rank == (R if change is lora else 64)
    path = Path(tempfile.mkdtemp(prefix="lora-")) / "lora.png"
    draw(changes, path)
    print(f"\n   As a picture: {path}")
    a, b = training_cost(full), training_cost(model)
    shapes = [(layer.A.shape, layer.B.shape) for layer in adapters(model)]
    assert b.trained == sum(R * n_in + n_out * R for (_, n_in), (n_out, _) in shapes)
    print(f"""
   Every row of s B A is a mixture of the same {R} rows, those of A, and every column of the
   same {R} columns: stripes. It has {R * 64 + 64 * R} numbers to train in place of {64 * 64:,}.
   All {len(shapes)} matrices have {b.trained:,}, in place of {a.trained:,} in the layers.
""")
    return lora


def adapters(model):
    return [m.adapters["default"] for _, m in model.named_modules() if hasattr(m, "adapters")]


# --- part 3 ---------------------------------------------------------------------------------------


def part_3_merged_by_hand(base, model, lora, ids):
    print("3. Merged by hand\n")
    x, _ = windows(ids, np.array([[0]]))
    with no_grad():
        before = model(x).data
        with disable_adapter(model):
            assert np.array_equal(model(x).data, base(x).data)
    by_hand = module(base, NAME).weight.numpy() + lora
    plain = merge_lora(copy.deepcopy(model))
    library = module(plain, NAME).weight.numpy()
    with no_grad():
        after = plain(x).data
    assert not adapters(plain) and largest(by_hand, library) < 1e-6
    assert largest(after, before) < 1e-4
    print(f"   W + s B A and the library's merged weight   {largest(by_hand, library):.0e}")
    print(f"   logits of the merged model and of LoRA's    {largest(after, before):.0e}")
    print(f"   a first number by hand                      {by_hand[0, 0]:+.6f}")
    print(f"   and in the merged model                     {library[0, 0]:+.6f}")
    print("""
   (Differences relative to the largest number.) The merged model has the size and the speed of
   the base. Without merging, the base is still there: with the adapter off, its logits are equal
   to the last bit.
""")


# --- part 4 ---------------------------------------------------------------------------------------


def cut(base, changes, r):
    """The base with the full changes, each cut to rank r: the nearest matrix of that rank."""
    model = copy.deepcopy(base)
    for name, parameter in model.named_parameters():
        if name in changes:
            u, s, v = np.linalg.svd(changes[name], full_matrices=False)
            parameter.data = parameter.data + (u[:, :r] * s[:r]) @ v[:r]
    return model


def part_4_is_a_low_rank_enough(base, full, tuned, ids):
    print("4. Is a low rank enough?\n")
    changes = changes_of(full, base)
    squares = [singular_values(change) ** 2 for change in changes.values()]
    before, best = evaluate(base, ids), evaluate(full, ids)
    print(f"   {'':>6s}   {'all weights, then cut to rank r':^36s}   {'LoRA of rank r':^24s}")
    print(f"   {'r':>6s}{'of the change':>18s}{'loss':>16s}{'trained':>18s}{'loss':>10s}")
    found = {}
    for r in RANKS:
        share = sum(s[:r].sum() for s in squares) / sum(s.sum() for s in squares)
        loss, (model, lora) = evaluate(cut(base, changes, r), ids), tuned[r]
        found[r] = share, loss, lora
        trained = training_cost(model).trained
        print(f"   {r:6d}{share:18.0%}{loss:16.4f}{trained:18,d}{lora:10.4f}")
    print(f"   {'all':>6s}{1:18.0%}{best:16.4f}{training_cost(full).trained:18,d}")
    assert all(lora < loss for _, loss, lora in found.values())
    assert found[1][1] > 2 * best and found[1][2] < 0.5 * found[1][1]
    shares = [share for share, _, _ in found.values()]
    assert shares == sorted(shares)
    way = (before - found[1][1]) / (before - best)
    print(f"""
   The loss of the base is {before:.4f}. The change that training all weights finds has no low
   rank: cut to r = 1, it gets {way:.0%} of the way. But it is one of many changes that would do.
   Some of these have rank 1, and training within rank 1 finds one. That is why LoRA works: not
   because every change has a low rank, but because one of low rank is often enough.""")


def main():
    print("The base is a small model that has learned a page, trained here within seconds. It is")
    print("to learn that page with every 'better' made 'worse'.\n")
    tokenizer = make_tokenizer()
    base = train_small_model(tokenizer)
    ids = np.array(tokenizer.encode(TASK))
    part_1_the_start(base, ids)
    full = copy.deepcopy(base)
    freeze(full)
    unfreeze(full, "layers")
    train(full, ids, lr=1e-3)
    tuned = {}
    for r in RANKS:
        model = adapted(base, r)
        tuned[r] = model, train(model, ids, lr=1e-2)
    lora = part_2_the_change(base, full, tuned[R][0])
    part_3_merged_by_hand(base, tuned[R][0], lora, ids)
    part_4_is_a_low_rank_enough(base, full, tuned, ids)


if __name__ == "__main__":
    main()
