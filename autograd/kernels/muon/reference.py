"""One step of Muon, the definition. p, g and buffer are matrices of one shape.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""


def update(
    xp, p, g, buffer, lr, momentum, nesterov, weight_decay, grad_scale, steps, factor, parts
):
    lr, grad_scale = float(lr), float(grad_scale)  # NumPy's float64 would promote float32 arrays
    g = g * grad_scale
    buffer = momentum * buffer + (1 - momentum) * g
    direction = momentum * buffer + (1 - momentum) * g if nesterov else buffer
    matrices = xp.reshape(direction, (parts, p.shape[0] // parts, p.shape[1]))  # (P, R, K)
    direction = xp.reshape(orthogonalize(xp, matrices, steps), p.shape)
    p = p * (1 - lr * weight_decay) - lr * factor * direction
    return p, buffer


def orthogonalize(xp, x, steps):
    """Newton-Schulz: x (..., R, K) with its singular values moved towards 1."""
    size = xp.sqrt(xp.sum(xp.square(xp.astype(x, "float64")), axis=(-2, -1), keepdims=True))
    x = x / xp.astype(xp.maximum(size, 1e-7), x.dtype)  # now no singular value is above 1
    tall = x.shape[-2] > x.shape[-1]
    x = xp.swapaxes(x, -2, -1) if tall else x  # so that s is the smaller of the two products
    for _ in range(steps):
        s = x @ xp.swapaxes(x, -2, -1)
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
    return xp.swapaxes(x, -2, -1) if tall else x
