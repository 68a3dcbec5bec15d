"""Why ``+=``, and why newest first: two one-line mistakes and the wrong numbers they give.

What it teaches. An engine for reverse-mode differentiation fits in twenty lines, and two of its
words are easy to get wrong and hard to see. Here is such a toy engine with both mistakes on a
switch, and for each the smallest graph on which it fails.

    +=       A value that was used twice gets a gradient from each use. ``=`` keeps the last.
    order    A value may pass its gradient on only when *all* of its uses have reported.
             Walking the graph in any other order passes on too little, or some of it twice.

Both mistakes give right answers on every graph without reuse, which is why they survive testing.
And every residual connection of a transformer is a reuse: h goes into a block and around it.

Read ``Value`` and ``backward`` first, then the orders, then ``main``. Part 4 is about a different
``+=``, the one *between* two calls of backward, which puzzles more people than any other.

Before: 01_scalar_backprop.py. Next: 03_tensors_and_broadcasting.py. The real thing, a heap on a
creation counter, is ``run_backward`` in autograd/backward.py.
"""

import math
from itertools import count

from autograd import Tensor, ops

# --- the toy engine -------------------------------------------------------------------------------

_age = count()


class Value:
    """A number, what it was computed from, and the local derivative towards each of these."""

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
    """Visit the values in an order; each hands its gradient on. Returns the number of visits."""
    root.grad, visits = 1.0, 0
    for value in order(root):
        visits += 1
        for source, slope in zip(value.inputs, value.slopes, strict=True):
            source.grad = (source.grad if accumulate else 0.0) + slope * value.grad
    return visits


# --- orders to walk a graph in --------------------------------------------------------------------


def reachable(root):
    """Every value that root was computed from, breadth first: each when it is first reached."""
    seen, queue = {root}, [root]
    for value in queue:
        for source in value.inputs:
            if source not in seen:
                seen.add(source)
                queue.append(source)
    return queue


def newest_first(root):
    """Right: whatever used a value was made after it, so it comes before it here."""
    return sorted(reachable(root), key=lambda value: -value.age)


def first_reached_first(root):
    """Wrong: a value may be reached by a short path while a longer one has yet to report."""
    return reachable(root)


def depth_first(root):
    """Wrong: a value is visited once per path, and passes on all that it has each time."""
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
    return (graph(x + h, math.sin) - graph(x - h, math.sin)) / (2 * h)


def toy(graph, x, **how):
    x = Value(x)
    backward(graph(x, sin), **how)
    return x.grad


def ours(graph, x):
    x = Tensor(x, requires_grad=True)
    graph(x, ops.sin).backward()
    return x.grad.item()


def compare(graph, x, variants, title):
    print(title)
    truth = measured(graph, x)
    rows = [("finite differences", truth), ("autograd", ours(graph, x))]
    rows += [(name, toy(graph, x, **how)) for name, how in variants]
    for name, value in rows:
        right = math.isclose(value, truth, rel_tol=1e-8)
        print(f"    {name:<42s} {value:+.8f}   {'right' if right else 'WRONG'}")
    print()
    return {name: value for name, value in rows}


RIGHT = ("toy, +=, newest first", {"order": newest_first})


def main():
    x = 0.7

    found = compare(
        square,
        x,
        [RIGHT, ("toy, =, newest first", {"order": newest_first, "accumulate": False})],
        "1. Why +=         L = x x at x = 0.7, so dL/dx = 2 x",
    )
    assert math.isclose(found["autograd"], 2 * x)
    assert found[RIGHT[0]] == found["autograd"]
    assert found["toy, =, newest first"] == x  # one use of the two
    print("   With = the second use overwrites the first: half of the gradient is gone. The rule")
    print("   behind += is the chain rule for several paths: L changes by what x does to it")
    print("   through the left factor, plus what it does through the right one.")
    print()

    found = compare(
        residual,
        x,
        [
            RIGHT,
            ("toy, +=, first reached first", {"order": first_reached_first}),
            ("toy, +=, depth first", {"order": depth_first}),
        ],
        "2. Why the order  h = sin x, L = h + h h h at x = 0.7, so dL/dx = (1 + 3 h^2) cos x",
    )
    h, slope = math.sin(x), math.cos(x)
    assert math.isclose(found["autograd"], (1 + 3 * h * h) * slope)
    assert math.isclose(found[RIGHT[0]], found["autograd"], rel_tol=1e-14)
    # h passes on the 1 that it has when first reached, and nothing of what comes later
    assert math.isclose(found["toy, +=, first reached first"], slope)
    # four paths lead to h: it passes on 1 the first time, and the whole 1 + 3 h^2 three times more
    whole = 1 + 3 * h * h
    assert math.isclose(found["toy, +=, depth first"], (1 + 3 * whole) * slope)
    print(
        "   L hears of h directly (1) and from the block, h h h (3 h^2). First reached first lets"
    )
    print("   h speak right after L, before the block has: only the 1 gets to x. Depth first")
    print("   visits h once per path, four times, and each time h passes on all that it has")
    print("   gathered: 1, and then three times the whole 1 + 3 h^2.")
    print()
    print("   Newest first cannot fail: to use h, an operation must have been made after h.")
    print()

    print("3. What the order costs: y = x + x, then y = y + y, ... n times, dy/dx = 2^n")
    print("   The number of paths doubles with each step. Following every path by itself is right")
    print("   if each passes on its own part only, and it takes 2^(n+1) - 1 visits:")
    print()
    print("       n     2^n    visits, newest first    visits, path by path")
    for n in (1, 4, 8, 12):
        x_value = Value(1.0)
        y = x_value
        for _ in range(n):
            y = y + y
        visits = backward(y, newest_first)
        paths = sum(1 for _ in depth_first(y))
        print(f"      {n:2d}   {x_value.grad:5.0f}    {visits:20d}    {paths:20d}")
        assert x_value.grad == 2**n and visits == n + 1 and paths == 2 ** (n + 1) - 1
    print()
    print("   One visit per operation: a gradient costs a few times what the function costs, for")
    print("   any number of inputs. Without that, nobody would train anything.")
    print()

    print("4. The other +=   between calls, .grad is added to as well")
    w = Tensor(3.0, requires_grad=True)
    seen = []
    for _ in range(2):
        (w * w).backward()
        seen.append(w.grad.item())
    w.zero_grad()
    (w * w).backward()
    seen.append(w.grad.item())
    print(f"    (w w).backward() at w = 3:  w.grad = {seen[0]}")
    print(f"    and once more:              w.grad = {seen[1]}")
    print(f"    after w.zero_grad():        w.grad = {seen[2]}")
    assert seen == [6.0, 12.0, 6.0]
    print()
    print(
        "   On purpose: the gradient of a large batch is the sum over small ones, and they may be"
    )
    print("   computed one after the other. So a training loop calls zero_grad once per step.")
    print("   A second backward through the *same* graph is another matter. It would need values")
    print("   that the first one has released:")
    y = w * w
    y.backward()
    try:
        y.backward()
    except RuntimeError as error:
        print(
            f"    {type(error).__name__}: {str(error).partition(' (made at')[0]} a second time ..."
        )
        assert "retain_graph=True" in str(error)
    else:
        raise AssertionError("the second backward should have been refused")


if __name__ == "__main__":
    main()
