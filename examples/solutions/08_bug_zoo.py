"""Solutions to the exercises of 08_bug_zoo.py."""

from functools import cache

import numpy as np
from _solutions import answer, example_of

from autograd.bug_zoo import ZOO

zoo = example_of(__file__)


@cache
def right(seed):
    """Where the right model of a seed ends, held out."""
    return zoo.end(zoo.train(zoo.RIGHT, seed)[1])


def exercise_1():
    """An eleventh suspect.

    It ends where another seed might. Clipping each tensor by itself changes the direction of the
    gradient, but AdamW soon divides each number by its own size, and a factor that a tensor keeps
    for many steps cancels. The check does not ask for the loss: it compares the directions before
    and after, and their cosine is not 1.
    """
    spread = zoo.Spread([right(seed) for seed in range(3)])
    pieces = {**zoo.RIGHT, "clip": ZOO["clip-per-tensor"].wrong}
    loss = zoo.end(zoo.train(pieces)[1])
    print(f"   it ends at {loss:.3f}; three seeds of the right one at {spread.mean:.3f}")
    print(f"   {ZOO['clip-per-tensor'].catch()}")
    assert abs(loss - spread.mean) < 0.1 and ZOO["clip-per-tensor"].catch()


def exercise_2():
    """Without AdamW.

    mean-without-n. Its gradient is B = 64 times too large, and without clipping or AdamW nothing
    divides by it: every step is 64 times too long, and the loss is beyond the scale within a few
    steps. A method that does not care about the size of a gradient cannot notice a wrong one.
    """

    def descend(p, g, state, lr, decay):
        return p - 0.5 * g, state

    plain = {"update": descend, "clip": lambda gradients: gradients}
    with np.errstate(all="ignore"):  # it overflows
        for name in ("right", "mean-without-n", "layer-norm-without-third-term"):
            pieces = zoo.RIGHT if name == "right" else zoo.with_bug(name)
            loss = zoo.end(zoo.train({**pieces, **plain})[1])
            print(f"   {name:31s}{loss:10.3f}")
            if name == "mean-without-n":
                assert not loss < np.log(zoo.V)
            else:
                assert loss < np.log(zoo.V) - 1


def exercise_3():
    """The same seed, or another.

    In pairs it shows. The two runs of a seed share their initial weights, batches and dropout; what
    these do to the loss is in both, and the difference is without it. What is left is the bug, and
    less of chance. So two runs are best compared with the same seed, and several of them. And what
    shows here? The wrong gradient ends a hair *lower*. The loss is no judge of a gradient.
    """
    spread = zoo.Spread([right(seed) for seed in range(4)])
    differences = []
    for seed in range(4):
        loss = zoo.end(zoo.train(zoo.with_bug("layer-norm-without-third-term"), seed)[1])
        differences.append(loss - right(seed))
        print(f"   seed {seed}   right {right(seed):.3f}   with the bug {differences[-1]:+.3f}")
    mean, deviation = np.mean(differences), np.std(differences, ddof=1)
    print(f"   {mean:+.3f} on average; the differences differ by {deviation:.3f}")
    print(f"   the right ones alone differ by {spread.deviation:.3f}")
    assert mean < 0 and deviation < spread.deviation / 2


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
