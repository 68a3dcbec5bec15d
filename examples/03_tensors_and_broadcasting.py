"""From numbers to arrays: shapes, broadcasting, matrix products, types, views, and no_grad.

What it teaches. The chain rule of example 01 does not change when values become arrays, but a new
question appears, the *shape* of a gradient, and it has one answer: a gradient has the shape of the
array that it belongs to. Many wrong gradients give themselves away by their shape.

    broadcasting copies an array     ->  its gradient is the sum over the copies
    a sum adds up elements           ->  its gradient is copied to each of them
    a matrix product Y = A B         ->  dL/dA = G B^T,  dL/dB = A^T G

The first two are mirror images: what one does forward, the other does backward.

Read the parts in order: 1 and 2 broadcasting, 3 matrix products, 4 types, 5 views and changes in
place, 6 how to compute without recording. ``unbroadcast`` below is written out by hand; the
engine's own is in autograd/accumulate.py.

Before: 02_order_and_accumulation.py. Next: 04_gradient_check.py.

Exercises, answered in solutions/03_tensors_and_broadcasting.py. Try first.

1. A row without its mean. Derive the gradient of y = x - mean(x), the mean of each row, from "a
   copy becomes a sum, a sum becomes a copy" alone. Compare it with the engine's.
2. The same without keepdims. What happens with x - x.mean(axis=-1) for x (3, 4), and for x (3, 3)?
   Which test would notice?
3. Square matrices. Multiply G or its transpose and B or its transpose in either order: how many of
   the eight products have the shape of A, and how many are dL/dA? And if all three are square?
"""

import textwrap

import numpy as np

from autograd import Tensor, grad, no_grad, ops

RNG = np.random.default_rng(3)


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def title(text):
    print(f"\n{text}\n{'-' * len(text)}")


def quote(error):
    """Print an error's message, folded to the width of the page."""
    print(textwrap.fill(str(error), 96, initial_indent=" " * 8, subsequent_indent=" " * 8))


def unbroadcast(g, shape):
    """Sum ``g`` back to ``shape``, over exactly those axes along which ``shape`` was copied."""
    while g.ndim > len(shape):  # axes that broadcasting put in front
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):  # axes of length 1 that it stretched
        if n == 1 and g.shape[axis] > 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def copied(shape, to):
    """Which axes of ``to`` were made by copying an array of ``shape``, in words."""
    extra = len(to) - len(shape)
    axes = [i for i, n in enumerate(to) if i < extra or shape[i - extra] != n]
    return f"ax{'e' if len(axes) > 1 else 'i'}s {', '.join(map(str, axes))}" if axes else "no axis"


def part_1_broadcasting():
    title("1. Broadcasting copies forward, and sums backward")
    x = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    b = Tensor(np.array([1.0, 2.0, 3.0, 4.0]), requires_grad=True)
    w = np.arange(12.0).reshape(3, 4)  # the weight of each element in L
    ((x + b) * w).sum().backward()
    say("""
        x (3, 4) + b (4,): b is added to each of the three rows. With L = sum(w (x + b)),
        dL/d(x + b) = w, and b, which is used in three rows, gets the sum of the three:

    """)
    for row in w:
        print("   ", "".join(f"{v:6.0f}" for v in row))
    print("   ", "-" * 24)
    print("   ", "".join(f"{v:6.0f}" for v in b.grad.data), "   = dL/db")
    assert np.array_equal(b.grad.data, w.sum(axis=0))
    assert np.array_equal(x.grad.data, w)

    copy = np.ones((3, 1))  # broadcasting a row is this matrix product
    assert np.array_equal(copy @ b.data[None, :], np.broadcast_to(b.data, (3, 4)))
    assert np.array_equal((copy.T @ w)[0], b.grad.data)
    say("""

        As a matrix product, copying a row is 1 b with a column 1 of ones, (3, 1) (1, 4), and its
        backward is 1^T w: the transpose of a copy is a sum. That is the whole rule.

            a            b            a * b        sum g over, for a    for b
    """)
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
        for_a, for_b = copied(left, y.shape), copied(right, y.shape)
        print(f"    {left!s:<12s} {right!s:<12s} {y.shape!s:<12s} {for_a:<20s} {for_b}")
    print("The few lines of unbroadcast() above give the engine's gradients for all of these.")


def part_2_the_trap():
    title("2. The trap: broadcasting by accident")
    prediction = Tensor(np.array([[1.0], [2.0], [3.0]]), requires_grad=True)  # (3, 1)
    target = np.array([1.0, 2.0, 3.0])  # (3,)
    error = prediction - target
    loss = (error * error).mean()
    loss.backward()
    say(f"""
        The prediction is perfect, but it is a column (3, 1) and the target a row (3,):
            prediction - target has shape {error.shape}, and the mean square error is not 0
            but {loss.item():.4f}: every prediction was compared with every target.
            dL/dprediction = {prediction.grad.data[:, 0].round(3)}: it pulls towards the mean, 2.
        No gradient is wrong here, so no gradient check finds it. Print shapes.
    """)
    assert error.shape == (3, 3) and loss.item() > 1
    assert np.allclose(prediction.grad.data[:, 0], 2 * (prediction.data[:, 0] - 2) / 3)
    fixed = prediction[:, 0] - target
    assert fixed.shape == (3,) and (fixed * fixed).mean().item() == 0


