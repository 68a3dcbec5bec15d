"""Cross-entropy of the logits h W^T, the definition. Shapes: h (N, C), weight (V, C), targets (N,).

Here all the logits exist at once, (N, V). The fast kernel only ever has a block of their rows. Its
cache holds the gradients for an upstream gradient of 1, and backward may return these very arrays.
A row whose target is ignored is replaced by zeros, so that nothing it holds can reach a gradient.
"""


def log_sum_exp(xp, x):
    """Two parts (N,) whose sum is the log-sum-exp: each row's maximum m, and the rest."""
    m = xp.max(x, axis=-1)
    return m, xp.log(xp.sum(xp.exp(x - m[:, None]), axis=-1))


def forward(
    xp, h, weight, targets, ignore_index, reduction, needs=(True, True), precision="float32"
):
    c = targets != ignore_index  # (N,) bool: the rows that count
    x = xp.product(xp.where(c[:, None], h, 0), weight.T, precision)  # (N, V)
    t = targets * c  # an ignored row reads column 0; the result is not used
    x_t = xp.take_along_axis(x, t[:, None], axis=-1)[:, 0]  # (N,): the logit of the target
    m, rest = log_sum_exp(xp, x)  # (N,) twice
    losses = xp.where(c, rest - (x_t - m), 0)
    if reduction == "none":
        return losses, None
    total = xp.sum(losses)
    return total / max(1, int(c.sum())) if reduction == "mean" else total, None


def backward(
    xp, g, h, weight, targets, ignore_index, reduction,
    cache=None, needs=(True, True), precision="float32",
):  # fmt: skip
    if cache is not None:
        return tuple(g * unit if need else None for unit, need in zip(cache, needs, strict=True))
    c = targets != ignore_index
    h = xp.where(c[:, None], h, 0)  # (N, C)
    if reduction == "mean":
        g = g / max(1, int(c.sum()))
    r = xp.where(c, g, 0)[:, None]  # (N, 1): dL/d loss of each row, 0 where it is ignored
    x = xp.product(h, weight.T, precision)  # (N, V)
    m, rest = log_sum_exp(xp, x)
    p = xp.exp(x - m[:, None] - rest[:, None])  # (N, V)
    hit = xp.arange(x.shape[1])[None, :] == targets[:, None]  # (N, V) bool: the one-hot rows
    g_x = xp.where(hit, p - 1, p) * r  # (N, V): prediction minus truth
    g_h = xp.product(g_x, weight, precision) if needs[0] else None  # (N, C)
    g_weight = xp.product(g_x.T, h, precision) if needs[1] else None  # (V, C)
    return g_h, g_weight
