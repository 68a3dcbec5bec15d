"""Backpropagation through one neuron: by hand, then by the engine, to the same numbers.

What it teaches. A program that computes a number is a chain of small steps, and each small step
has a derivative one can look up. Backpropagation is the bookkeeping that turns those *local*
derivatives into the derivative of the last number with respect to every other one:

    dL/d(input) += dL/d(output) * d(output)/d(input)        for each step, last step first

Nothing else happens, here or in a model of a billion parameters: an array in place of a number
changes the local derivatives, not the rule.

Read it top to bottom. Part 1 is the forward pass, one step a line, able to nudge any value on its
way. Part 2 is the backward pass written out by hand, one line for each line of part 1 and in the
opposite order. Part 3 hands the same expression to the engine. Part 4 puts three answers side by
side: by hand, by the engine, and measured by nudging. Part 5 uses the gradient for what it is for.

Next: 02_order_and_accumulation.py, on the ``+=`` and the "last step first".
"""

import math

from autograd import Tensor, grad, ops

# The neuron: one input x, weight w, bias b, target t, and a small price on a large weight.
START = {"w": 0.8, "x": 1.5, "b": -0.4, "t": -0.5}
PRICE = 0.1

FORMULAS = {
    "w": "given",
    "x": "given",
    "b": "given",
    "t": "given",
    "p": "w * x",
    "z": "p + b",
    "y": "tanh(z)",
    "e": "y - t",
    "s": "e * e",
    "r": "0.1 * w * w",
    "L": "s + r",
}


def forward(start, nudged=None, by=0.0):
    """All values by name. ``nudged`` names one to be moved by ``by``; what follows feels it."""
    v = {}

    def let(name, value):
        v[name] = value + (by if name == nudged else 0.0)

    for name, value in start.items():
        let(name, value)
    let("p", v["w"] * v["x"])
    let("z", v["p"] + v["b"])
    let("y", math.tanh(v["z"]))
    let("e", v["y"] - v["t"])
    let("s", v["e"] * v["e"])
    let("r", PRICE * v["w"] * v["w"])
    let("L", v["s"] + v["r"])
    return v


def backward_by_hand(v):
    """dL/d(value) for every value: the lines of ``forward`` from the last to the first."""
    d = dict.fromkeys(v, 0.0)
    d["L"] = 1.0  # L moves one for one with itself

    # L = s + r            dL/ds = 1                 dL/dr = 1
    d["s"] += d["L"] * 1.0
    d["r"] += d["L"] * 1.0
    # r = PRICE w^2        dr/dw = 2 PRICE w         the first of two paths from L to w
    d["w"] += d["r"] * 2 * PRICE * v["w"]
    # s = e e              ds/de = 2 e               e is used twice: e + e
    d["e"] += d["s"] * 2 * v["e"]
    # e = y - t            de/dy = 1                 de/dt = -1
    d["y"] += d["e"] * 1.0
    d["t"] += d["e"] * -1.0
    # y = tanh(z)          dy/dz = 1 - y^2           the output itself is all one has to keep
    d["z"] += d["y"] * (1 - v["y"] ** 2)
    # z = p + b            dz/dp = 1                 dz/db = 1
    d["p"] += d["z"] * 1.0
    d["b"] += d["z"] * 1.0
    # p = w x              dp/dw = x                 dp/dx = w: each gets the other
    d["w"] += d["p"] * v["x"]  # the second path: added to what r sent
    d["x"] += d["p"] * v["w"]
    return d


def backward_by_engine(start):
    """The same expression in Tensors. Returns the values and gradients as plain numbers."""
    v = {name: Tensor(value, requires_grad=True) for name, value in start.items()}
    v["p"] = v["w"] * v["x"]
    v["z"] = v["p"] + v["b"]
    v["y"] = ops.tanh(v["z"])
    v["e"] = v["y"] - v["t"]
    v["s"] = v["e"] * v["e"]
    v["r"] = PRICE * v["w"] * v["w"]
    v["L"] = v["s"] + v["r"]
    gradients = grad(v["L"], list(v.values()))
    return (
        {name: x.item() for name, x in v.items()},
        {name: g.item() for name, g in zip(v, gradients, strict=True)},
    )


def measured(start, name, h=1e-5):
    """dL/d(name) as it is defined: nudge that value up and down and see what L does."""
    up, down = forward(start, name, h)["L"], forward(start, name, -h)["L"]
    return (up - down) / (2 * h)


def main():
    values = forward(START)
    by_hand = backward_by_hand(values)
    engine_values, by_engine = backward_by_engine(START)
    by_nudging = {name: measured(START, name) for name in values}

    print("One neuron: L = (tanh(w x + b) - t)^2 + 0.1 w^2")
    print()
    print("Read the values downwards (forward) and the gradients upwards (backward).")
    print()
    print("  value                     forward    dL/d(value)")
    print("                                         by hand     by engine     measured")
    print("  " + "-" * 74)
    for name, formula in FORMULAS.items():
        print(
            f"  {name} = {formula:<14s}  {values[name]:+11.7f}   {by_hand[name]:+11.7f}"
            f"   {by_engine[name]:+11.7f}  {by_nudging[name]:+11.7f}"
        )
    for name in values:
        assert math.isclose(engine_values[name], values[name], rel_tol=1e-13)
        assert math.isclose(by_engine[name], by_hand[name], rel_tol=1e-13, abs_tol=1e-15), name
        assert math.isclose(by_nudging[name], by_hand[name], rel_tol=1e-8, abs_tol=1e-10), name
    print()
    print("All three agree: hand and engine to rounding, the measurement to 8 digits.")
    print()

    slope = 1 - values["y"] ** 2
    print("Four things to see in the table:")
    print(f"  a sum copies its gradient     z = p + b: both get {by_hand['z']:+.4f}")
    print("  a product swaps its factors   p = w x:   dL/dx is dL/dp times w")
    print(f"  tanh damps                    dL/dz is dL/dy times 1 - y^2 = {slope:.4f}")
    through_p, through_r = by_hand["p"] * values["x"], by_hand["r"] * 2 * PRICE * values["w"]
    print(
        f"  two uses, two contributions   dL/dw = {through_p:+.4f} (through p) "
        f"{through_r:+.4f} (through r) = {by_hand['w']:+.4f}"
    )
    assert math.isclose(through_p + through_r, by_engine["w"], rel_tol=1e-13)
    print()

    print("What a gradient is for: move w and b a little against it, and L falls by about")
    print("step * |gradient|^2. About, since the gradient itself changes on the way:")
    print()
    print("    step    L predicted      L found    prediction of the fall is off by")
    squared = by_engine["w"] ** 2 + by_engine["b"] ** 2
    misses = []
    for step in (0.5, 0.1, 0.01, 0.001):
        moved = {**START, **{n: START[n] - step * by_engine[n] for n in ("w", "b")}}
        found = forward(moved)["L"]
        misses.append(abs((values["L"] - found) / (step * squared) - 1))
        predicted = values["L"] - step * squared
        print(f"  {step:6.3f}    {predicted:+11.7f}  {found:+11.7f}    {misses[-1]:9.4%}")
    assert misses == sorted(misses, reverse=True) and misses[-1] < 1e-2
    print()
    print("The smaller the step, the truer the prediction: that is what a derivative says.")


if __name__ == "__main__":
    main()
