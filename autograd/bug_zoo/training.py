"""Wrong training: every gradient is right, but its use is wrong.

check_grad cannot see these; each needs its own law, which the right code obeys exactly.
"""

import numpy as np

from autograd import ops
from autograd._tensor import Parameter, Tensor
from autograd.bug_zoo.bug import Bug, data


def differs(what, actual, expected):
    """The evidence that two numbers or arrays differ, or "" if they agree."""
    if np.allclose(actual, expected, rtol=1e-9, atol=1e-12):
        return ""
    return f"{what}: {np.round(actual, 4)}, expected {np.round(expected, 4)}"


# --- gradients between steps ----------------------------------------------------------------------


def gradients_of_two_steps(zero_grad):
    """The gradients of two backward passes with the same weights."""
    w, x, gradients = Parameter(data(3)), Tensor(data(4, 3, seed=1)), []
    for _ in range(2):
        if zero_grad:
            w.zero_grad()
        ops.tanh(x @ w).sum().backward()
        gradients.append(w.grad.numpy().copy())
    return gradients


def stale():
    return gradients_of_two_steps(zero_grad=False)


def fresh():
    return gradients_of_two_steps(zero_grad=True)


def same_step_twice(steps):
    first, second = steps()
    return differs("the second step's gradient", second, first)


# --- tied weights ---------------------------------------------------------------------------------

IDS = np.array([0, 2, 1])


class TiedModel:
    """Token ids to logits with one matrix, used both to look up and to score."""

    def __init__(self):
        self.embedding = Parameter(data(4, 3))
        self.head = self.embedding

    def loss(self):
        return ops.cross_entropy(self.embedding[IDS] @ self.head.T, np.array([2, 1, 3]))


class UntiedCopy(TiedModel):
    def __init__(self):
        super().__init__()
        self.head = Parameter(self.embedding.data.copy())


def both_uses_count(model):
    model = model()
    model.loss().backward()
    g, weight = model.embedding.grad.numpy(), model.embedding.data

    def loss(w):
        return ops.cross_entropy(Tensor(w)[IDS] @ Tensor(w.T), np.array([2, 1, 3])).item()

    h = 1e-5 * (np.arange(weight.size) == 4).reshape(weight.shape)
    slope = (loss(weight + h) - loss(weight - h)) / 2e-5
    return differs("d loss / d weight[1, 1]", round(g[1, 1], 7), round(slope, 7))


# --- AdamW ----------------------------------------------------------------------------------------


def adamw(p, g, state, lr=0.1, beta1=0.9, beta2=0.999, decay=0.0):
    """One step on an array; ``state`` is (m, v, step). Loshchilov and Hutter 2019."""
    m, v, step = state
    step += 1
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return p * (1 - lr * decay) - lr * m_hat / (np.sqrt(v_hat) + 1e-12), (m, v, step)


def adamw_one_correction(p, g, state, lr=0.1, beta1=0.9, beta2=0.999, decay=0.0):
    m, v, step = state
    step += 1
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta1**step)  # beta1 twice
    return p * (1 - lr * decay) - lr * m_hat / (np.sqrt(v_hat) + 1e-12), (m, v, step)


def adamw_uncorrected(p, g, state, lr=0.1, beta1=0.9, beta2=0.999, decay=0.0):
    m, v, step = state
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return p * (1 - lr * decay) - lr * m / (np.sqrt(v) + 1e-12), (m, v, step + 1)


def adam_with_decay_in_gradient(p, g, state, lr=0.1, beta1=0.9, beta2=0.999, decay=0.0):
    g = g + decay * p  # L2 regularization, which Adam then divides by its own size
    return adamw(p, g, state, lr, beta1, beta2)


P, G = data(5), data(5, seed=1)


def first_step_has_length_lr(update):
    """Adam's first step is lr sign(g), regardless of the size of g."""
    p, _ = update(P, G, (0.0, 0.0, 0))
    return differs("the first step", p - P, -0.1 * np.sign(G))


def decay_alone_shrinks(update):
    """Without a gradient, decoupled decay multiplies the weights by 1 - lr decay."""
    p, _ = update(P, 0 * P, (0.0, 0.0, 0), decay=0.5)
    return differs("the weights", p, P * (1 - 0.1 * 0.5))


# --- clipping, accumulation -----------------------------------------------------------------------


def clip(gradients, limit=1.0):
    """Scale all gradients by one factor, so that their global norm is at most ``limit``."""
    norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
    return [g * min(1.0, limit / norm) for g in gradients]


def clip_per_tensor(gradients, limit=1.0):
    return [g * min(1.0, limit / np.sqrt(np.sum(g * g))) for g in gradients]


def clipping_keeps_the_direction(clipping):
    gradients = [3 * data(4), 0.3 * data(2, 3, seed=1)]
    clipped = clipping(gradients)
    before, after = (np.concatenate([g.ravel() for g in gs]) for gs in (gradients, clipped))
    cosine = before @ after / (np.linalg.norm(before) * np.linalg.norm(after))
    return differs("the cosine between the gradient before and after clipping", cosine, 1.0)


