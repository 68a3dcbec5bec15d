"""PLANTABLE: bugs of the zoo that fit into a real graph, in place of the right backward.

A wrong class of ``autograd/bug_zoo`` is an operation of its own, often simpler than the fused one
that a model runs. Where the two have the same inputs, the zoo's method is planted as it is. The
functions here are for the others: each gives the zoo's formula the numbers that it expects, and
computes the rest as the operation does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autograd.accumulate import Pending
from autograd.bug_zoo import ZOO, Bug
from autograd.bug_zoo.layers import (
    LayerNormMeanConstant,
    LayerNormWithoutThirdTerm,
    LookupBuffered,
    ScoresExchanged,
    ScoresWithoutScale,
    SoftmaxDiagonal,
    SoftmaxOverAll,
    softmax_minus_one_hot,
)
from autograd.bug_zoo.math import (
    BiasAveraged,
    MatMulForgotten,
    MatMulTransposed,
    MeanWithoutN,
    QuotientSign,
    ReLUIgnoresUpstream,
    ReLUOfGradient,
)
from autograd.kernels.attention import reference as attention
from autograd.kernels.feed_forward import reference as feed_forward
from autograd.ops.dense import Linear
from autograd.ops.normalization import LayerNorm


@dataclass(frozen=True)
class Plantable:
    """A bug of the zoo, the operation that it replaces the backward of, and where it fits.

    ``wrong`` takes what the backward takes: (op, xp, g, *saved). ``op`` is None for a rule of the
    engine; then ``wrong`` is the class that takes the place of ``Pending``. ``adapted`` says
    whether ``wrong`` is a function of this file.
    """

    bug: Bug
    op: str | None
    wrong: Any
    fits: Callable[[Any], bool]
    hints: tuple[str, str]
    """Which formula to look at, in general words, and in exact ones."""
    note: str = ""
    """How the planted mistake differs from the zoo's, as a sentence."""

    @property
    def adapted(self) -> bool:
        return getattr(self.wrong, "__module__", "") == __name__


# --- layer normalization --------------------------------------------------------------------------


def layer_norm_without_third_term(op, xp, g, x, weight, room=None):
    _, g_weight, g_bias = LayerNorm.backward(op, xp, g, x, weight)
    return LayerNormWithoutThirdTerm().backward(xp, g * weight, x), g_weight, g_bias


def layer_norm_mean_constant(op, xp, g, x, weight, room=None):
    _, g_weight, g_bias = LayerNorm.backward(op, xp, g, x, weight)
    return LayerNormMeanConstant().backward(xp, g * weight, x), g_weight, g_bias


# --- attention ------------------------------------------------------------------------------------


def attention_with(score_rule, xp, g, qkv, n_head):
    """The backward of CausalAttention; ``score_rule`` leads from g_P to (g_Q, g_K)."""
    B, T, C3 = qkv.shape
    Q, K, V = attention.split(xp, qkv, n_head)  # (B, H, T, D)
    P = attention.weights(xp, Q, K)[0]  # (B, H, T, T)
    g = xp.transpose(xp.reshape(g, (B, T, n_head, Q.shape[-1])), (0, 2, 1, 3))
    g_V = xp.swapaxes(P, -1, -2) @ g
    g_Q, g_K = score_rule(g @ xp.swapaxes(V, -1, -2), Q, K, P)
    g_qkv = xp.transpose(xp.stack((g_Q, g_K, g_V)), (1, 3, 0, 2, 4))  # (B, T, 3, H, D)
    return xp.reshape(g_qkv, (B, T, C3))


def scores_of_each_head(xp, scores, g_P, Q, K, P):
    """``scores`` is an op of the zoo for one head: (T, D) and (T, D) -> (T, T)."""
    B, H = P.shape[:2]
    pairs = [
        [scores.backward(xp, g_P[b, h], Q[b, h], K[b, h], P[b, h]) for h in range(H)]
        for b in range(B)
    ]
    g_Q, g_K = (xp.stack([xp.stack([p[i] for p in row]) for row in pairs]) for i in (0, 1))
    return g_Q, g_K


