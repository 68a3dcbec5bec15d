"""One step of AdamW, the definition. p, g, m and v have one shape; step counts from 1.

Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, in PyTorch's convention: the
decay is multiplied by the learning rate, and eps is added to the root of the corrected moment.
"""


def update(xp, p, g, m, v, lr, beta1, beta2, eps, weight_decay, step, grad_scale):
    lr, grad_scale = float(lr), float(grad_scale)  # NumPy's float64 would promote float32 arrays
    g = g * grad_scale
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * xp.square(g)
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    p = p * (1 - lr * weight_decay) - lr * m_hat / (xp.sqrt(v_hat) + eps)
    return p, m, v


def square_sum(xp, g):
    """The sum of the squares of ``g``, one number in float64: a float32 sum might overflow."""
    return xp.sum(xp.square(xp.astype(g, "float64")))
