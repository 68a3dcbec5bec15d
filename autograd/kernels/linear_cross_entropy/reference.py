"""Cross-entropy of the logits h W^T, the definition. Shapes: h (N, C), weight (V, C), targets (N,).

Here the logits exist whole, (N, V). The fast kernel never has more than a block of rows of them,
and hands to backward the gradients for an upstream gradient of 1: that is its cache, and backward
may give these arrays away.
A row whose target is ignored is replaced by zeros, so that nothing it holds can reach a gradient.
"""


def log_sum_exp(xp, logits):
    """(N,) and (N,): the maximum of each row, and what is to be added to it."""
    top = xp.max(logits, axis=-1)
    return top, xp.log(xp.sum(xp.exp(logits - top[:, None]), axis=-1))


def forward(xp, h, weight, targets, ignore_index, reduction, needs=(True, True)):
    counts = targets != ignore_index  # (N,) bool
    logits = xp.where(counts[:, None], h, 0) @ weight.T  # (N, V)
    safe = targets * counts  # an ignored target looks at column 0, for nothing
    picked = xp.take_along_axis(logits, safe[:, None], axis=-1)[:, 0]  # (N,)
    top, rest = log_sum_exp(xp, logits)  # (N,) twice
    losses = xp.where(counts, rest - (picked - top), 0)  # (N,)
    if reduction == "none":
        return losses, None
    total = xp.sum(losses)
    return (total / max(1, int(counts.sum())) if reduction == "mean" else total), None


def backward(xp, g, h, weight, targets, ignore_index, reduction, cache=None, needs=(True, True)):
    if cache is not None:
        return tuple(g * unit if need else None for unit, need in zip(cache, needs, strict=True))
    counts = targets != ignore_index  # (N,) bool
    if reduction == "mean":
        g = g / max(1, int(counts.sum()))
    g = xp.where(counts, g, 0)[:, None]  # (N, 1): one loss per row, none where it is ignored
    h = xp.where(counts[:, None], h, 0)  # (N, C)
    logits = h @ weight.T  # (N, V)
    top, rest = log_sum_exp(xp, logits)  # (N,) twice
    p = xp.exp(logits - top[:, None] - rest[:, None])  # (N, V)
    hit = xp.arange(logits.shape[1])[None, :] == targets[:, None]  # (N, V) bool: the one-hot rows
    g_logits = xp.where(hit, p - 1, p) * g
    return g_logits @ weight if needs[0] else None, g_logits.T @ h if needs[1] else None
