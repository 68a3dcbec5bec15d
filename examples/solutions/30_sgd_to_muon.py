"""Solutions to the exercises of 30_sgd_to_muon.py."""

import numpy as np
from _solutions import answer, example_of

from autograd import Parameter, Tensor
from tinygrad_llm.training.optim import SGD

rules = example_of(__file__)
RNG = np.random.default_rng(0)


def exercise_1():
    """Nesterov.

    The line is the last: w - lr (g + mu b). The next step would begin with mu b even if the next
    gradient were 0, and this takes that part now. So the gradient is measured where the momentum
    is about to arrive, and can still object. In the steep direction, where b overshoots, the
    objection comes a step earlier, and the swings die sooner. (But not for every rate: with
    mu = 0.9 SGD's momentum stands rates up to 0.038 in this valley, and Nesterov's up to 0.0136.)
    """

    def nesterov(w, g, memory, lr, t, mu=0.9):
        (b,) = memory
        b = mu * b + g
        return w - lr * (g + mu * b), (b,)

    start, gradients = RNG.standard_normal((3, 4)), RNG.standard_normal((5, 3, 4))
    w, memory, p = start, rules.zeros("momentum", start), Parameter(start.copy())
    optimizer = SGD([p], 0.1, momentum=0.9, nesterov=True)
    for t, g in enumerate(gradients, start=1):
        w, memory = nesterov(w, g, memory, 0.1, t)
        p.grad = Tensor(g)
        optimizer.step()
    assert rules.largest(w, p.data) < 1e-12

    def swing(rule, lr=0.006):
        """How far the path still is to the side of the valley after 20 steps, at the most."""
        rules.RULES["momentum"] = rule
        across = [abs(z[1, 1]) for z, _ in rules.path("momentum", lr, turned=False)]
        rules.RULES["momentum"] = rules.momentum
        return max(across[20:])

    plain, ahead = swing(rules.momentum), swing(nesterov)
    print(f"   the largest swing after 20 steps: momentum {plain:.4f}, Nesterov {ahead:.4f}")
    assert ahead < plain / 2
    assert swing(nesterov, 0.013) < 0.5 < 10 < swing(nesterov, 0.018)


def exercise_2():
    """Without memory.

    m is g and v is g^2, so AdamW steps by lr g / |g|: the sign of each number. Muon's direction is
    the gradient with singular values of 1. The sign makes all numbers of the step equal in size,
    Muon all directions. They are the same for a diagonal matrix, whose singular values are the
    sizes of its numbers (nearly: after five iterations they are between 0.7 and 1.2).
    """
    lr, decay = 0.1, {"decay": 0.0}
    for name, g in (("diagonal", np.diag([3.0, -0.5, 0.1])), ("full", RNG.standard_normal((3, 3)))):
        zero = np.zeros((3, 3))
        one, _ = rules.adamw(zero, g, (zero, zero), lr, 1, beta1=0.0, beta2=0.0, **decay)
        other, _ = rules.muon(zero, g, (zero,), lr, 1, mu=0.0, **decay)
        one, other = -one / lr, -other / (lr * 0.2 * np.sqrt(3))
        values = [np.linalg.svd(step)[1].round(2) for step in (one, other)]
        print(f"   {name:9s} singular values: AdamW's step {values[0]}, Muon's {values[1]}")
        assert np.allclose(one, np.sign(g), atol=1e-6)
        assert all(0.6 < value < 1.3 for value in values[1])
        assert (np.abs(one - other).max() < 0.35) == (name == "diagonal")


def exercise_3():
    """A louder loss.

    SGD and momentum need a thousandth of the rate, and then take the same path. AdamW and Muon
    divide by the size of the gradient, and do not notice (until the 1e-8 next to the root matters,
    or the 1e-7 next to the norm). So mixed precision, which multiplies the loss to keep small
    gradients from becoming 0 in float16, must divide the gradients again before SGD sees them, and
    before they are clipped; with AdamW and no clipping a forgotten division would go unnoticed.
    """
    for name in rules.RULES:
        lr = rules.best_rate(name, turned=False)
        quiet = [z for z, _ in rules.path(name, lr, False)][:50]
        with np.errstate(all="ignore"):
            loud = [z for z, _ in rules.path(name, lr, False, louder=1000.0)][:50]
            tuned = [z for z, _ in rules.path(name, lr / 1000, False, louder=1000.0)][:50]
        same, follows = np.allclose(loud, quiet, atol=1e-5), np.allclose(tuned, quiet, atol=1e-5)
        print(
            f"   {name:9s} the same path at the same rate: {same!s:5s}   at a thousandth: {follows}"
        )
        assert same == (name in ("AdamW", "Muon")) and follows != same


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