def accumulate(losses_per_batch):
    """The mean loss of all targets, from the losses of the targets of each micro-batch."""
    return sum(np.sum(x) for x in losses_per_batch) / sum(len(x) for x in losses_per_batch)


def accumulate_means(losses_per_batch):
    return np.mean([np.mean(x) for x in losses_per_batch])


def equals_the_large_batch(accumulation):
    losses = data(10) ** 2
    parts = [losses[:7], losses[7:9], losses[9:]]  # the last ones are mostly padding
    return differs("the accumulated loss", accumulation(parts), np.mean(losses))


# --- attention, targets, ties ---------------------------------------------------------------------


def attend(x):
    """Causal self-attention of x (T, D) with itself."""
    s = x @ x.T
    s = np.where(np.tri(len(x), dtype=bool), s, -np.inf)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ x


def attend_masked_late(x):
    s = x @ x.T
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)  # the sum includes the future
    return p * np.tri(len(x)) @ x


def the_future_does_not_matter(attention):
    x, other = data(4, 3), data(4, 3)
    other[3] += 1.0
    return differs("position 0 after a change at position 3", attention(other)[0], attention(x)[0])


def next_token_pairs(ids):
    """Inputs and targets: the target of each position is the token that follows."""
    return ids[:-1], ids[1:]


def unshifted_pairs(ids):
    return ids[:-1], ids[:-1]


def random_tokens_cannot_be_predicted(pairs):
    """On random tokens, a model that repeats its input must do no better than chance."""
    ids = np.random.default_rng(3).integers(0, 8, 4000)
    inputs, targets = pairs(ids)
    hits = np.mean(inputs == targets)
    if abs(hits - 1 / 8) < 0.03:
        return ""
    return f"repeating the input predicts {hits:.0%} of random targets, chance is 12%"


def spread_over_ties(x, y, g):
    """The gradient of y = max(x), shared by equal maxima."""
    maxima = x == y
    return g * maxima / maxima.sum()


def copied_to_ties(x, y, g):
    return g * (x == y)


def shifting_shifts_the_maximum(backward):
    """max(x + c) = max(x) + c, so the elements of its gradient sum to 1."""
    x = np.array([1.0, 3.0, 3.0, 2.0])
    return differs("the sum of the gradient of max", backward(x, 3.0, 1.0).sum(), 1.0)


TRAINING = [
    Bug(
        "stale-gradients",
        "forgets zero_grad: each step adds the gradients of all steps before it",
        "the same step twice",
        stale,
        fresh,
        same_step_twice,
    ),
    Bug(
        "untied-copy",
        "ties the output layer to the embedding by copying the array: tied for one step",
        "both uses of a tied weight count",
        UntiedCopy,
        TiedModel,
        both_uses_count,
    ),
    Bug(
        "adamw-one-beta",
        "corrects both moments with beta1: the first steps are ten times too long",
        "Adam's first step has length lr",
        adamw_one_correction,
        adamw,
        first_step_has_length_lr,
    ),
    Bug(
        "adamw-uncorrected",
        "leaves out the bias correction, since it fades; with betas 0.9 and 0.99 it hardly shows",
        "Adam's first step has length lr",
        adamw_uncorrected,
        adamw,
        first_step_has_length_lr,
    ),
    Bug(
        "decay-on-the-gradient",
        "adds the weight decay to the gradient, as in SGD; Adam then normalizes it away",
        "decay alone shrinks by 1 - lr decay",
        adam_with_decay_in_gradient,
        adamw,
        decay_alone_shrinks,
    ),
    Bug(
        "clip-per-tensor",
        "clips each tensor by its own norm, which changes the direction of the gradient",
        "clipping keeps the direction",
        clip_per_tensor,
        clip,
        clipping_keeps_the_direction,
    ),
    Bug(
        "mean-of-means",
        "averages the mean losses of micro-batches with different numbers of targets",
        "accumulation equals the large batch",
        accumulate_means,
        accumulate,
        equals_the_large_batch,
    ),
    Bug(
        "mask-after-softmax",
        "zeroes the attention to the future after softmax has normalized over it",
        "the future does not matter",
        attend_masked_late,
        attend,
        the_future_does_not_matter,
    ),
    Bug(
        "targets-not-shifted",
        "trains every position to predict its own token: the loss is wonderful",
        "random tokens cannot be predicted",
        unshifted_pairs,
        next_token_pairs,
        random_tokens_cannot_be_predicted,
    ),
    Bug(
        "ties-counted-twice",
        "gives each of several equal maxima the whole gradient; without ties it is right",
        "shifting the input shifts the maximum",
        copied_to_ties,
        spread_over_ties,
        shifting_shifts_the_maximum,
    ),
]
