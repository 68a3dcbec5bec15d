"""The proof: every gradient of the engine against differences of the function."""

import numpy as np

import engine
from engine import Tensor

def differences(f, x, h=1e-5):
    """df/dx by central differences, one number of x at a time; f() is a number."""
    slopes = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        middle, values = x[i], []
        for side in (h, -h):
            x[i] = middle + side
            values.append(f())
        x[i] = middle
        slopes[i] = (values[0] - values[1]) / (2 * h)
    return slopes

def check(f, *arrays, rtol=1e-6, h=1e-5):
    """The relative error of backward; raise AssertionError where it is too large."""
    inputs = [Tensor(np.array(a, np.float64), requires_grad=True) for a in arrays]
    weights = np.random.default_rng(1).normal(size=f(*inputs).shape)
    loss = lambda: engine.total(f(*inputs) * weights)
    loss().backward()
    worst, noise = 0.0, 10 * np.finfo(np.float64).eps * abs(float(loss().data)) / h
    for i, x in enumerate(inputs):
        slopes = differences(lambda: float(loss().data), x.data, h)
        error, size = np.abs(x.grad - slopes).max(), np.abs(slopes).max()
        if not error <= rtol * size + noise:
            raise AssertionError(
                f"input {i}: off by {error:.3g}, slopes up to {size:.3g}"
            )
        worst = max(worst, error / max(size, noise))
    return worst

def samples(rng):
    """For each operation of the engine: a name, a function, and inputs for it."""
    a, b, row = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)
    positive, matrix = rng.uniform(0.5, 2, size=(3, 4)), rng.normal(size=(4, 5))
    yield "add", lambda x, y: x + y, (a, row)
    yield "multiply", lambda x, y: x * y, (a, row)
    yield "divide", lambda x, y: x / y, (a, positive)
    yield "power", lambda x: x**3, (a,)
    yield "matmul", lambda x, y: x @ y, (rng.normal(size=(2, 3, 4)), matrix)
    yield "exp", engine.exp, (a,)
    yield "log", engine.log, (positive,)
    yield "tanh", engine.tanh, (a,)
    yield "log_sigmoid", engine.log_sigmoid, (a,)
    yield "total", lambda x: engine.total(x, axis=0), (a,)
    yield "mean", engine.mean, (a,)
    yield "reshape", lambda x: engine.reshape(x, (2, 6)), (a,)
    yield "transpose", lambda x: engine.transpose(x, (1, 0)), (a,)
    yield "take", lambda x: x[np.array([2, 0, 2])], (a,)
    yield "where", lambda x: engine.where(b > 0, x, -1.0), (a,)

if __name__ == "__main__":
    for name, f, inputs in samples(np.random.default_rng(0)):
        print(f"{name:12} relative error {check(f, *inputs):.0e}")