def attention_scale_forgotten(op, xp, g, qkv, y):
    def rule(*arrays):
        return scores_of_each_head(xp, ScoresWithoutScale(), *arrays)

    return attention_with(rule, xp, g, qkv, op.n_head)


def gradients_exchanged(op, xp, g, qkv, y):
    def rule(*arrays):
        return scores_of_each_head(xp, ScoresExchanged(), *arrays)

    return attention_with(rule, xp, g, qkv, op.n_head)


def softmax_diagonal(op, xp, g, qkv, y):
    def rule(g_P, Q, K, P):
        g_S = SoftmaxDiagonal().backward(xp, g_P, P) / Q.shape[-1] ** 0.5
        return g_S @ K, xp.swapaxes(g_S, -1, -2) @ Q

    return attention_with(rule, xp, g, qkv, op.n_head)


def softmax_over_all(op, xp, g, qkv, y):
    def rule(g_P, Q, K, P):
        g_S = SoftmaxOverAll().backward(xp, g_P, P) / Q.shape[-1] ** 0.5
        return g_S @ K, xp.swapaxes(g_S, -1, -2) @ Q

    return attention_with(rule, xp, g, qkv, op.n_head)


# --- linear layers --------------------------------------------------------------------------------


def rows_of(xp, x):
    """x (..., K) as a matrix (N, K)."""
    return xp.reshape(x, (-1, x.shape[-1]))


def linear_transpose_forgotten(op, xp, g, x, weight, room=None):
    right = Linear.backward(op, xp, g, x, weight)
    g_x, _ = MatMulForgotten().backward(xp, rows_of(xp, g), rows_of(xp, x), weight.T)
    return xp.reshape(g_x, x.shape), *right[1:]


def linear_transposed(op, xp, g, x, weight, room=None):
    g_x, _, *g_bias = Linear.backward(op, xp, g, x, weight)
    _, g_b = MatMulTransposed().backward(xp, rows_of(xp, g), rows_of(xp, x), weight.T)
    return g_x, g_b.T, *g_bias  # b = W^T


def linear_bias_averaged(op, xp, g, x, weight, room=None):
    g_x, g_weight, _ = Linear.backward(op, xp, g, x, weight)
    return g_x, g_weight, BiasAveraged().backward(xp, rows_of(xp, g))[1]


# --- feed-forward ---------------------------------------------------------------------------------


def feed_forward_with(slope_rule, xp, g, x, u, b, w):
    """The backward of FeedForward; ``slope_rule`` leads from dL/d activation to dL/d hidden."""
    rows, g_rows = rows_of(xp, x), rows_of(xp, g)
    hidden = rows @ u.T + b  # (N, M)
    g_hidden = slope_rule(g_rows @ w, hidden)
    activation = feed_forward.gelu(xp, hidden, "tanh")[0]
    g_x = xp.reshape(g_hidden @ u, x.shape)
    return (
        g_x,
        g_hidden.T @ rows,
        xp.sum(g_hidden, axis=0),
        g_rows.T @ activation,
        xp.sum(g_rows, axis=0),
    )


def gelu_mixed(op, xp, g, x, u, b, w, room=None):
    def rule(g_activation, hidden):  # forward is the tanh form, and this the slope of the exact one
        return g_activation * feed_forward.gelu(xp, hidden, "none")[1]

    return feed_forward_with(rule, xp, g, x, u, b, w)


def upstream_ignored(op, xp, g, x, u, b, w, room=None):
    def rule(g_activation, hidden):  # the local derivative, and nothing else
        return feed_forward.gelu(xp, hidden, "tanh")[1]

    return feed_forward_with(rule, xp, g, x, u, b, w)


# --- the loss -------------------------------------------------------------------------------------


def linear_target_off_by_one(op, xp, g, h, weight):
    targets = op.options[0]
    g_logits = g * softmax_minus_one_hot(xp, h @ weight.T, targets + 1) / len(targets)
    return g_logits @ weight, g_logits.T @ h


