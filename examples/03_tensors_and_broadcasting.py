"""From numbers to arrays: shapes, broadcasting, matrix products, types, views, and no_grad.

What it teaches. The chain rule of example 01 does not change when values become arrays, but a new
question appears, the *shape* of a gradient, and it has one answer: a gradient has the shape of what
it is the gradient of. Most wrong gradients can be found by asking for that shape.

    broadcasting copies an array     ->  its gradient is the sum over the copies
    a sum adds elements up           ->  its gradient is a copy to each of them
    a matrix product Y = A B         ->  dL/dA = G B^T,  dL/dB = A^T G

The first two are mirror images: what one does forward the other does backward.

Read the parts in order: 1 and 2 broadcasting, 3 matrix products, 4 types, 5 views and changes in
place, 6 how to compute without recording. ``unbroadcast`` below is written out by hand; the
engine's own is in autograd/accumulate.py.

Before: 02_order_and_accumulation.py. Next: 04_gradient_check.py.
"""

import textwrap

import numpy as np

from autograd import Tensor, grad, no_grad, ops

RNG = np.random.default_rng(3)


def title(text):
    print()
    print(text)
    print("-" * len(text))


def say(error):
    """An error's message, folded to the width of the page."""
    print(textwrap.fill(str(error), 96, initial_indent=" " * 8, subsequent_indent=" " * 8))


def unbroadcast(g, shape):
    """Sum ``g`` back to ``shape``, over exactly those axes along which ``shape`` was copied."""
    while g.ndim > len(shape):  # axes that broadcasting put in front
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):  # axes of length 1 that it stretched
        if n == 1 and g.shape[axis] > 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def part_1_broadcasting():
    title("1. Broadcasting copies forward, and sums backward")
    x = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    b = Tensor(np.array([1.0, 2.0, 3.0, 4.0]), requires_grad=True)
    w = np.arange(12.0).reshape(3, 4)  # how much each element of the sum matters to L
    ((x + b) * w).sum().backward()
    print("x (3, 4) + b (4,): b is added to each of the three rows. With L = sum(w (x + b)),")
    print("dL/d(x + b) = w, and b, which stands in three rows, gets the sum of the three:")
    print()
    for row in w:
        print("   ", "".join(f"{v:6.0f}" for v in row))
    print("   ", "-" * 24)
    print("   ", "".join(f"{v:6.0f}" for v in b.grad.data), "   = dL/db")
    assert np.array_equal(b.grad.data, w.sum(axis=0))
    assert np.array_equal(x.grad.data, w)

    copy = np.ones((3, 1))  # broadcasting a row is this matrix product
    assert np.array_equal(copy @ b.data[None, :], np.broadcast_to(b.data, (3, 4)))
    assert np.array_equal((copy.T @ w)[0], b.grad.data)
    print()
    print("Written as a product, copying a row is 1 b with a column 1 of ones, (3, 1) (1, 4); and")
    print("its derivative is 1^T w: the transpose of a copy is a sum. That is the whole rule.")
    print()
    print("    a            b            a * b        sum g over, for a    for b")
    for left, right in [
        ((3, 4), (4,)),
        ((3, 1), (4,)),
        ((2, 3, 4), (3, 1)),
        ((2, 1, 4), (3, 1)),
        ((3, 4), ()),
    ]:
        a = Tensor(RNG.standard_normal(left), requires_grad=True)
        b = Tensor(RNG.standard_normal(right), requires_grad=True)
        y = a * b
        g = RNG.standard_normal(y.shape)
        y.backward(g)
        assert np.allclose(a.grad.data, unbroadcast(g * b.data, a.shape), rtol=1e-14)
        assert np.allclose(b.grad.data, unbroadcast(g * a.data, b.shape), rtol=1e-14)
        told = [copied(t.shape, y.shape) for t in (a, b)]
        print(f"    {left!s:<12s} {right!s:<12s} {y.shape!s:<12s} {told[0]:<20s} {told[1]}")
    print("The few lines of unbroadcast() above give the engine's gradients for all of them.")


def copied(shape, to):
    """Which axes of ``to`` were made by copying an array of ``shape``, in words."""
    extra = len(to) - len(shape)
    axes = [i for i, n in enumerate(to) if i < extra or shape[i - extra] != n]
    return f"ax{'e' if len(axes) > 1 else 'i'}s {', '.join(map(str, axes))}" if axes else "no axis"


def part_2_the_trap():
    title("2. The trap: broadcasting that nobody asked for")
    prediction = Tensor(np.array([[1.0], [2.0], [3.0]]), requires_grad=True)  # (3, 1)
    target = np.array([1.0, 2.0, 3.0])  # (3,)
    error = prediction - target
    loss = (error * error).mean()
    print("The prediction is perfect, but it is a column (3, 1) and the target a row (3,):")
    print(f"    prediction - target has shape {error.shape}, and the mean square error is not 0")
    print(f"    but {loss.item():.4f}: every prediction was compared with every target.")
    loss.backward()
    print(f"    dL/dprediction = {prediction.grad.data[:, 0].round(3)}: it pulls to the mean, 2.")
    assert error.shape == (3, 3) and loss.item() > 1
    assert np.allclose(prediction.grad.data[:, 0], 2 * (prediction.data[:, 0] - 2) / 3)
    fixed = prediction[:, 0] - target
    assert fixed.shape == (3,) and (fixed * fixed).mean().item() == 0
    print("No gradient is wrong here, so no gradient check finds it. Print shapes.")


