"""Solutions to the exercises of 18_lora.py."""

import numpy as np
from _solutions import answer

from autograd import Parameter, ops

RNG = np.random.default_rng(0)


def exercise_1():
    """Which of the two begins at 0.

    The gradient of each factor is a product with the other one: dL/dB = s G A^T and
    dL/dA = s B^T G. With one of them 0 the change s B A is 0, as it should be, and that one has a
    gradient: it moves first, and then the other. It may be either. With both 0, both gradients are
    0, after every step as before the first: a saddle point that gradient descent never leaves.
    """
    n_in, n_out, r, scale = 6, 5, 2, 2.0
    x, W = RNG.standard_normal((64, n_in)), RNG.standard_normal((n_out, n_in))
    change = RNG.standard_normal((n_out, 1)) @ RNG.standard_normal((1, n_in))  # to be found
    y = x @ (W + change).T
    draws = 0.3 * RNG.standard_normal((r, n_in)), 0.3 * RNG.standard_normal((n_out, r))
    found = {}
    for name, a, b in (("B = 0", 1, 0), ("A = 0", 0, 1), ("A = B = 0", 0, 0)):
        A, B = Parameter(a * draws[0]), Parameter(b * draws[1])
        losses = []
        for _ in range(300):
            loss = ops.square(x @ (W + scale * B @ A).T - y).mean()
            loss.backward()
            losses.append(loss.item())
            for p in (A, B):
                p.assign_(p.data - 0.05 * p.grad.data)
                p.zero_grad()
        found[name] = losses
        print(f"   {name:<10s} loss {losses[0]:8.4f} at first, {losses[-1]:.1e} after 300 steps")
    assert len({losses[0] for losses in found.values()}) == 1  # none changes anything at first
    assert max(found["B = 0"][-1], found["A = 0"][-1]) < 1e-6
    assert len(set(found["A = B = 0"])) == 1


def exercise_2():
    """Where it stops paying.

    A and B have r (n + m) numbers, the matrix n m. They are equal at r = n m / (n + m), half of the
    size of a square matrix: 32 for the small model of the example, 2,048 for one of width 4,096,
    where r = 8 trains 0.4 % of the numbers. So LoRA saves the more the larger the model is. What it
    saves is gradients and the optimizer's memory, two further numbers for each one that is trained.
    Of the arithmetic it saves a third at most, the gradient of W itself: the gradient of the output
    still has to pass through W, to reach the layers below.
    """
    for n in (64, 4096):
        even, r = n * n / (n + n), 8
        share = r * (n + n) / (n * n)
        print(f"   {n} x {n}: equal at r = {even:,.0f}; r = {r} trains {share:.1%} of the numbers")
        assert even == n / 2
    assert round(share, 3) == 0.004


def exercise_3():
    """Two adapters at once.

    s1 B1 A1 + s2 B2 A2 is one product of [s1 B1, s2 B2] and A1 on top of A2: an adapter of rank
    r1 + r2, at most. So adapters can be added, and the sum merged, as if there had been one. That
    it can be written does not mean that it does both tasks: each was trained without the other, and
    the changes act on the same layer. Nor does their order matter, as it would with full training.
    """
    n, r1, r2, s1, s2 = 64, 4, 2, 2.0, 0.5
    B1, A1 = RNG.standard_normal((n, r1)), RNG.standard_normal((r1, n))
    B2, A2 = RNG.standard_normal((n, r2)), RNG.standard_normal((r2, n))
    both = s1 * B1 @ A1 + s2 * B2 @ A2
    as_one = np.hstack([s1 * B1, s2 * B2]) @ np.vstack([A1, A2])
    ranks = [np.linalg.matrix_rank(m) for m in (B1 @ A1, B2 @ A2, both)]
    difference = np.abs(both - as_one).max()
    print(f"   difference {difference:.0e}; ranks {ranks[0]} and {ranks[1]}, of the sum {ranks[2]}")
    assert np.allclose(both, as_one) and ranks == [4, 2, 6]


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