def linear_mean_without_n(op, xp, g, h, weight):
    targets = op.options[0]
    g_logits = g * softmax_minus_one_hot(xp, h @ weight.T, targets)  # not divided by N
    return g_logits @ weight, g_logits.T @ h


# --- the engine -----------------------------------------------------------------------------------


class Assigns(Pending):
    """= in place of +=: of several contributions to a gradient, the last one stays."""

    def add(self, node, gradient, fresh):
        if node.order in self._sums:
            self._sums[node.order] = (node, gradient, fresh)
        else:
            super().add(node, gradient, fresh)


# --- where each fits ------------------------------------------------------------------------------


def every_input_needed(call):
    return bool(call.op.needs) and all(call.op.needs)


def of_shapes(check):
    return lambda call: every_input_needed(call) and check(*[a.shape for a in call.args])


def _norm_fits(call):
    return every_input_needed(call) and call.op.eps == LayerNormWithoutThirdTerm.eps


def _mean_of_all_rows(call):
    targets, ignored, reduction = call.op.options
    return every_input_needed(call) and reduction == "mean" and not (targets == ignored).any()


def _square(*shapes):
    return len(shapes[1]) == 2 and shapes[1][0] == shapes[1][1] > 1


def _square_matrices(a, b):
    return a == b and _square(a, b)


def _a_row_to_every_row(a, b):
    return len(a) == 2 and len(b) == 1 and a[0] > 1


def _ids_repeat(call):
    return len(set(call.op.ids.ravel().tolist())) < call.op.ids.size


def _tanh_form(call):
    return every_input_needed(call) and call.op.approximate == "tanh"


def _over_the_first_axis(call):
    return call.op.axis in (None, 0, (0,)) and not call.op.keepdims


def _several_rows(call):
    return len(call.out.shape) > 1 and call.out.shape[-2] > 1


def _always(call):
    return True


def _plantable(name, op, wrong, fits, *hints, note=""):
    return Plantable(ZOO[name], op, wrong, fits, hints, note)


_NORM = "Three terms reach x: directly, through the mean and through the standard deviation."
_ATTEND = "Follow the scores: from the weights P back through softmax, and then to Q and K."
_PRODUCT = "A matrix product has two gradients, and each has one transposed factor."

