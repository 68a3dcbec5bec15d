"""Solutions of chapter 3: the engine."""

import engine
import numpy as np
import pytest
from engine import Tensor, tanh, total


def measured(f, x, h=1e-6):
    """df/dx for every number of an array, by moving it to both sides."""
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        slopes[place] = (f(x + step) - f(x - step)) / (2 * h)
    return slopes


# --- 3.1: relu, and the largest number --------------------------------------------------


def relu(a):
    positive = a.data > 0  # at 0 there is no derivative; we say 0, as most do
    return Tensor(a.data * positive, (a,), lambda g: (g * positive,))


def largest(a):
    """The maximum along the last axis.

    A small move of the largest number moves the maximum as much, and the others have no
    influence. Where k numbers are equally large, no derivative exists: moved up, one of
    them leads alone, moved down, another one leads. Each gets 1/k, so that moving all of
    them together by d moves the maximum by d.
    """
    y = a.data.max(axis=-1)
    first = a.data == y[..., None]
    share = first / first.sum(axis=-1, keepdims=True)
    return Tensor(y, (a,), lambda g: (g[..., None] * share,))


def test_exercise_3_1():
    rng = np.random.default_rng(0)
    array, weights = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    for f, w in ((relu, weights), (largest, weights[:, 0])):
        x = Tensor(array, requires_grad=True)
        total(f(x) * w).backward()
        value = lambda a, f=f, w=w: float(total(f(Tensor(a)) * w).data)
        assert np.allclose(x.grad, measured(value, array))
    tie = Tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    total(largest(tie)).backward()
    assert tie.grad.tolist() == [[0.0, 0.5, 0.5]]


# --- 3.2: free as you go ----------------------------------------------------------------


def used(g):
    raise ValueError("backward was here before: compute the loss again")


def backward_and_free(loss):
    """backward, but each tensor forgets its parents and its rule after its turn."""
    gradients, waiting = {loss: np.ones_like(loss.data)}, [loss]
    while waiting:
        y = max(waiting, key=lambda t: t.age)
        waiting.remove(y)
        g = gradients.pop(y)
        if y.rule is None:
            y.grad = g + (0 if y.grad is None else y.grad)
            continue
        for x, g_x in zip(y.parents, y.rule(g)):
            if x.requires_grad:
                g_x = engine.unbroadcast(g_x, x.shape)
                if x not in gradients:
                    waiting.append(x)
                gradients[x] = gradients[x] + g_x if x in gradients else g_x
        # Not None: that would make it look like a given tensor, and a second backward
        # would write a grad into it and end there, without a word.
        y.parents, y.rule = (), used


def graph(y):
    seen, todo = set(), [y]
    while todo:
        t = todo.pop()
        if t not in seen:
            seen.add(t)
            todo.extend(t.parents)
    return seen


def test_exercise_3_2():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(8, 8)) for _ in range(5)]

    def compute():
        p = [Tensor(w, requires_grad=True) for w in weights]
        h = Tensor(np.ones((4, 8)))
        for w in p:
            h = h + tanh(h @ w)
        return p, total(h * h)

    p, loss = compute()
    size = len(graph(loss))
    backward_and_free(loss)
    assert size > 20 and len(graph(loss)) == 1  # the loss holds nothing but itself
    q, other = compute()
    other.backward()
    assert all(np.allclose(a.grad, b.grad) for a, b in zip(p, q))
    with pytest.raises(ValueError, match="compute the loss again"):
        backward_and_free(loss)


# --- 3.3: the order without an age ------------------------------------------------------


def backward_by_counting(loss):
    """A tensor has its turn when as many contributions have come as it has uses."""
    uses = {}
    for y in graph(loss):
        for x in y.parents:
            uses[x] = uses.get(x, 0) + 1
    gradients, ready = {loss: np.ones_like(loss.data)}, [loss]
    while ready:
        y = ready.pop()  # any of them: all in this list are complete
        g = gradients.pop(y)
        if y.rule is None:
            if y.requires_grad:
                y.grad = g + (0 if y.grad is None else y.grad)
            continue
        for x, g_x in zip(y.parents, y.rule(g)):
            g_x = engine.unbroadcast(g_x, x.shape)
            gradients[x] = gradients[x] + g_x if x in gradients else g_x
            uses[x] -= 1  # x * x uses x twice, and brings two contributions
            if uses[x] == 0:
                ready.append(x)


def test_exercise_3_3():
    rng = np.random.default_rng(1)

    def compute():
        x = Tensor(rng_values, requires_grad=True)
        b = Tensor(np.ones(3), requires_grad=True)
        h = x
        for _ in range(4):
            h = h * tanh(h) + b + x  # forks of different lengths
        return (x, b), total(h * h + h)

    rng_values = rng.normal(size=(2, 3))
    ours, loss = compute()
    backward_by_counting(loss)
    theirs, loss = compute()
    loss.backward()
    for a, b in zip(ours, theirs):
        assert np.allclose(a.grad, b.grad) and a.grad.shape == a.shape
