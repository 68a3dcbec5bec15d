"""Solutions to the exercises of 07_equivalence_lab.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.training.optim import AdamW

lab = example_of(__file__)
ROWS = np.split(np.arange(lab.B), 4)  # four micro-batches


def parts(model, x, y):
    """The gradients of each micro-batch's share of the mean loss; they add up to the whole."""
    for rows in ROWS:
        (model.loss(x[rows], y[rows]) / len(ROWS)).backward()
        yield lab.take_gradients(model)


def exercise_1():
    """Clip each part, or the whole.

    Not the same. Clipping multiplies a gradient by min(1, limit / norm), which is not linear: the
    clipped parts have other proportions than the parts. A micro-batch with a large gradient, the
    very one that clipping is meant for, is made as small as the others, and where the parts partly
    cancel, the sum may be far below the limit. First accumulate, then clip once, then step.
    """
    model, limit = lab.new_model(), 0.1
    x, y = lab.batch()
    whole = lab.gradients_of_loss(model, x, y)

    def norm(gradients):
        return np.sqrt(sum((g**2).sum() for g in gradients.values()))

    def clipped(gradients, limit):
        return {name: g * min(1.0, limit / norm(gradients)) for name, g in gradients.items()}

    def total(gradients):
        return {name: sum(g[name] for g in gradients) for name in whole}

    once = clipped(whole, limit)
    lab.compare(
        "the parts added up, then clipped", clipped(total([*parts(model, x, y)]), limit), once
    )
    assert np.isclose(norm(once), limit)  # it was above
    each = total([clipped(part, limit / 4) for part in parts(model, x, y)])
    lab.compare("each part clipped to a quarter, then added up", each, once, right=False)


def exercise_2():
    """A gradient of 0, and no gradient.

    With None the optimizer skips a parameter. With zeros it makes a step: the gradient's running
    means stay 0, but weight decay shrinks the matrices all the same, and after real steps momentum
    would move everything. So a block that was "frozen" by zeroing its gradients is not frozen. Set
    requires_grad = False: then there is no gradient to begin with, and no work to compute one.
    """
    for zeros in (False, True):
        model = lab.new_model()
        model.loss(*lab.batch()).backward()
        before = {name: p.data.copy() for name, p in model.named_parameters()}
        for name, p in model.named_parameters():
            if name.startswith("h.0."):
                p.grad = p.grad * 0.0 if zeros else None
        AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.1).step()
        named = [(name, p) for name, p in model.named_parameters() if name.startswith("h.0.")]
        moved = [p.ndim for name, p in named if (p.data != before[name]).any()]
        print(f"    {'zeros' if zeros else 'None':<6s} {len(moved):2d} of {len(named)} moved")
        assert moved == ([2, 2, 2, 2] if zeros else [])  # the matrices: decay spares vectors


def exercise_3():
    """Dropout in small batches.

    Not the same numbers: the random numbers are the same, but laid out in another order, so the
    masks are others. It is no bug. Both are samples of the same random gradient, and their averages
    over many draws agree: the difference of the averages falls with the square root of the number
    of draws. That is also the only way to test it. Exact tests of accumulation are made without
    dropout.
    """
    x, y = lab.batch()
    small, large = lab.new_model(dropout=0.2), lab.new_model(dropout=0.2)
    sums = {"small": 0.0, "large": 0.0}
    differences = {}
    for draw in range(1, 17):
        sums["small"] += sum(g["h.0.mlp.c_fc.weight"] for g in parts(small, x, y))
        sums["large"] += lab.gradients_of_loss(large, x, y)["h.0.mlp.c_fc.weight"]
        if draw in (1, 4, 16):
            size = np.linalg.norm(sums["large"])
            differences[draw] = np.linalg.norm(sums["small"] - sums["large"]) / size
            print(f"    mean of {draw:2d} draws: the gradients differ by {differences[draw]:.1%}")
    assert differences[1] > 0.1 and 2 < differences[1] / differences[16] < 8  # about 4


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
