"""One step of gradient descent with momentum, the definition. p, g and buffer have one shape.

Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, and Nesterov, "A
method of solving a convex programming problem with convergence rate O(1/k^2)", 1983, in PyTorch's
convention.
"""


def update(xp, p, g, buffer, lr, momentum, nesterov, weight_decay, grad_scale):
    lr, grad_scale = float(lr), float(grad_scale)  # NumPy's float64 would promote float32 arrays
    g = g * grad_scale + weight_decay * p
    buffer = momentum * buffer + g
    direction = g + momentum * buffer if nesterov else buffer
    return p - lr * direction, buffer
