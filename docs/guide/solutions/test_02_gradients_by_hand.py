"""Solutions of chapter 2: gradients by hand."""

import math

import numpy as np


def measured(f, x, h=1e-5):
    """df/dx for every number of an array, by moving it to both sides."""
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        slopes[place] = (f(x + step) - f(x - step)) / (2 * h)
    return slopes


# --- 2.1: a weighted sum and a mean -----------------------------------------------------


def weighted_sum_backward(w, x, g):
    """y = sum w x: dy = sum (x dw + w dx), so each gets the other times g."""
    return g * x, g * w


def variance_backward(x, g):
    """v = mean((x - m)^2) with m = mean(x).

    dv = mean(2 (x - m) (dx - dm)). The part with dm is -2 dm mean(x - m), and the mean of
    the deviations is 0: the dependence of m on x contributes nothing. Left is
    dv = sum (2 / n) (x - m) dx.
    """
    return g * 2 / len(x) * (x - x.mean())


def test_exercise_2_1():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=5), rng.normal(size=5)
    g_w, g_x = weighted_sum_backward(w, x, 1.0)
    assert np.allclose(g_w, measured(lambda w: (w * x).sum(), w))
    assert np.allclose(g_x, measured(lambda x: (w * x).sum(), x))
    assert np.allclose(variance_backward(x, 1.0), measured(np.var, x))
    # It vanishes for the variance only. For the mean of (x - m)^3 the same shortcut fails.
    cubed = lambda x: ((x - x.mean()) ** 3).mean()
    shortcut = 3 / len(x) * (x - x.mean()) ** 2
    assert not np.allclose(shortcut, measured(cubed, x), rtol=0.01)
    assert np.allclose(shortcut - shortcut.mean(), measured(cubed, x))


# --- 2.2: a residual connection ---------------------------------------------------------


def residual(X, W1, b1, W2):
    H = np.tanh(X @ W1 + b1)  # (B, 3)
    R = X + H @ W2  # (B, 2)
    return 0.5 * (R**2).sum(), H, R


def residual_backward(X, W1, b1, W2):
    _, H, R = residual(X, W1, b1, W2)
    g_R = R  # L = sum R^2 / 2
    g_W2 = H.T @ g_R
    g_H = g_R @ W2.T
    g_A = g_H * (1 - H**2)
    g_W1, g_b1 = X.T @ g_A, g_A.sum(axis=0)
    # X is used twice: around the layer, where the gradient passes as it is, and through it.
    g_X = g_R + g_A @ W1.T
    return g_X, g_W1, g_b1, g_W2


def test_exercise_2_2():
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=shape) for shape in ((5, 2), (2, 3), (3,), (3, 2))]
    for i, gradient in enumerate(residual_backward(*inputs)):
        f = lambda x, i=i: residual(*inputs[:i], x, *inputs[i + 1 :])[0]
        assert gradient.shape == inputs[i].shape
        assert np.allclose(gradient, measured(f, inputs[i]), atol=1e-7)


# --- 2.3: numbers that carry their derivative -------------------------------------------


class Dual:
    """A value, and how fast it changes with the one input that was chosen."""

    def __init__(self, value, rate=0.0):
        self.value, self.rate = value, rate

    def __add__(self, other):
        return Dual(self.value + other.value, self.rate + other.rate)

    def __mul__(self, other):
        rate = self.rate * other.value + self.value * other.rate
        return Dual(self.value * other.value, rate)


def tanh(x):
    y = math.tanh(x.value)
    return Dual(y, (1 - y * y) * x.rate)


def gradient(f, *numbers):
    """One pass for each input: the rate of that input is 1, of the others 0."""
    rates, passes = [], 0
    for i in range(len(numbers)):
        inputs = [Dual(x, float(i == j)) for j, x in enumerate(numbers)]
        rates.append(f(*inputs).rate)
        passes += 1
    return rates, passes


def test_exercise_2_3():
    def square_of_sum(a, b):
        s = a * b + a
        return s * s

    assert gradient(square_of_sum, 2.0, 3.0) == ([64.0, 32.0], 2)

    rates, passes = gradient(lambda w, x, b: tanh(w * x + b), 0.5, -1.2, 0.3)
    slope = 1 - math.tanh(0.5 * -1.2 + 0.3) ** 2
    assert np.allclose(rates, [slope * -1.2, slope * 0.5, slope])
    assert passes == 3  # reverse mode needs one, whatever the number of inputs
