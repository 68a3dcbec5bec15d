"""Backpropagation through one neuron: by hand, then by the engine, with the same numbers.

What it teaches. A program that computes a number is a chain of small steps, and the derivative of
each step can be looked up in a table. Backpropagation is the bookkeeping that turns these *local*
derivatives into the derivative of the last number with respect to every other one:

    dL/d(input) += dL/d(output) * d(output)/d(input)        for each step, last step first

Nothing else happens, here or in a model with a billion parameters. Arrays in place of numbers
change the local derivatives, but not the rule.

Read it top to bottom. Part 1 is the forward pass, one step a line. Part 2 is the backward pass
written out by hand: the same lines in the opposite order. Part 3 hands the same expression to the
engine. Part 4 measures every derivative by nudging a value. ``main`` shows all of this side by
side, and ends with what a gradient is used for.

Next: 02_order_and_accumulation.py, on the ``+=`` and on "last step first".

Exercises, answered in solutions/01_scalar_backprop.py. Try first.

1. A relu in place of tanh. With y = max(0, z), which line of ``backward_by_hand`` changes? Which
   gradients are 0 at b = -0.4, and which at b = -1.4?
2. The other direction. Give each line of ``forward`` a second one: how fast does its value change
   when w does? Which derivatives does one such pass find, and which does the backward pass?
"""

import math
import textwrap

from autograd import Tensor, grad, ops

ROWS = {
    "w": "w, an input",
    "x": "x, an input",
    "b": "b, an input",
    "t": "t, an input",
    "p": "p = w * x",
    "z": "z = p + b",
    "y": "y = tanh(z)",
    "e": "e = y - t",
    "s": "s = e * e",
    "r": "r = 0.1 * w * w",
    "L": "L = s + r",
}


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


# --- part 1: forward ------------------------------------------------------------------------------


def forward(w, x, b, t):
    """A neuron with one input x, weight w, bias b and target t; large weights cost a little."""
    p = w * x
    z = p + b
    y = math.tanh(z)
    e = y - t
    s = e * e
    r = 0.1 * w * w
    L = s + r
    return p, z, y, e, s, r, L


# --- part 2: backward, by hand --------------------------------------------------------------------


def backward_by_hand(w, x, b, t):
    """The derivative of L with respect to every value; ``dw`` stands for dL/dw."""
    p, z, y, e, s, r, L = forward(w, x, b, t)
    dL = 1.0  # L changes exactly as much as itself

    # L = s + r            dL/ds = 1                 dL/dr = 1
    ds = dL * 1.0
    dr = dL * 1.0
    # r = 0.1 w w          dr/dw = 2 * 0.1 w         the first of two paths from L to w
    dw = dr * 2 * 0.1 * w
    # s = e e              ds/de = 2 e               e is used twice: e + e
    de = ds * 2 * e
    # e = y - t            de/dy = 1                 de/dt = -1
    dy = de * 1.0
    dt = de * -1.0
    # y = tanh(z)          dy/dz = 1 - y^2           only the output has to be kept for this
    dz = dy * (1 - y**2)
    # z = p + b            dz/dp = 1                 dz/db = 1
    dp = dz * 1.0
    db = dz * 1.0
    # p = w x              dp/dw = x                 dp/dx = w: each gets the other factor
    dw += dp * x  # the second path, added to the first
    dx = dp * w
    return dw, dx, db, dt, dp, dz, dy, de, ds, dr, dL


# --- part 3: backward, by the engine --------------------------------------------------------------


def by_engine(w, x, b, t):
    """The same expression on Tensors. Returns the values and their gradients, as numbers."""
    w, x, b, t = (Tensor(value, requires_grad=True) for value in (w, x, b, t))
    p = w * x
    z = p + b
    y = ops.tanh(z)
    e = y - t
    s = e * e
    r = 0.1 * w * w
    L = s + r
    values = [w, x, b, t, p, z, y, e, s, r, L]
    gradients = grad(L, values)
    return [value.item() for value in values], [g.item() for g in gradients]


