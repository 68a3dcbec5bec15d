"""Why ``+=``, and why newest first: two one-line mistakes and the wrong numbers they give.

What it teaches. An engine for reverse-mode differentiation fits in twenty lines, and two details
in it are easy to get wrong and hard to notice. Here is such a toy engine, in which either mistake
can be switched on, and for each mistake the smallest graph on which it fails.

    +=       A value that is used twice gets a gradient from each use. ``=`` keeps only the last.
    order    A value may pass its gradient on only after *all* of its uses have passed theirs to
             it. Any other order passes on too little, or passes some of it twice.

Both mistakes give right answers on every graph without reuse, which is why they survive testing.
And every residual connection of a transformer is a reuse: h goes into a block and around it.

Read ``Value`` and ``backward`` first, then the orders, then ``main``. Part 4 is about a different
``+=``, the one *between* two calls of backward, which puzzles more people than any other. Part 5 is
the sequel: the same engine on arrays, autograd/reference.py, trains a small network.

Before: 01_scalar_backprop.py. Next: 03_tensors_and_broadcasting.py. The real thing, a heap on a
creation counter, is ``run`` in autograd/backward.py.

Exercises, answered in solutions/02_order_and_accumulation.py. Try first.

1. Path by path, done right. ``depth_first`` follows every path and is wrong. Write a backward that
   follows every path and is right: what does a path have to carry?
2. Where breadth first does no harm. It is right for L = x + x x, and wrong for L = h + h h with
   h = sin x. Explain both, and predict the wrong number.
3. Without sorting. ``newest_first`` first collects the whole graph. Write an order that does not:
   keep the values that wait for their turn in a heap (heapq).
"""

import math
import textwrap
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import numpy as np

from autograd import Parameter, Tensor, ops, reference
from autograd.ops.arithmetic import Add, Multiply, Subtract
from autograd.ops.products import MatMul
from autograd.ops.reduce import Mean
from autograd.ops.trigonometric import Tanh


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


# --- the toy engine -------------------------------------------------------------------------------

_age = count()


class Value:
    """A number, its inputs, and the local derivative with respect to each input."""

    def __init__(self, data, inputs=(), slopes=()):
        self.data, self.inputs, self.slopes = data, inputs, slopes
        self.grad, self.age = 0.0, next(_age)

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data))


def sin(x):
    return Value(math.sin(x.data), (x,), (math.cos(x.data),))


def backward(root, order, accumulate=True):
    """Visit the values in ``order``; each passes its gradient on. Returns the number of visits."""
    root.grad, visits = 1.0, 0
    for value in order(root):
        visits += 1
        for source, slope in zip(value.inputs, value.slopes, strict=True):
            source.grad = (source.grad if accumulate else 0.0) + slope * value.grad
    return visits


# --- orders to walk a graph in --------------------------------------------------------------------


def reachable(root):
    """Root and every value it was computed from, breadth first."""
    seen, queue = {root}, [root]
    for value in queue:
        for source in value.inputs:
            if source not in seen:
                seen.add(source)
                queue.append(source)
    return queue


def newest_first(root):
    """Right: a value's users were created after it, so they come before it here."""
    return sorted(reachable(root), key=lambda value: -value.age)


def breadth_first(root):
    """Wrong: a short path may reach a value before a longer path has brought its gradient."""
    return reachable(root)


def depth_first(root):
    """Wrong: a value is visited once per path, and passes on its whole gradient each time."""
    yield root
    for source in root.inputs:
        yield from depth_first(source)


# --- graphs, written once for numbers, Values and Tensors -----------------------------------------


def square(x, sin):
    """x used twice by one operation."""
    return x * x


def residual(x, sin):
    """h = sin x goes around a block (short path) and through it (long path): L = h + h h h."""
    h = sin(x)
    return h + h * h * h


