"""Solutions to the exercises of 19_where_dpo_pushes.py."""

import numpy as np
from _solutions import answer

from autograd import Tensor
from tinygrad_llm.finetune.losses import dpo_loss

BETA = 0.1
REFERENCE = np.array([-20.0]), np.array([-20.0])  # log-probabilities of chosen and rejected


def loss_and_pushes(chosen, rejected):
    """The loss, and its gradients by the answers' log-probabilities."""
    policy = [Tensor([float(x)], requires_grad=True) for x in (chosen, rejected)]
    losses, *_ = dpo_loss(*policy, *REFERENCE, BETA)
    losses.sum().backward()
    return losses.item(), *(p.grad.item() for p in policy)


def exercise_1():
    """The chosen answer becomes less likely.

    The loss contains only the difference of the two log-ratios. If the chosen answer loses 10 nats
    and the rejected one 40, the loss falls as if the chosen one had won 30. In long training this
    happens often: pushing down the rejected answer pushes down what it shares with the chosen
    one, and probability goes to answers that stand in no pair. A remedy adds what is missing: a
    little of -log p(chosen), as in supervised fine-tuning.
    """
    cases = {
        "as the reference": (-20.0, -20.0),
        "chosen +15, rejected -15": (-5.0, -35.0),
        "chosen -10, rejected -40": (-30.0, -60.0),
    }
    losses = []
    for name, (chosen, rejected) in cases.items():
        losses.append(loss_and_pushes(chosen, rejected)[0])
        print(f"   {name:<26s} loss {losses[-1]:.4f}")
    assert losses[1] == losses[2] < losses[0] == np.log(2)


def exercise_2():
    """When a pair stops pushing.

    c = beta sigmoid(-beta D) is beta / 2 at first. It is a tenth of that where sigmoid(-beta D) =
    1/20, so D = ln(19) / beta: 29.4 nats for beta = 0.1, 5.9 for 0.5. So beta is what keeps the
    policy near the reference. A small one is content only when the answers are e^29 times further
    apart than they were, a large one soon is. It acts through this saturation alone: nothing else
    in the loss holds the policy back, and answers outside the pairs are not held at all.
    """
    D = np.log(19) / BETA
    (_, start, _), (_, later, _) = loss_and_pushes(-20, -20), loss_and_pushes(-20 + D, -20)
    print(f"   D = {D:.1f} nats: the push falls from {start:+.4f} to {later:+.5f}")
    assert np.isclose(start, -BETA / 2) and np.isclose(later, start / 10)


def exercise_3():
    """Long and short.

    Let each token of both answers become 0.01 nats likelier: the model has treated them alike. The
    rejected answer has ten times as many tokens, so its sum moves ten times as much, and the loss
    rises. The other way round, a model lowers the loss by making every token of long chosen answers
    a little likelier, or by writing longer: DPO rewards length where chosen answers tend to be
    longer. Log-probabilities *per token* (loss_type="sigmoid_norm") see no difference here.
    """
    lengths = np.array([10]), np.array([100])
    chosen, rejected = (r + 0.01 * n for r, n in zip(REFERENCE, lengths, strict=True))
    found = {}
    for kind in ("sigmoid", "sigmoid_norm"):
        losses, *_ = dpo_loss(chosen, rejected, *REFERENCE, BETA, loss_type=kind, lengths=lengths)
        found[kind] = losses.item()
        print(f"   {kind:<14s} {found[kind]:.4f}, and ln 2 = {np.log(2):.4f} before")
    assert found["sigmoid"] > np.log(2) + 0.04 and np.isclose(found["sigmoid_norm"], np.log(2))


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