PLANTABLE = (
    _plantable(
        "layer-norm-without-third-term", "LayerNorm", layer_norm_without_third_term, _norm_fits,
        _NORM, "g_x = r (h - mean(h) - n mean(h n)): is every term there?",
    ),
    _plantable(
        "layer-norm-mean-constant", "LayerNorm", layer_norm_mean_constant, _norm_fits,
        _NORM, "g_x = r (h - mean(h) - n mean(h n)): does each row of g_x sum to zero?",
    ),
    _plantable(
        "softmax-diagonal", "CausalAttention", softmax_diagonal, _several_rows,
        _ATTEND, "g_S = P (g_P - sum(g_P P)): is the sum there?",
    ),
    _plantable(
        "softmax-diagonal", "Softmax", SoftmaxDiagonal.backward, _always,
        "Every output of softmax depends on every input of its row.",
        "g_x = y (g - sum(g y)): is the sum there?",
    ),
    _plantable(
        "softmax-sums-over-all", "CausalAttention", softmax_over_all, _several_rows,
        _ATTEND, "g_S = P (g_P - sum(g_P P)): over which axes does the sum run?",
    ),
    _plantable(
        "softmax-sums-over-all", "Softmax", SoftmaxOverAll.backward, _several_rows,
        "A softmax has rows that know nothing of each other.",
        "g_x = y (g - sum(g y)): over which axes does the sum run?",
    ),
    _plantable(
        "attention-scale-forgotten", "CausalAttention", attention_scale_forgotten, _several_rows,
        _ATTEND, "S = Q K^T / sqrt(D): what does the factor do in backward?",
    ),
    _plantable(
        "gradients-exchanged", "CausalAttention", gradients_exchanged, _several_rows,
        _ATTEND, "g_Q = g_S K and g_K = g_S^T Q: which one goes where?",
    ),
    _plantable(
        "transpose-forgotten", "Linear", linear_transpose_forgotten, of_shapes(_square),
        _PRODUCT, "y = x W^T, so g_x = g W: is W the right way round?",
    ),
    _plantable(
        "transpose-forgotten", "MatMul", MatMulForgotten.backward, of_shapes(_square_matrices),
        _PRODUCT, "y = a b, so g_a = g b^T: is b the right way round?",
    ),
    _plantable(
        "matmul-transposed", "Linear", linear_transposed, of_shapes(_square),
        _PRODUCT, "y = x W^T, so g_W = g^T x: which of the two is transposed?",
    ),
    _plantable(
        "matmul-transposed", "MatMul", MatMulTransposed.backward, of_shapes(_square_matrices),
        _PRODUCT, "y = a b, so g_b = a^T g: which of the two is transposed?",
    ),
    _plantable(
        "bias-averaged", "Linear", linear_bias_averaged, of_shapes(lambda *s: len(s) == 3),
        "A bias is added to every row.", "g_b is the sum of the rows of g: the sum?",
    ),
    _plantable(
        "bias-averaged", "Add", BiasAveraged.backward, of_shapes(_a_row_to_every_row),
        "What is added to every row gets a gradient from every row.",
        "g_b is the sum of the rows of g: the sum?",
    ),
    _plantable(
        "gelu-mixed", "FeedForward", gelu_mixed, _tanh_form,
        "GELU has an exact form and a tanh form, which differ in the third digit.",
        "Is the slope that of the form which forward computed?",
        note="Here it is the other way round: forward is the tanh form, backward the exact one.",
    ),
    _plantable(
        "upstream-ignored", "FeedForward", upstream_ignored, _tanh_form,
        "Local derivative times what arrives: both factors are needed.",
        "g_hidden = (g W) slope: is g in it?",
        note="Here the activation is GELU, in the middle of a feed-forward layer.",
    ),
    _plantable(
        "upstream-ignored", "ReLU", ReLUIgnoresUpstream.backward, _always,
        "Local derivative times what arrives: both factors are needed.",
        "g_x = g where x > 0: is g in it?",
    ),
    _plantable(
        "relu-of-the-gradient", "ReLU", ReLUOfGradient.backward, _always,
        "ReLU is flat where its input is negative.", "g_x = g where x > 0: where is it zero?",
    ),
    _plantable(
        "quotient-sign", "Divide", QuotientSign.backward, every_input_needed,
        "The two inputs of a quotient pull in opposite directions.",
        "g_b = -g a / b^2: is the sign there?",
    ),
    _plantable(
        "embedding-buffered", "Embedding", LookupBuffered.backward, _ids_repeat,
        "A row of the table that is read twice gets two gradients.",
        "dW[ids] += g: what does NumPy do where an id occurs twice?",
    ),
    _plantable(
        "target-off-by-one", "LinearCrossEntropy", linear_target_off_by_one, _mean_of_all_rows,
        "The gradient of the logits is the prediction minus the truth.",
        "p - one_hot(target): at which class is the 1?",
    ),
    _plantable(
        "mean-without-n", "LinearCrossEntropy", linear_mean_without_n, _mean_of_all_rows,
        "The loss is a mean over the positions.", "How large is one position's share of the mean?",
        note="Here the mean is the last step of the loss.",
    ),
    _plantable(
        "mean-without-n", "Mean", MeanWithoutN.backward, _over_the_first_axis,
        "Each of N numbers has a share in their mean.", "How large is that share?",
    ),
    _plantable(
        "assigns-instead-of-adding", None, Assigns, _always,
        "Look at what arrives, not only at what is handed on.",
        "This tensor was used more than once. How many contributions did its gradient get?",
    ),
)  # fmt: skip
