"""Solutions to the exercises of 06_gpt_on_one_page.py."""

import math

import numpy as np
from _solutions import answer, example_of

from autograd import no_grad, ops

page = example_of(__file__)


def exercise_1():
    """Without places.

    With one block the order does not matter. The last character's query is compared with the keys
    of the characters before it, and the values are added up: a sum has no order. With two blocks it
    matters a little. In the first block the mask lets each character see only those before it, so
    what the second block reads at a character depends on which ones came earlier. The mask is a
    weak sense of place; models without any other can be trained, and learn to count with it.
    """
    text = "Flat is better than nested"
    ids = np.array([page.CHARACTERS.index(c) for c in text])
    mixed = np.concatenate([np.random.default_rng(0).permutation(ids[:-1]), ids[-1:]])
    changes = {}
    for blocks in (1, 2):
        page.L = blocks
        p = page.new_model(np.random.default_rng(7))
        p["places"].data[:] = 0
        for x in p.values():
            x.data *= 10 if x.ndim == 2 else 1  # so that what the blocks add is visible
        with no_grad():
            one, other = (page.logits(p, some[None]).data[0, -1] for some in (ids, mixed))
        changes[blocks] = np.abs(one - other).max() / np.abs(one).max()
        print(f"   blocks {blocks}   largest change of a score, relative: {changes[blocks]:.0e}")
    page.L = 2
    assert changes[1] < 1e-5 and changes[2] > 1e-3


def exercise_2():
    """The loss before the first step.

    The table that reads characters also scores them. What enters the stream is the row of the
    character just read, hardly changed by blocks that are still small; so the row that fits it best
    is the same one, and the model expects the character to be repeated. Normalized, h has the
    length sqrt(C), and the row has s sqrt(C): if they point the same way, the score is C s, and the
    others are near 0. With s = 0.02 a score of 1.3 is no opinion. With s = 0.5 it is 32, the model
    is certain, and each character that is not doubled costs 32 nats.
    """
    print("        s    C s    expects a repetition: predicted    measured    loss")
    at = np.arange(len(page.HELD_OUT) - page.T)[:, None] + np.arange(page.T)
    ids, losses = page.HELD_OUT[at], []
    for s in (0.02, 0.05, 0.1, 0.5):
        p = page.new_model(np.random.default_rng(7))
        p["tokens"].data *= s / 0.02
        predicted = 1 / (1 + (page.V - 1) * math.exp(-page.C * s))
        with no_grad():
            odds = ops.softmax(page.logits(p, ids)).data
        found = np.take_along_axis(odds, ids[..., None], axis=-1).mean()
        losses.append(page.held_out_loss(p))
        print(f"     {s:.2f}{page.C * s:7.1f}{predicted:33.1%}{found:12.1%}{losses[-1]:8.2f}")
        assert abs(found - predicted) < 0.2
    assert losses == sorted(losses) and found > 0.99 and 25 < losses[-1] < 35


def exercise_3():
    """Stop in time.

    After fewer than a hundred steps nothing gets better for the held-out lines, and stopping then
    saves four fifths of the work. The best model has learned which letters and spaces follow
    which, and hardly a word: that is all that this page teaches about other pages. "early
    stopping" keeps the model at its best, not the last; ``train --patience`` does so.
    """
    rng = np.random.default_rng(7)
    p, best, kept = page.new_model(rng), (math.inf, 0), {}
    for step, _ in page.train(p, rng):
        if step % 10:
            continue
        loss = page.held_out_loss(p)
        if loss < best[0]:
            best, kept = (loss, step), {name: x.data.copy() for name, x in p.items()}
        elif step - best[1] >= 50:
            break
    for name, x in p.items():
        x.assign_(kept[name])
    text = page.sample(p, "Beautiful", 120, np.random.default_rng(1))
    print(f"   stopped after {step} steps; the best was after {best[1]}, at {best[0]:.2f}:")
    print("".join(f"      | {line}\n" for line in text.splitlines()))
    assert best[1] < 100 and step < 150 and best[0] < page.marks()["2"]
    assert page.known(text) < 0.5


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
