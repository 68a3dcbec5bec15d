"""Wrong backwards of a transformer's layers: normalization, softmax, attention, embedding, loss.

Each right operation comes first, and then its wrong variants. ``LAYERS``, at the end, says in the
same order what each variant gets wrong and which check catches it.
"""

import numpy as np

from autograd.bug_zoo.bug import Bug, by_check_grad, data
from autograd.bug_zoo.math import ORDER_1
from autograd.engine import Op
from autograd.ops.lookup import Embedding
from autograd.ops.loss import CrossEntropy
from autograd.ops.normalization import Softmax


class LayerNorm(Op):
    """y = (x - mean) / std over the last axis."""

    save_inputs = (0,)
    eps = 1e-5

    def norm(self, xp, x):
        centered = x - xp.mean(x, axis=-1, keepdims=True)
        rstd = 1 / xp.sqrt(xp.mean(centered * centered, axis=-1, keepdims=True) + self.eps)
        return centered * rstd, rstd

    def forward(self, xp, x):
        return self.norm(xp, x)[0]

    def backward(self, xp, g, x):
        norm, rstd = self.norm(xp, x)
        along_ones = xp.mean(g, axis=-1, keepdims=True)
        along_norm = xp.mean(g * norm, axis=-1, keepdims=True)
        return rstd * (g - along_ones - norm * along_norm)


class LayerNormWithoutThirdTerm(LayerNorm):
    def backward(self, xp, g, x):
        norm, rstd = self.norm(xp, x)
        return rstd * (g - xp.mean(g, axis=-1, keepdims=True))


class LayerNormMeanConstant(LayerNorm):
    def backward(self, xp, g, x):
        norm, rstd = self.norm(xp, x)
        return rstd * (g - norm * xp.mean(g * norm, axis=-1, keepdims=True))


class LayerNormStaleCache(LayerNorm):
    def forward(self, xp, x):
        y, self.rstd = self.norm(xp, x)  # an attribute: a constant to the second derivative
        return y

    def backward(self, xp, g, x):
        norm = (x - xp.mean(x, axis=-1, keepdims=True)) * self.rstd
        along_ones = xp.mean(g, axis=-1, keepdims=True)
        along_norm = xp.mean(g * norm, axis=-1, keepdims=True)
        return self.rstd * (g - along_ones - norm * along_norm)


class SoftmaxDiagonal(Softmax):
    def backward(self, xp, g, y):
        return g * y * (1 - y)


class SoftmaxOverAll(Softmax):
    def backward(self, xp, g, y):
        return y * (g - xp.sum(g * y))