def part_3_matrix_products():
    title("3. Matrix products: only one formula fits the shapes")
    A = Tensor(RNG.standard_normal((2, 3)), requires_grad=True)
    B = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    G = RNG.standard_normal((2, 4))  # dL/dY
    (A @ B).backward(G)
    assert np.allclose(A.grad.data, G @ B.data.T, rtol=1e-14)
    assert np.allclose(B.grad.data, A.data.T @ G, rtol=1e-14)
    by_element = np.zeros((2, 3))
    for n in range(2):
        for k in range(3):
            for m in range(4):
                by_element[n, k] += G[n, m] * B.data[k, m]
    assert np.allclose(by_element, A.grad.data, rtol=1e-13)
    say(f"""
        Y = A B     A (2, 3)   B (3, 4)   Y (2, 4)   G = dL/dY (2, 4)
        dL/dA = G B^T       (2, 4) (4, 3) -> (2, 3)
        dL/dB = A^T G       (3, 2) (2, 4) -> (3, 4)

        Why: Y_nm = sum_k A_nk B_km, so A_nk enters only row n of Y, element m by way of B_km:
            dL/dA[1, 2] = sum_m G[1, m] B[2, m] = {by_element[1, 2]:+.6f}
            the engine's                          {A.grad.data[1, 2]:+.6f}
    """)

    X = Tensor(RNG.standard_normal((5, 2, 3)), requires_grad=True)  # a batch of 5
    B.zero_grad()
    (X @ B).sum().backward()
    each = np.stack([x.T @ np.ones((2, 4)) for x in X.data])
    assert np.allclose(B.grad.data, each.sum(axis=0))
    say(f"""

        A batch X (5, 2, 3) times the same B (3, 4): B is broadcast over the batch, so dL/dB is
        the sum of five matrices {each.shape[1:]}. Every weight of a network is used like this B.
    """)


def part_4_types():
    title("4. Types: a gradient has the type of its tensor")
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = x * 0.5 + 1
    y.sum().backward()
    first = x.grad.dtype
    x.zero_grad()
    mixed = x * np.full(3, 0.5)
    mixed.sum().backward()
    say(f"""
        float32 * 0.5 + 1        {y.dtype}: a Python number takes the array's type
        its gradient             {first}
        float32 * float64 array  {mixed.dtype}: two arrays give the wider type,
        its gradient             {x.grad.dtype} all the same
    """)
    assert y.dtype == first == x.grad.dtype == np.float32 and mixed.dtype == np.float64
    try:
        Tensor(np.arange(3), requires_grad=True)
    except TypeError as error:
        print("integers                 refused, with the reason:")
        quote(error)
    else:
        raise AssertionError("an integer tensor must not require a gradient")


def part_5_views():
    title("5. Views: the same memory under another name")
    x = Tensor(np.arange(6.0), requires_grad=True)
    view = x.reshape(2, 3).T
    shared = np.shares_memory(view.data, x.data)
    windows = x[0:4] + x[1:5] + x[2:6]  # three overlapping slices
    windows.sum().backward()
    say(f"""
        x.reshape(2, 3).T shares memory with x: {shared}
        overlapping slices add up: d/dx sum(x[0:4] + x[1:5] + x[2:6]) = {x.grad.data}

        What was saved for backward must not change before backward reads it. The square saves its
        input; here new values are then written into the same memory, as an optimizer does, with
        assign_. The tensor counts such changes, so backward notices:
    """)
    assert shared
    assert np.array_equal(x.grad.data, [1, 2, 3, 3, 2, 1])
    loss = ops.square(x).sum()
    x.assign_(np.zeros(6))
    try:
        loss.backward()
    except RuntimeError as error:
        quote(f"Square ...{str(error).partition(')')[2]}")
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
    (both,), (half,) = grad(recorded, w), grad(cut, w)
    say(f"""
        recorded:       requires_grad is {recorded.requires_grad}
        under no_grad:  requires_grad is {silent.requires_grad}, and nothing is kept in memory
        d/dw sum(w w)           = {both.data}
        d/dw sum(w.detach() w)  = {half.data}: half, since one factor counts as a constant
    """)
    assert recorded.requires_grad and not silent.requires_grad
    assert np.array_equal(both.data, 2 * w.data) and np.array_equal(half.data, w.data)
    try:
        silent.backward()
    except RuntimeError as error:
        print("silent.backward() raises an error:")
        quote(error)
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
