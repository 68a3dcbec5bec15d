"""Solutions to the exercises of 02_order_and_accumulation.py."""

import heapq
import math

from _solutions import answer, example_of

toy = example_of(__file__)


def exercise_1():
    """Path by path, done right.

    The gradient is a sum over paths, and each path contributes the product of the slopes along it.
    So what travels along a path is that path's own product, not the gradient that the value has
    gathered so far: that was the mistake of ``depth_first``. The result is right, and useless in
    practice, since the number of paths doubles with each reuse.
    """

    def along_paths(value, product=1.0):
        """Add this path's part to the gradient of everything below; returns the visits."""
        value.grad += product
        pairs = zip(value.inputs, value.slopes, strict=True)
        return 1 + sum(along_paths(source, product * slope) for source, slope in pairs)

    x = toy.Value(0.7)
    visits = along_paths(toy.residual(x, toy.sin))
    truth = toy.measured(toy.residual, 0.7)
    assert math.isclose(x.grad, truth, rel_tol=1e-8)
    right = toy.backward(toy.residual(toy.Value(0.7), toy.sin), toy.newest_first)
    print(f"   dL/dx {x.grad:+.8f}, measured {truth:+.8f}: {visits} visits; newest first: {right}")
    assert visits > right


def exercise_2():
    """Where breadth first does no harm.

    In x + x x the value that is reached too early is x itself, and x has no inputs: it passes
    nothing on, so it loses nothing by being visited early, and what arrives later is still added
    to it. In h + h h the early value is h, which has passed on its 1 before the block's 2 h
    arrives. The 2 h reaches h, and goes no further. Order matters only for values that have
    something below them.
    """

    def leaf(x, sin):
        return x + x * x

    def inner(x, sin):
        h = sin(x)
        return h + h * h

    for name, graph in (("x + x x", leaf), ("h + h h", inner)):
        truth = toy.measured(graph, 0.7)
        early = toy.toy(graph, 0.7, order=toy.breadth_first)
        right = math.isclose(early, truth, rel_tol=1e-8)
        print(f"   {name}   {early:+.6f}, measured {truth:+.6f}: {'right' if right else 'WRONG'}")
        assert right == (graph is leaf)
    assert math.isclose(early, math.cos(0.7))  # the 1 alone


def exercise_3():
    """Without sorting.

    A heap holds the values that have received a gradient and not been visited, the newest on top.
    When a value comes out, everything newer has been visited, and all its users are newer: its
    gradient is complete. Each value enters once. Nothing is collected beforehand and no function
    calls itself, so the graph can be as deep as memory allows. This is the engine's own loop.
    """

    def by_heap(root):
        heap, seen = [(-root.age, root)], {root}
        while heap:
            _, value = heapq.heappop(heap)
            yield value
            for source in value.inputs:
                if source not in seen:
                    seen.add(source)
                    heapq.heappush(heap, (-source.age, source))

    loss = toy.residual(toy.Value(0.7), toy.sin)
    assert list(by_heap(loss)) == toy.newest_first(loss)
    slope = toy.toy(toy.residual, 0.7, order=by_heap)
    assert slope == toy.toy(toy.residual, 0.7, order=toy.newest_first)
    x = y = toy.Value(1.0)
    for _ in range(50_000):
        y = y + x
    visits = toy.backward(y, by_heap)
    print(
        f"   dL/dx {slope:+.8f}, as before; and a chain of {visits - 1:,} sums: dy/dx {x.grad:,.0f}"
    )
    assert x.grad == 50_001


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
