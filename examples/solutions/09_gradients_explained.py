"""Solutions to the exercises of 09_gradients_explained.py."""

import numpy as np
from _solutions import answer, example_of

from autograd import Parameter, Tensor, grad, ops
from autograd.debug import record_gradients

lab = example_of(__file__)


def exercise_1():
    """A copy in place of the table.

    The ledger of wte shows one term, the one of Embedding, and the other term is the gradient of
    the copy. Their sum is the tied table's gradient, because the chain rule adds up the uses, and
    it does not matter whether the two uses see one array or two equal ones. Copying makes two
    parameters that are equal only until the first step. And the loss will not show it: the model
    with the copy has more parameters, and may even fit better.
    """
    model, ids, targets = lab.tiny_gpt()
    wte = model.wte.weight
    (tied,) = grad(model.loss(ids, targets), wte)

    copy = Parameter(wte.data.copy())
    hidden = model.hidden(ids)  # (B, T, C)
    loss = ops.cross_entropy(hidden @ copy.T, targets)
    explanation = record_gradients(loss).explain(wte, "wte")
    print(explanation)
    assert [c.op for c in explanation.contributions] == ["Embedding"]
    both = wte.grad.data + copy.grad.data
    error = np.abs(both - tied.data).max() / np.abs(tied.data).max()
    print(f"\n   table and copy together, from the tied gradient: {error:.0e}")
    assert error < 1e-5


def exercise_2():
    """Zero times infinity.

    The first attempt chooses 0 where p is 0, and forward is right. But ``where`` sends a gradient
    of 0 into the branch that was not chosen, and there it meets the slope of log at 0: 0 / 0 is
    NaN, and NaN + anything is NaN. Choosing the result comes too late. Choose the *input*: where p
    is 0, take the log of 1. Then no infinity ever arises, forward or backward. This is called the
    double where.
    """

    def choose_the_result(p):
        return -ops.where(p.data > 0, p * ops.log(p), 0.0).sum()

    def choose_the_input(p):
        return -(p * ops.log(ops.where(p.data > 0, p, 1.0))).sum()

    found = []
    for entropy in (choose_the_result, choose_the_input):
        x = Tensor(np.array([0.5, 0.0, 2.0]), requires_grad=True)
        with np.errstate(all="ignore"):
            loss = entropy(x * x)
            (g,) = grad(loss, x)
        found.append((loss.item(), g.data))
        print(f"   {entropy.__name__:<18s} entropy {loss.item():.4f}, gradient {g.data.round(4)}")
    (first, wrong), (second, right) = found
    assert first == second and np.isnan(wrong[1]) and np.isfinite(right).all()
    p = np.array([0.25, 4.0])
    assert np.allclose(right[[0, 2]], -(np.log(p) + 1) * 2 * np.sqrt(p)) and right[1] == 0


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
