"""Wrong engines: every operation's backward is right, and the gradients are still wrong.

Each is a backward pass over real nodes in a few lines: a function of (y, x) that returns the
gradient of the sum of ``y`` with respect to the leaf ``x``. All of them go wrong where a value is
used twice, so the checks run them on such graphs.
"""

import numpy as np

from autograd import ops
from autograd._tensor import Tensor
from autograd.bug_zoo.bug import Bug, data
from autograd.device import numpy_namespace

X = data(3, seed=6)


def gradients_of(node, g):
    """Pairs (input's node, gradient) for the inputs of a node whose gradient is ``g``."""
    gradients = node.backward(numpy_namespace, g, *node.saved)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    pairs = zip(node.inputs, gradients, strict=True)
    return [(source, gradient) for source, gradient in pairs if source is not None]


def is_leaf(node):
    return not hasattr(node, "saved")


def newest_first(y, x):
    """Right: a node is newer than its inputs, so newest first is a topological order."""
    pending = {y._node: np.ones(y.shape)}
    while True:
        node = max(pending, key=lambda n: n.order)
        g = pending.pop(node)
        if is_leaf(node):
            return g  # the oldest node is the leaf
        for source, gradient in gradients_of(node, g):
            pending[source] = pending[source] + gradient if source in pending else gradient


def depth_first(y, x):
    """Each node once, when it is first reached: before its other uses have contributed."""
    total, visited = {}, set()

    def visit(node, g):
        total[node] = total[node] + g if node in total else g
        if node in visited or is_leaf(node):
            return
        visited.add(node)
        for source, gradient in gradients_of(node, total[node]):
            visit(source, gradient)

    visit(y._node, np.ones(y.shape))
    return total[x._node]


def breadth_first(y, x):
    """Level by level from the output: a value used at two depths runs too early."""
    total, queue, done = {y._node: np.ones(y.shape)}, [y._node], set()
    while queue:
        node = queue.pop(0)
        if is_leaf(node) or node in done:
            continue
        done.add(node)
        for source, gradient in gradients_of(node, total[node]):
            total[source] = total[source] + gradient if source in total else gradient
            queue.append(source)
    return total[x._node]


def assigns(y, x):
    """= in place of +=: only the last use of a value counts."""
    pending = {y._node: np.ones(y.shape)}
    while True:
        node = max(pending, key=lambda n: n.order)
        g = pending.pop(node)
        if is_leaf(node):
            return g
        for source, gradient in gradients_of(node, g):
            pending[source] = gradient


def adds_in_place(y, x):
    """+= into the first contribution, an array that both inputs of a sum share."""
    pending = {y._node: np.ones(y.shape)}
    while True:
        node = max(pending, key=lambda n: n.order)
        g = pending.pop(node)
        if is_leaf(node):
            return g
        for source, gradient in gradients_of(node, g):
            if source in pending:
                pending[source] += gradient  # this array may also be another node's gradient
            else:
                pending[source] = gradient


def used_at_two_depths(x):
    u = ops.exp(ops.sin(x))
    return ops.sin(ops.sin(u)) + u


def used_twice(x):
    return x * ops.sin(x)


def residual_branches(x):
    """Two branches of one sum, each of which has another use that adds to its gradient."""
    a, b = ops.sin(x), ops.exp(x)
    return a * b + (a + b)


def against_differences(f):
    """A check of a backward pass on ``f`` against central differences."""

    def check(backward_pass):
        x = Tensor(X.copy(), requires_grad=True)
        g = backward_pass(f(x), x)
        h, slopes = 1e-5, np.zeros(X.shape)
        for k in range(X.size):
            d = h * np.eye(X.size)[k]
            slopes[k] = (f(Tensor(X + d)).data.sum() - f(Tensor(X - d)).data.sum()) / (2 * h)
        if np.allclose(g, slopes, rtol=1e-7):
            return ""
        k = int(np.argmax(np.abs(g - slopes)))
        return f"the pass says {g[k]:.4f} at element {k}, finite differences say {slopes[k]:.4f}"

    return check


DIFFERENCES = "the whole pass against finite differences"

ENGINE = [
    Bug(
        "depth-first",
        "recurses into the inputs at once, as in a tree; but a graph is not a tree",
        DIFFERENCES,
        depth_first,
        newest_first,
        against_differences(used_at_two_depths),
    ),
    Bug(
        "breadth-first",
        "goes level by level from the output, although a value can be on two levels",
        DIFFERENCES,
        breadth_first,
        newest_first,
        against_differences(used_at_two_depths),
    ),
    Bug(
        "assigns-instead-of-adding",
        "writes x.grad = g for x.grad += g: right until a value is used twice",
        DIFFERENCES,
        assigns,
        newest_first,
        against_differences(used_twice),
    ),
    Bug(
        "accumulates-into-an-alias",
        "adds in place into an array that is the gradient of another node as well",
        DIFFERENCES,
        adds_in_place,
        newest_first,
        against_differences(residual_branches),
    ),
]