def measured(graph, x, h=1e-5):
    """The derivative by finite differences."""
    return (graph(x + h, math.sin) - graph(x - h, math.sin)) / (2 * h)


def toy(graph, x, **how):
    """The derivative by the toy engine."""
    x = Value(x)
    backward(graph(x, sin), **how)
    return x.grad


def ours(graph, x):
    """The derivative by autograd."""
    x = Tensor(x, requires_grad=True)
    graph(x, ops.sin).backward()
    return x.grad.item()


def compare(graph, x, variants, title):
    """Print every engine's derivative next to the measured one. Returns them by name."""
    print(title)
    truth = measured(graph, x)
    rows = [("finite differences", truth), ("autograd", ours(graph, x))]
    rows += [(name, toy(graph, x, **how)) for name, how in variants]
    for name, value in rows:
        right = math.isclose(value, truth, rel_tol=1e-8)
        print(f"    {name:<42s} {value:+.8f}   {'right' if right else 'WRONG'}")
    return dict(rows)


# --- a network, trained by the reference engine and by the real one -------------------------------


class Engine(NamedTuple):
    """What training needs of an engine."""

    value: Callable  # an array -> something that can be differentiated by
    call: Callable  # (an operation, its inputs) -> its output
    backward: Callable  # fills the gradients
    gradient: Callable  # a value -> its gradient, an array


REFERENCE = Engine(reference.Value, reference.call, reference.backward, lambda x: x.grad)
REAL = Engine(Parameter, lambda op, *xs: op(*xs), Tensor.backward, lambda x: x.grad.data)


def network(engine, x, target, w1, b1, w2, b2):
    """The mean squared error of tanh(x w1 + b1) w2 + b2: x (N, 1), w1 (1, H), w2 (H, 1)."""
    call = engine.call
    hidden = call(Tanh(), call(Add(), call(MatMul(), x, w1), b1))  # (N, H)
    y = call(Add(), call(MatMul(), hidden, w2), b2)  # (N, 1)
    error = call(Subtract(), y, target)  # (N, 1)
    return call(Mean(None, False), call(Multiply(), error, error))


def train(engine, arrays, x, steps=1001, lr=0.1):
    """The loss of every step of gradient descent from ``arrays``: w1, b1, w2, b2."""
    x, target = engine.value(x), engine.value(np.sin(x))
    losses = []
    for _ in range(steps):
        parameters = [engine.value(array) for array in arrays]
        loss = network(engine, x, target, *parameters)
        engine.backward(loss)
        losses.append(float(loss.data))
        arrays = [p.data - lr * engine.gradient(p) for p in parameters]
    return losses


RIGHT = ("toy, +=, newest first", {"order": newest_first})