# --- part 4: measured -----------------------------------------------------------------------------


def slope(f, v, h=1e-5):
    """f'(v) by its definition: nudge v up and down, and see what f does."""
    return (f(v + h) - f(v - h)) / (2 * h)


def measured(w, x, b, t):
    """The slope of L in every value, while all values computed earlier stay as they are."""
    p, z, y, e, s, r, L = forward(w, x, b, t)
    tanh = math.tanh
    return (
        slope(lambda w: (tanh(w * x + b) - t) ** 2 + 0.1 * w * w, w),
        slope(lambda x: (tanh(w * x + b) - t) ** 2 + r, x),
        slope(lambda b: (tanh(p + b) - t) ** 2 + r, b),
        slope(lambda t: (y - t) ** 2 + r, t),
        slope(lambda p: (tanh(p + b) - t) ** 2 + r, p),
        slope(lambda z: (tanh(z) - t) ** 2 + r, z),
        slope(lambda y: (y - t) ** 2 + r, y),
        slope(lambda e: e**2 + r, e),
        slope(lambda s: s + r, s),
        slope(lambda r: s + r, r),
        slope(lambda L: L, L),
    )


def main():
    w, x, b, t = 0.8, 1.5, -0.4, -0.5
    p, z, y, e, s, r, L = forward(w, x, b, t)
    values = (w, x, b, t, p, z, y, e, s, r, L)
    by_hand = backward_by_hand(w, x, b, t)
    engine_values, engine_gradients = by_engine(w, x, b, t)
    by_nudging = measured(w, x, b, t)

    say("""
        One neuron: L = (tanh(w x + b) - t)^2 + 0.1 w^2

        Read the values downwards (forward) and the gradients upwards (backward).

          value                   forward   dL/d(value)
                                                by hand     by engine      measured
          -------------------------------------------------------------------------
    """)
    for (name, label), value, hand, engine, nudged in zip(
        ROWS.items(), values, by_hand, engine_gradients, by_nudging, strict=True
    ):
        print(f"  {label:<18s}  {value:+11.7f}   {hand:+11.7f}   {engine:+11.7f}   {nudged:+11.7f}")
        assert math.isclose(engine, hand, rel_tol=1e-13, abs_tol=1e-15), name
        assert math.isclose(nudged, hand, rel_tol=1e-8, abs_tol=1e-10), name
    assert all(map(math.isclose, engine_values, values))

    dw, dx, db, dt, dp, dz, dy, de, ds, dr, dL = by_hand
    through_p, through_r = dp * x, dr * 2 * 0.1 * w
    paths = f"{through_p:+.4f} (through p) {through_r:+.4f} (through r)"
    assert math.isclose(through_p + through_r, dw, rel_tol=1e-13)
    say(f"""

        All three agree: hand and engine to rounding, the measurement to 8 digits.

        Four things to see in the table:
          a sum copies its gradient     z = p + b: both get {dz:+.4f}
          a product swaps its factors   p = w x:   dL/dx is dL/dp times w
          tanh damps                    dL/dz is dL/dy times 1 - y^2 = {1 - y**2:.4f}
          two uses, two contributions   dL/dw = {paths} = {dw:+.4f}

        What a gradient is used for: move w and b a little against it, and L falls by about
        step * |gradient|^2. Only about, because the gradient itself changes on the way.

            step    L predicted     L measured    error of the predicted fall
    """)
    squared = dw**2 + db**2
    errors = []
    for step in (0.5, 0.1, 0.01, 0.001):
        predicted = L - step * squared
        *_, new_L = forward(w - step * dw, x, b - step * db, t)
        errors.append(abs((L - new_L) / (step * squared) - 1))
        print(f"  {step:6.3f}    {predicted:+11.7f}    {new_L:+11.7f}    {errors[-1]:9.4%}")
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-2
    say("""

        The smaller the step, the better the prediction: that is what a derivative means.
    """)


if __name__ == "__main__":
    main()
