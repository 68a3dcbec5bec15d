"""Cross-entropy of logits, the definition. Shapes: logits (N, V), targets (N,) integers.

A row whose target is ignored is replaced by zeros before anything is computed from it, so that
whatever it holds (infinity, NaN) reaches neither the loss nor a gradient of any order.

The log-sum-exp of a row is kept in two parts, its maximum and the logarithm of the sum of
exp(x - maximum): their sum would be rounded to the precision of numbers as large as the logits.

Only the definition has the options ``weight`` (V,), how much each class counts, and
``label_smoothing``. The fast kernel refuses them, and so spends no time on them.
"""


def log_sum_exp(xp, x):
    """Two parts (N,) whose sum is the log-sum-exp: each row's maximum m, and the rest."""
    m = xp.max(x, axis=-1)
    return m, xp.log(xp.sum(xp.exp(x - m[:, None]), axis=-1))


def class_weights(targets, c, weight):
    """How much each row counts (N,): the weight of its target's class, 0 where it is ignored."""
    return weight[targets * c] * c


def divisor(targets, c, weight):
    """What "mean" divides by: the number of targets that count, or the sum of their weights."""
    if weight is None:
        return max(1, int(c.sum()))
    return float(class_weights(targets, c, weight).sum()) or 1.0


def forward(xp, logits, targets, ignore_index, reduction, weight=None, label_smoothing=0.0):
    c = targets != ignore_index  # (N,) bool: the rows that count
    x = xp.where(c[:, None], logits, 0)  # (N, V), ignored rows emptied
    t = targets * c  # an ignored row reads column 0; the result is not used
    m, rest = log_sum_exp(xp, x)  # (N,) twice
    x_t = xp.take_along_axis(x, t[:, None], axis=-1)[:, 0]  # (N,): the logit of the target
    losses = rest - (x_t - m)
    if weight is not None:
        losses = losses * class_weights(targets, c, weight)
    if label_smoothing:
        each = rest[:, None] - (x - m[:, None])  # (N, V): the loss, if this were the target
        every = xp.sum(each if weight is None else each * weight, axis=-1)  # (N,)
        share = label_smoothing / x.shape[1]  # of each class
        losses = (1 - label_smoothing) * losses + share * every
    losses = xp.where(c, losses, 0)
    if reduction == "none":
        return losses, (m, rest)
    total = xp.sum(losses)
    return total / divisor(targets, c, weight) if reduction == "mean" else total, (m, rest)


def backward(
    xp, g, logits, targets, ignore_index, reduction, cache=None, weight=None, label_smoothing=0.0
):
    c = targets != ignore_index
    x = xp.where(c[:, None], logits, 0)
    m, rest = log_sum_exp(xp, x) if cache is None else cache
    if reduction == "mean":
        g = g / divisor(targets, c, weight)
    r = xp.where(c, g, 0)[:, None]  # (N, 1): dL/d loss of each row, 0 where it is ignored
    p = xp.exp(x - m[:, None] - rest[:, None])  # (N, V)
    hit = xp.arange(x.shape[1])[None, :] == targets[:, None]  # (N, V) bool: the one-hot rows
    g_x = xp.where(hit, p - 1, p)  # prediction minus truth
    if weight is not None:
        g_x = g_x * class_weights(targets, c, weight)[:, None]
    if label_smoothing:
        every = p * x.shape[1] - 1 if weight is None else p * weight.sum() - weight  # (N, V)
        share = label_smoothing / x.shape[1]  # of each class
        g_x = (1 - label_smoothing) * g_x + share * every
    return g_x * r
