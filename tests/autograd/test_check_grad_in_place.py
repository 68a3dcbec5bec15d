"""check_grad tests what a backward does with its room, also if f never gives it any."""

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, ops


class Square(Op):
    """y = x², right in every way; ``backward`` is what the others get wrong."""

    works_in_place = True
    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x

    def backward(self, xp, g, x, room=None):
        total = None if room is None else room.claim_buffer(0)
        if total is None:
            return g * (x * 2.0)
        total += g * (x * 2.0)
        return total


class ReadsPartial(Square):
    def backward(self, xp, g, x, room=None):
        total = None if room is None else room.claim_partial(0)
        return g * (x * 2.0) if total is None else total + g * (x * 2.0)


class ReusesG(Square):
    def backward(self, xp, g, x, room=None):
        if room is None or room.reusable_g is None:
            return g * (x * 2.0)
        return np.multiply(g, x * 2.0, out=room.reusable_g)


class LosesBuffer(Square):
    def backward(self, xp, g, x, room=None):
        if room is not None:
            room.claim_buffer(0)
        return g * (x * 2.0)


class LosesPartial(Square):
    def backward(self, xp, g, x, room=None):
        if room is not None:
            room.claim_partial(0)
        return g * (x * 2.0)


class AddsTwice(Square):
    def backward(self, xp, g, x, room=None):
        g_x = g * (x * 2.0)
        total = None if room is None else room.claim_buffer(0)
        if total is None:
            return g_x
        total += g_x
        return total + g_x


class WritesPartial(Square):
    def backward(self, xp, g, x, room=None):
        total = None if room is None else room.claim_partial(0)
        if total is None:
            return g * (x * 2.0)
        total += g * (x * 2.0)
        return total


class OverwritesG(Square):
    def backward(self, xp, g, x, room=None):
        return g * (x * 2.0) if room is None else np.multiply(g, x * 2.0, out=g)


class SpoilsG(Square):
    def backward(self, xp, g, x, room=None):
        if room is not None and room.reusable_g is not None:
            room.reusable_g *= 3.0
        return g * (x * 2.0)


class Forgets(Square):
    def backward(self, xp, g, x, room=None):
        return g * (x * 2.0) if room is None else g * x


NOT_THE_SUM = (
    "claims the sum of input 0's gradient and does not return that sum plus its own contribution"
)
DIFFERENT = "returns a different gradient for its input 0 when it is given room to work in place"


@pytest.mark.parametrize(
    "op, fault",
    [
        (LosesBuffer, NOT_THE_SUM),
        (LosesPartial, NOT_THE_SUM),
        (AddsTwice, NOT_THE_SUM),
        (
            WritesPartial,
            "writes to what it claimed with claim_partial(0), which other gradients may share: it "
            "may only read it",
        ),
        (OverwritesG, "overwrites g where room.reusable_g is None"),
        (SpoilsG, DIFFERENT),
        (Forgets, DIFFERENT),
    ],
)
@pytest.mark.parametrize(
    "f", [lambda y, x: y, lambda y, x: y * ops.exp(x) + ops.sin(x)], ids=["alone", "reused"]
)
def test_a_misused_room_is_a_fault(f, op, fault):
    x = np.array([0.5, 1.2, 2.0])
    report = check_grad(lambda x: f(op()(x), x), x, raise_on_failure=False)
    assert not report and report.faults == [f"the backward of {op.__name__} {fault}"]


@pytest.mark.parametrize("op", [Square, ReadsPartial, ReusesG])
def test_a_room_used_as_it_should_be_passes(op):
    x = np.array([0.5, 1.2, 2.0])
    assert check_grad(lambda x: op()(x) * ops.exp(x) + op()(op()(x)), x, order=2)


def test_a_sum_is_claimed_once_for_an_input_used_twice():
    class Product(Op):
        works_in_place = True
        save_inputs = (0, 1)

        def forward(self, xp, a, b):
            return a * b

        def backward(self, xp, g, a, b, room=None):
            gradients = [g * b, g * a]
            for i in (0, 1) if room is not None else ():
                total = room.claim_buffer(i)
                if total is not None:
                    gradients[i] = gradients[i] + total
            return gradients

    x = np.array([0.5, 1.2, 2.0])
    assert check_grad(lambda x: Product()(x, x), x)
    assert check_grad(lambda x: Product()(x, Tensor(np.full(3, 2.0))), x)