class Scores(Op):
    """softmax(q k^T / sqrt(D)). Shapes: q (T, D), k (T, D) -> (T, T)."""

    save_inputs, save_output = (0, 1), True

    def scale(self, q):
        return 1 / q.shape[-1] ** 0.5

    def forward(self, xp, q, k):
        s = q @ xp.swapaxes(k, 0, 1) * self.scale(q)
        e = xp.exp(s - xp.max(s, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    def backward(self, xp, g, q, k, p):
        g_s = p * (g - xp.sum(g * p, axis=-1, keepdims=True)) * self.scale(q)
        return g_s @ k, xp.swapaxes(g_s, 0, 1) @ q


class ScoresWithoutScale(Scores):
    def backward(self, xp, g, q, k, p):
        g_s = p * (g - xp.sum(g * p, axis=-1, keepdims=True))
        return g_s @ k, xp.swapaxes(g_s, 0, 1) @ q


class ScoresExchanged(Scores):
    def backward(self, xp, g, q, k, p):
        g_q, g_k = super().backward(xp, g, q, k, p)
        return g_k, g_q


class Rotary(Op):
    """Rotate the pairs (x[:, :D/2], x[:, D/2:]) of x (T, D) by angles that grow with the row."""

    def rotate(self, xp, x, sign):
        t, half = x.shape[0], x.shape[1] // 2
        angle = np.outer(np.arange(t), 10.0 ** -np.arange(half))  # (T, D/2)
        cos, sin = np.cos(angle), sign * np.sin(angle)
        a, b = x[:, :half], x[:, half:]
        return xp.concatenate((a * cos - b * sin, a * sin + b * cos), axis=1)

    def forward(self, xp, x):
        return self.rotate(xp, x, 1)

    def backward(self, xp, g):
        return self.rotate(xp, g, -1)  # the transpose of a rotation is its inverse


class RotaryForward(Rotary):
    def backward(self, xp, g):
        return self.rotate(xp, g, 1)


IDS = np.array([2, 0, 2, 1, 2])


class Lookup(Embedding):
    """y = weight[ids]. Shapes: weight (V, C), ids (...) -> (..., C)."""

    def __init__(self, ids=IDS):
        super().__init__(ids)


class LookupBuffered(Lookup):
    def backward(self, xp, g, room=None):
        g_weight = np.zeros(self.inputs[0].shape)
        g_weight[self.ids] += g  # NumPy adds only once per row, however often an id occurs
        return g_weight


TARGETS = np.array([2, -1, 0, 4])  # -1 is ignored
VALID = TARGETS >= 0


class MaskedCrossEntropy(CrossEntropy):
    """Mean of log sum exp(logits) - logits[target] over the rows whose target is not -1."""

    def __init__(self):
        super().__init__(TARGETS, ignore_index=-1, reduction="mean")


def softmax_minus_one_hot(xp, logits, targets):
    p = xp.exp(logits - xp.logsumexp(logits, axis=-1, keepdims=True))
    return p - (np.arange(logits.shape[-1]) == targets[:, None])


class CrossEntropyOffByOne(MaskedCrossEntropy):
    def backward(self, xp, g, logits):
        return g * softmax_minus_one_hot(xp, logits, TARGETS + 1) * VALID[:, None] / VALID.sum()


class CrossEntropyCountsIgnored(MaskedCrossEntropy):
    def backward(self, xp, g, logits):
        return g * softmax_minus_one_hot(xp, logits, TARGETS) * VALID[:, None] / len(TARGETS)


class CrossEntropyTrainsIgnored(MaskedCrossEntropy):
    def backward(self, xp, g, logits):
        return g * softmax_minus_one_hot(xp, logits, TARGETS) / VALID.sum()


_x, _qk, _logits = data(3, 5), (data(4, 4), data(4, 4, seed=1)), data(4, 5)

LAYERS = [
    Bug(
        "layer-norm-without-third-term",
        "differentiates the mean, but forgets that the standard deviation depends on x too",
        ORDER_1,
        LayerNormWithoutThirdTerm,
        LayerNorm,
        by_check_grad(_x),
    ),
    Bug(
        "layer-norm-mean-constant",
        "treats the mean as a constant: right only where the gradients of a row sum to 0",
        ORDER_1,
        LayerNormMeanConstant,
        LayerNorm,
        by_check_grad(_x),
    ),
    Bug(
        "layer-norm-stale-cache",
        "keeps 1/std from forward as an attribute: every first derivative is right",
        "check_grad, order 2",
        LayerNormStaleCache,
        LayerNorm,
        by_check_grad(_x),
    ),
    Bug(
        "softmax-diagonal",
        "treats softmax as elementwise, like sigmoid: only the diagonal of its Jacobian",
        ORDER_1,
        SoftmaxDiagonal,
        Softmax,
        by_check_grad(_x),
    ),
    Bug(
        "softmax-sums-over-all",
        "forgets the axis in sum(g y): right for a single row, and so in the unit test",
        ORDER_1,
        SoftmaxOverAll,
        Softmax,
        by_check_grad(_x),
    ),
    Bug(
        "attention-scale-forgotten",
        "scales the scores by 1/sqrt(D) only in forward",
        ORDER_1,
        ScoresWithoutScale,
        Scores,
        by_check_grad(*_qk),
    ),
    Bug(
        "gradients-exchanged",
        "returns the gradients of queries and keys in the wrong order; their shapes are the same",
        ORDER_1,
        ScoresExchanged,
        Scores,
        by_check_grad(*_qk),
    ),
    Bug(
        "rotary-forward-again",
        "rotates the same way in backward, instead of the opposite way, which is the transpose",
        ORDER_1,
        RotaryForward,
        Rotary,
        by_check_grad(data(4, 6)),
    ),
    Bug(
        "embedding-buffered",
        "writes dW[ids] += dY; of several equal ids, NumPy adds only the last",
        ORDER_1,
        LookupBuffered,
        Lookup,
        by_check_grad(data(4, 3), order=1),
    ),
    Bug(
        "target-off-by-one",
        "subtracts the one-hot of the next class, because the data set counts classes from 1",
        ORDER_1,
        CrossEntropyOffByOne,
        MaskedCrossEntropy,
        by_check_grad(_logits),
    ),
    Bug(
        "ignored-targets-counted",
        "divides by the number of valid targets in forward, but by the number of rows in backward",
        ORDER_1,
        CrossEntropyCountsIgnored,
        MaskedCrossEntropy,
        by_check_grad(_logits),
    ),
    Bug(
        "ignored-targets-trained",
        "masks the loss of padding but not its gradient",
        ORDER_1,
        CrossEntropyTrainsIgnored,
        MaskedCrossEntropy,
        by_check_grad(_logits),
    ),
]
