"""Solutions of chapter 4: proving it."""

import math

import engine
import numpy as np
from engine import Tensor

# --- 4.1: a better difference -----------------------------------------------------------


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def extrapolated(f, x, h):
    """(4 D(h/2) - D(h)) / 3.

    D(h) = f' + c h^2 + d h^4 + ..., and D(h/2) = f' + c h^2 / 4 + d h^4 / 16 + ...
    Four times the second minus the first is 3 f' + (d/4 - d) h^4: what is left falls with
    the fourth power of h, and h can be larger, so rounding matters less.
    """
    return (4 * central(f, x, h / 2) - central(f, x, h)) / 3


def test_exercise_4_1():
    f, right = math.exp, math.exp(1.0)
    error = lambda rule, h: abs(rule(f, 1.0, h) / right - 1)
    # Ten times smaller steps: 100 times and 10,000 times more exact.
    assert 90 < error(central, 0.1) / error(central, 0.01) < 110
    assert 9_000 < error(extrapolated, 0.5) / error(extrapolated, 0.05) < 11_000
    steps = [10 ** (-k / 4) for k in range(2, 40)]
    # Near the bottom single errors are luck: take the median of three neighbours.
    smooth = lambda rule: [sorted(error(rule, h * c) for c in (0.9, 1.0, 1.1))[1] for h in steps]
    best = {rule: min(zip(smooth(rule), steps)) for rule in (central, extrapolated)}
    assert best[extrapolated][0] < 0.2 * best[central][0]
    assert best[extrapolated][1] > 10 * best[central][1]  # and with a far larger step


# --- 4.2: directions that cannot cancel -------------------------------------------------


def missed(draw, n=100, tries=2000):
    """How often a direction does not see the errors e and -e in two of n numbers."""
    rng, error = np.random.default_rng(0), np.zeros(n)
    error[[10, 70]] = 0.01, -0.01
    seen = [abs(error @ draw(rng, n)) for _ in range(tries)]
    return float(np.mean(np.array(seen) < 1e-8))


def test_exercise_4_2():
    signs = missed(lambda rng, n: rng.choice([-1.0, 1.0], n))
    normal = missed(lambda rng, n: rng.normal(size=n))
    # With signs the two cancel whenever both are drawn alike: in half of all cases.
    assert 0.45 < signs < 0.55
    # d_10 = d_70 to eight digits practically never happens.
    assert normal == 0.0


# --- 4.3: find the wrong element --------------------------------------------------------


def find_wrong(loss, x, gradient, h=1e-5):
    """The place of the one wrong element of a flat gradient, and the number of tests.

    Move half of the suspects. If the slope along them agrees with the gradient, the wrong
    one is in the other half.
    """
    rng, suspects, tests = np.random.default_rng(0), np.arange(x.size), 0
    while len(suspects) > 1:
        half = suspects[: len(suspects) // 2]
        direction = np.zeros(x.size)
        direction[half] = rng.choice([-1.0, 1.0], len(half))
        measured = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
        expected = float(gradient @ direction)
        tests += 1
        scale = np.abs(gradient[half]).sum()  # not |expected|, which may happen to be small
        agrees = abs(measured - expected) <= 1e-6 * scale
        suspects = suspects[len(half) :] if agrees else half
    return int(suspects[0]), tests


def test_exercise_4_3():
    rng = np.random.default_rng(3)
    matrix, start = rng.normal(size=(1000, 20)) / 30, rng.normal(size=1000)

    def tensor_loss(x):
        return engine.total(engine.tanh(engine.reshape(x, (1, 1000)) @ Tensor(matrix)))

    loss = lambda array: float(tensor_loss(Tensor(array)).data)
    for place in (0, 417, 999):
        x = Tensor(start, requires_grad=True)
        tensor_loss(x).backward()
        wrong = x.grad.copy()
        wrong[place] += 0.1
        found, tests = find_wrong(loss, start, wrong)
        assert found == place
        assert tests <= 10  # 2^10 = 1,024: twenty evaluations for a thousand numbers
