"""An error in an operation's backward names the operation and the line that called it."""

import pytest
from leaves import leaf

from autograd import Op, ops
from autograd.call_site import describe_site


class WrongShape(Op):
    save_inputs = (0,)

    def forward(self, xp, x):
        return x * 2.0

    def backward(self, xp, g, x):
        return g.sum(axis=0)


class NoGradient(Op):
    def forward(self, xp, x):
        return xp.floor(x)


class Forgetful(Op):
    def forward(self, xp, a, b):
        return a + b

    def backward(self, xp, g):
        return g, None


class TooFew(Forgetful):
    def backward(self, xp, g):
        return g


def test_a_wrong_shape_names_the_op():
    y = WrongShape()(leaf(2, 3))
    with pytest.raises(RuntimeError, match=r"WrongShape \(made at .*\(3,\).*\(2, 3\)"):
        y.sum().backward()


def test_missing_gradients_name_the_op():
    with pytest.raises(TypeError, match="NoGradient defines no backward") as caught:
        NoGradient()(leaf(3)).sum().backward()
    assert any("in the backward of NoGradient" in note for note in caught.value.__notes__)
    with pytest.raises(RuntimeError, match="Forgetful.*no gradient for its input 1"):
        Forgetful()(leaf(3), leaf(3)).sum().backward()
    with pytest.raises(RuntimeError, match="TooFew.*1 gradients for 2 inputs"):
        TooFew()(leaf(3), leaf(3)).sum().backward()


def test_a_node_names_the_users_line():
    x = leaf(3)
    y = ops.exp(x)  # this line
    code = test_a_node_names_the_users_line.__code__
    assert describe_site(y._node) == f"{code.co_filename}:{code.co_firstlineno + 2}"
