"""Cross-entropy of logits, the definition. Shapes: logits (N, V), targets (N,) integers.

A row whose target is ignored is replaced by zeros before anything is computed from it, so that
whatever it holds (infinity, NaN) reaches neither the loss nor a gradient of any order.
"""


def log_sum_exp(xp, logits):
    top = xp.max(logits, axis=-1, keepdims=True)  # (N, 1)
    return xp.log(xp.sum(xp.exp(logits - top), axis=-1)) + top[:, 0]  # (N,)


def forward(xp, logits, targets, ignore_index, reduction):
    counts = targets != ignore_index  # (N,) bool
    logits = xp.where(counts[:, None], logits, 0)  # (N, V)
    safe = targets * counts  # an ignored target looks at column 0, for nothing
    lse = log_sum_exp(xp, logits)  # (N,)
    picked = xp.take_along_axis(logits, safe[:, None], axis=-1)[:, 0]  # (N,)
    losses = xp.where(counts, lse - picked, 0)  # (N,)
    if reduction == "none":
        return losses, (lse,)
    total = xp.sum(losses)
    return (total / max(1, int(counts.sum())) if reduction == "mean" else total), (lse,)


def backward(xp, g, logits, targets, ignore_index, reduction, cache=None):
    counts = targets != ignore_index  # (N,) bool
    logits = xp.where(counts[:, None], logits, 0)  # (N, V)
    (lse,) = cache if cache is not None else (log_sum_exp(xp, logits),)
    if reduction == "mean":
        g = g / max(1, int(counts.sum()))
    g = xp.where(counts, g, 0)[:, None]  # (N, 1): one loss per row, none where it is ignored
    p = xp.exp(logits - lse[:, None])  # (N, V)
    hit = xp.arange(logits.shape[1])[None, :] == targets[:, None]  # (N, V) bool: the one-hot rows
    return xp.where(hit, p - 1, p) * g
