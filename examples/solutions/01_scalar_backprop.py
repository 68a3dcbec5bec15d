"""Solutions to the exercises of 01_scalar_backprop.py."""

import math

from _solutions import answer, example_of

from autograd import Tensor, grad, ops

neuron = example_of(__file__)


def exercise_1():
    """A relu in place of tanh.

    One line of the backward pass changes: dz = dy * (1 if z > 0 else 0). At b = -0.4 the slope is
    1, and everything passes. At b = -1.4, z is negative: the slope is 0, and so is the gradient of
    every value that reaches L through z alone: z, p, x and b. What comes after the relu (y, e, s
    and t) keeps its gradient, and so does w, which has a second path through r. Such a neuron is
    called dead: no step changes b, and w feels only the cost of its own size.
    """
    w, x, t = 0.8, 1.5, -0.5
    for b in (-0.4, -1.4):
        z = w * x + b
        y = max(z, 0.0)
        dy = 2 * (y - t)
        dz = dy * (1.0 if z > 0 else 0.0)  # the line that changes
        by_hand = dz * x + 2 * 0.1 * w, dz * w, dz, -dy  # of w, x, b and t

        leaves = [Tensor(value, requires_grad=True) for value in (w, x, b, t)]
        tw, tx, tb, tt = leaves
        e = ops.relu(tw * tx + tb) - tt
        by_engine = [g.item() for g in grad(e * e + 0.1 * tw * tw, leaves)]
        assert all(map(math.isclose, by_engine, by_hand))
        shown = "  ".join(f"dL/d{n} {g:+.2f}" for n, g in zip("wxbt", by_hand, strict=True))
        print(f"   b = {b}   z = {z:+.1f}   {shown}")
    assert by_hand[0] == 2 * 0.1 * w and by_hand[1:3] == (0, 0) and by_hand[3] != 0


def exercise_2():
    """The other direction.

    Every line of forward gets a second line below it, which says how fast its value changes when
    w does. The derivatives are the same numbers as in the backward pass, only multiplied from the
    other end. But one such pass gives the derivative of *every* value with respect to *one* input;
    the backward pass gives the derivative of *one* value with respect to *every* input. Here there
    are four inputs, so four passes. A model has a billion inputs and one loss: backward it is.
    """
    w, x, b, t = 0.8, 1.5, -0.4, -0.5

    def downwards(w_dot, x_dot, b_dot, t_dot):
        """dL, when the inputs change by these rates."""
        p_dot = w_dot * x + w * x_dot
        z_dot = p_dot + b_dot
        y = math.tanh(w * x + b)
        y_dot = (1 - y**2) * z_dot
        e_dot = y_dot - t_dot
        s_dot = 2 * (y - t) * e_dot
        r_dot = 2 * 0.1 * w * w_dot
        return s_dot + r_dot

    passes = [downwards(*(float(i == k) for i in range(4))) for k in range(4)]
    backward = neuron.backward_by_hand(w, x, b, t)[:4]
    for name, one, other in zip("wxbt", passes, backward, strict=True):
        print(f"   dL/d{name}   a pass downwards {one:+.7f}   the one pass upwards {other:+.7f}")
        assert math.isclose(one, other, rel_tol=1e-13)


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