def part_3_matrix_products():
    title("3. Matrix products: the shapes leave one possibility")
    A = Tensor(RNG.standard_normal((2, 3)), requires_grad=True)
    B = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    G = RNG.standard_normal((2, 4))  # dL/dY
    (A @ B).backward(G)
    print("Y = A B     A (2, 3)   B (3, 4)   Y (2, 4)   G = dL/dY (2, 4)")
    print("dL/dA = G B^T       (2, 4) (4, 3) -> (2, 3)")
    print("dL/dB = A^T G       (3, 2) (2, 4) -> (3, 4)")
    assert np.allclose(A.grad.data, G @ B.data.T, rtol=1e-14)
    assert np.allclose(B.grad.data, A.data.T @ G, rtol=1e-14)
    print()
    print("Why: Y_nm = sum_k A_nk B_km, so A_nk touches row n of Y alone, element m by B_km:")
    by_element = np.zeros((2, 3))
    for n in range(2):
        for k in range(3):
            for m in range(4):
                by_element[n, k] += G[n, m] * B.data[k, m]
    print(f"    dL/dA[1, 2] = sum_m G[1, m] B[2, m] = {by_element[1, 2]:+.6f}")
    print(f"    the engine's                          {A.grad.data[1, 2]:+.6f}")
    assert np.allclose(by_element, A.grad.data, rtol=1e-13)

    X = Tensor(RNG.standard_normal((5, 2, 3)), requires_grad=True)  # a batch of 5
    B.zero_grad()
    (X @ B).sum().backward()
    each = np.stack([x.T @ np.ones((2, 4)) for x in X.data])
    assert np.allclose(B.grad.data, each.sum(axis=0))
    print()
    print("A batch X (5, 2, 3) times the same B (3, 4): B is broadcast over the batch, so dL/dB is")
    print(f"the sum of five matrices {each.shape[1:]}. Every weight of a network is in this place.")


def part_4_types():
    title("4. Types: a gradient has the type of its tensor")
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = x * 0.5 + 1
    y.sum().backward()
    print(f"    float32 * 0.5 + 1        {y.dtype}: a Python number takes the array's type")
    print(f"    its gradient             {x.grad.dtype}")
    mixed = x * np.full(3, 0.5)
    x.zero_grad()
    mixed.sum().backward()
    print(f"    float32 * float64 array  {mixed.dtype}: two arrays give the wider one,")
    print(f"    its gradient             {x.grad.dtype} all the same")
    assert y.dtype == x.grad.dtype == np.float32 and mixed.dtype == np.float64
    try:
        Tensor(np.arange(3), requires_grad=True)
    except TypeError as error:
        print("    integers                 refused, in a sentence:")
        say(error)
    else:
        raise AssertionError("an integer tensor must not require a gradient")


def part_5_views():
    title("5. Views: the same memory under another name")
    x = Tensor(np.arange(6.0), requires_grad=True)
    view = x.reshape(2, 3).T
    print(f"    x.reshape(2, 3).T shares memory with x: {np.shares_memory(view.data, x.data)}")
    assert np.shares_memory(view.data, x.data)

    windows = x[0:4] + x[1:5] + x[2:6]  # three overlapping slices
    windows.sum().backward()
    print(f"    overlapping slices add up: d/dx sum(x[0:4] + x[1:5] + x[2:6]) = {x.grad.data}")
    assert np.array_equal(x.grad.data, [1, 2, 3, 3, 2, 1])

    print()
    print("What was saved for backward must not change before it. The square saves its input; then")
    print("an optimizer writes new values into the same memory, with assign_, which counts that:")
    loss = ops.square(x).sum()
    x.assign_(np.zeros(6))
    try:
        loss.backward()
    except RuntimeError as error:
        say(f"Square ...{str(error).partition(')')[2]}")
        assert "changed in place before backward" in str(error)
    else:
        raise AssertionError("the stale graph should have been refused")


def part_6_no_grad():
    title("6. Computing without recording")
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    recorded = (w * w).sum()
    with no_grad():
        silent = (w * w).sum()
    cut = (w.detach() * w).sum()  # the left factor counts as a constant
    print(f"    recorded:       requires_grad is {recorded.requires_grad}")
    print(f"    under no_grad:  requires_grad is {silent.requires_grad}, nothing is kept in memory")
    assert recorded.requires_grad and not silent.requires_grad
    (both,), (half,) = grad(recorded, w), grad(cut, w)
    print(f"    d/dw sum(w w)           = {both.data}")
    print(f"    d/dw sum(w.detach() w)  = {half.data}: half of it was declared constant")
    assert np.array_equal(both.data, 2 * w.data) and np.array_equal(half.data, w.data)
    try:
        silent.backward()
    except RuntimeError as error:
        print("    silent.backward() is refused:")
        say(error)
    else:
        raise AssertionError("there was nothing to differentiate")


if __name__ == "__main__":
    print("Arrays and their gradients, in six parts.")
    part_1_broadcasting()
    part_2_the_trap()
    part_3_matrix_products()
    part_4_types()
    part_5_views()
    part_6_no_grad()
