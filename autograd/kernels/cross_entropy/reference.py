"""Cross-entropy of logits, the definition. Shapes: logits (N, V), targets (N,) integers.

A row whose target is ignored is replaced by zeros before anything is computed from it, so that
whatever it holds (infinity, NaN) reaches neither the loss nor a gradient of any order.

The log-sum-exp of a row is kept in two parts, its maximum and the logarithm of the rest: added up
they would be rounded to the last bit of numbers as large as the logits.

``weight`` (V,), how much each class counts, and ``label_smoothing`` are options of the definition
alone. A kernel refuses them, and spends no time on them where they are not given.
"""


def log_sum_exp(xp, logits):
    """(N,) and (N,): the maximum of each row, and what is to be added to it."""
    top = xp.max(logits, axis=-1)
    return top, xp.log(xp.sum(xp.exp(logits - top[:, None]), axis=-1))


def class_weights(targets, counts, weight):
    """How much each row counts (N,): the weight of its target's class, 0 where it is ignored."""
    return weight[targets * counts] * counts


def divisor(targets, counts, weight):
    """What "mean" divides by: the number of targets that count, or the sum of their weights."""
    if weight is None:
        return max(1, int(counts.sum()))
    return float(class_weights(targets, counts, weight).sum()) or 1.0


def forward(xp, logits, targets, ignore_index, reduction, weight=None, label_smoothing=0.0):
    counts = targets != ignore_index  # (N,) bool
    logits = xp.where(counts[:, None], logits, 0)  # (N, V)
    safe = targets * counts  # an ignored target looks at column 0, for nothing
    top, rest = log_sum_exp(xp, logits)  # (N,) twice
    picked = xp.take_along_axis(logits, safe[:, None], axis=-1)[:, 0]  # (N,)
    losses = rest - (picked - top)  # (N,)
    if weight is not None:
        losses = losses * class_weights(targets, counts, weight)
    if label_smoothing:
        each = rest[:, None] - (logits - top[:, None])  # (N, V): the loss, if this were the target
        every = xp.sum(each if weight is None else each * weight, axis=-1)  # (N,)
        share = label_smoothing / logits.shape[1]  # of each class
        losses = (1 - label_smoothing) * losses + share * every
    losses = xp.where(counts, losses, 0)  # (N,)
    if reduction == "none":
        return losses, (top, rest)
    total = xp.sum(losses)
    mean = total / divisor(targets, counts, weight) if reduction == "mean" else total
    return mean, (top, rest)


def backward(
    xp, g, logits, targets, ignore_index, reduction, cache=None, weight=None, label_smoothing=0.0
):
    counts = targets != ignore_index  # (N,) bool
    logits = xp.where(counts[:, None], logits, 0)  # (N, V)
    top, rest = cache if cache is not None else log_sum_exp(xp, logits)
    if reduction == "mean":
        g = g / divisor(targets, counts, weight)
    g = xp.where(counts, g, 0)[:, None]  # (N, 1): one loss per row, none where it is ignored
    p = xp.exp(logits - top[:, None] - rest[:, None])  # (N, V)
    hit = xp.arange(logits.shape[1])[None, :] == targets[:, None]  # (N, V) bool: the one-hot rows
    g_logits = xp.where(hit, p - 1, p)
    if weight is not None:
        g_logits = g_logits * class_weights(targets, counts, weight)[:, None]
    if label_smoothing:
        every = p * logits.shape[1] - 1 if weight is None else p * weight.sum() - weight  # (N, V)
        share = label_smoothing / logits.shape[1]  # of each class
        g_logits = (1 - label_smoothing) * g_logits + share * every
    return g_logits * g