def main():
    x = 0.7

    slopes = compare(
        square,
        x,
        [RIGHT, ("toy, =, newest first", {"order": newest_first, "accumulate": False})],
        "1. Why +=         L = x x at x = 0.7, so dL/dx = 2 x",
    )
    assert math.isclose(slopes["autograd"], 2 * x)
    assert slopes[RIGHT[0]] == slopes["autograd"]
    assert slopes["toy, =, newest first"] == x  # one use of the two
    say("""

        With = the second use overwrites the first: half of the gradient is gone. The reason
        for += is the chain rule for several paths: x changes L through the left factor and
        through the right one, and the two effects add up.

    """)

    slopes = compare(
        residual,
        x,
        [
            RIGHT,
            ("toy, +=, breadth first", {"order": breadth_first}),
            ("toy, +=, depth first", {"order": depth_first}),
        ],
        "2. Why the order  h = sin x, L = h + h h h at x = 0.7, so dL/dx = (1 + 3 h^2) cos x",
    )
    h, cos = math.sin(x), math.cos(x)
    whole = 1 + 3 * h * h  # dL/dh
    assert math.isclose(slopes["autograd"], whole * cos)
    assert math.isclose(slopes[RIGHT[0]], slopes["autograd"], rel_tol=1e-14)
    # h passes on the 1 that it has when it is first reached, and nothing of what comes later
    assert math.isclose(slopes["toy, +=, breadth first"], cos)
    # four paths lead to h: it passes on 1 the first time, and the whole 1 + 3 h^2 three times more
    assert math.isclose(slopes["toy, +=, depth first"], (1 + 3 * whole) * cos)
    say("""

        h gets 1 directly from L, and 3 h^2 from the block h h h. Breadth first visits h right
        after L, before the block: only the 1 reaches x. Depth first visits h once per path,
        four times in all, and each time h passes on everything it has gathered: first the 1,
        and then three times the whole 1 + 3 h^2.

        Newest first cannot fail: an operation that uses h must have been made after h.

        3. What the order costs: y = x + x, then y = y + y, ... n times, dy/dx = 2^n
        The number of paths doubles with each step. Following every path separately is right
        if each passes on only its own part, but it takes 2^(n+1) - 1 visits:

               n     2^n    visits, newest first    visits, path by path
    """)
    for n in (1, 4, 8, 12):
        x_value = Value(1.0)
        y = x_value
        for _ in range(n):
            y = y + y
        visits = backward(y, newest_first)
        paths = sum(1 for _ in depth_first(y))
        print(f"      {n:2d}   {x_value.grad:5.0f}    {visits:20d}    {paths:20d}")
        assert x_value.grad == 2**n and visits == n + 1 and paths == 2 ** (n + 1) - 1
    say("""

        One visit per operation: the gradient costs a few times as much as the function, for
        any number of inputs. Without that, training a large model would be impossible.

    """)

    w = Tensor(3.0, requires_grad=True)
    (w * w).backward()
    once = w.grad.item()
    (w * w).backward()
    twice = w.grad.item()
    w.zero_grad()
    (w * w).backward()
    after_zero_grad = w.grad.item()
    assert (once, twice, after_zero_grad) == (6.0, 12.0, 6.0)
    say(f"""
        4. The other +=   between calls, .grad is added to as well
            (w w).backward() at w = 3:  w.grad = {once}
            and once more:              w.grad = {twice}
            after w.zero_grad():        w.grad = {after_zero_grad}

        This is on purpose: the gradient of a large batch is the sum over small batches, which
        may be computed one at a time. So a training loop calls zero_grad once per step.
        A second backward through the *same* graph is another matter. It would need values
        that the first one has released:
    """)
    y = w * w
    y.backward()
    try:
        y.backward()
    except RuntimeError as error:
        message = str(error).partition(" (made at")[0]
        print(f"    {type(error).__name__}: {message} a second time ...")
        assert "retain_graph=True" in str(error)
    else:
        raise AssertionError("the second backward should have been refused")

    x = np.linspace(-3, 3, 64).reshape(64, 1)
    rng = np.random.default_rng(0)
    w1, w2 = rng.standard_normal((1, 16)), rng.standard_normal((16, 1))
    start = [w1, np.zeros(16), w2, np.zeros(1)]
    by_reference, by_autograd = train(REFERENCE, start, x), train(REAL, start, x)
    assert by_reference == by_autograd and by_reference[-1] < 0.01
    say("""

        5. The same on arrays   autograd/reference.py is the toy's sequel: Value, call and
        backward in some thirty lines, with the project's own operations. It fits a network
        of 16 hidden numbers to a sine:

            step     loss, reference engine     loss, autograd
    """)
    for step in range(0, 1001, 250):
        print(f"        {step:4d}     {by_reference[step]:22.17f}     {by_autograd[step]:.17f}")
    say("""

        Every digit agrees, in all 1001 steps. What the real engine adds makes it fast and
        helpful, and changes no gradient: it works in place, releases what it has used, notices
        values that were changed, differentiates its own backward, and lets tools watch.
    """)


if __name__ == "__main__":
    main()
