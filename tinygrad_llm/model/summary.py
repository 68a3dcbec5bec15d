"""The costs of a GPT as a table: parameters, memory for backward, arithmetic per token.

Everything here is computed from the model's shape; nothing is run. A test compares the activation
figure with the arrays that a recorded loss really keeps.
"""

import re


def parameter_count(config):
    """How many numbers a GPT of this shape learns, without making one."""
    C, T, V = config.n_embd, config.block_size, config.vocab_size
    block = 12 * C * C + 13 * C  # four matrices with their biases, and two layer norms
    return (V + T) * C + config.n_layer * block + 2 * C


def activation_floats(config):
    """Floats kept for backward per token, without dropout, for sequences of any length.

    Each is named by the operation that keeps it; sums keep nothing. Attention keeps two numbers per
    head, and its output, which c_proj keeps anyway: nothing grows with T. The last two are the
    hidden state and its gradient, which the fused loss computes during forward, while it has the
    logits.
    """
    C, H = config.n_embd, config.n_head
    attention = (C + 3) + C + (3 * C + 2 * H) + C  # ln_1, c_attn, attention, c_proj
    mlp = (C + 3) + C + 4 * C  # ln_2, the input of c_fc, its output before GELU
    head = (C + 3) + 2 * C  # ln_f, the loss
    return config.n_layer * (attention + mlp) + head


def flops_per_token(config, T):
    """Floating-point operations per token of training (forward and backward).

    A matrix product costs 2 operations per weight and token forward and 4 backward (one product
    for each factor's gradient): 6 per weight. A block has 12 C^2 of them, the head V C. Attention
    adds q k^T and p v, 2 C each per pair of tokens, and causality leaves T / 2 pairs per token:
    2 C T forward, three times that in total. (Kaplan et al. 2020, with the attention halved.)
    """
    L, C, V = config.n_layer, config.n_embd, config.vocab_size
    return 6 * (12 * L * C * C + V * C) + 6 * L * C * T


def summary(model):
    """The table for a GPT, as a string of plain text."""
    config = model.config
    kinds = {}  # the layers' tensors of one name in one row
    for name, parameter in model.named_parameters():
        kind = re.sub(r"\.\d+\.", ".*.", name), parameter.shape
        count, size = kinds.get(kind, (0, 0))
        kinds[kind] = count + 1, size + parameter.size
    total = model.num_parameters()
    rows = [("parameter", "shape", "count", "parameters", "share")]
    for (name, shape), (count, size) in kinds.items():
        shape = " x ".join(map(str, shape))
        rows.append((name, shape, f"{count}", f"{size:,}", f"{size / total:.1%}"))
    rows.append(("total", "", f"{sum(n for n, _ in kinds.values())}", f"{total:,}", "100.0%"))

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        name, *rest = (
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((name, *rest)))
    rule = "-" * len(lines[0])
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]

    T = config.block_size
    title = (
        f"GPT: {config.n_layer} layers, {config.n_head} heads, {config.n_embd} channels, "
        f"context {T:,}, vocabulary {config.vocab_size:,}"
    )
    memory = ("B", "KiB", "MiB", "GiB", "TiB")
    training = _scaled(16 * total, 1024, memory)
    activations = _scaled(4 * activation_floats(config), 1024, memory)
    flops = _scaled(flops_per_token(config, T), 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"))
    costs = [
        f"weights, gradients and Adam's two moments: {training} in float32",
        f"activations kept for backward: {activations} per token (computed from the shape)",
        f"arithmetic of training: {flops} per token = 6 (12 L C^2 + V C) + 6 L C T",
    ]
    return "\n".join([title, "", *lines, "", *costs])


def _scaled(n, step, units):
    """``n`` in the largest unit that leaves it at least 1, to three digits."""
    for unit in units[:-1]:
        if n < step:
            return f"{n:.3g} {unit}"
        n /= step
    return f"{n:.3g} {units[-1]}"
