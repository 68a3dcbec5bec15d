"""The costs of a model as a table: parameters, memory for backward, arithmetic per token.

Everything here is computed from the model's shape, a GPTConfig or a LlamaConfig; nothing is run. A
test compares the activation figures with the arrays that a recorded loss really keeps.
"""

import re

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.counts import counted

ADAMW = "AdamW's two moments"


def parameter_count(config):
    """How many numbers a model of this shape learns, without making one."""
    if isinstance(config, LlamaConfig):
        return _llama_parameters(config)
    C, T, V = config.n_embd, config.block_size, config.vocab_size
    block = 12 * C * C + 13 * C  # four matrices with their biases, and two layer norms
    return (V + T) * C + config.n_layer * block + 2 * C


def activation_floats(config):
    """Floats kept for backward per token, without dropout, for sequences of any length.

    Each is named by the operation that keeps it; sums keep nothing. Attention keeps two numbers per
    head, and its output, which c_proj keeps anyway: nothing grows with T. The last two are the
    hidden state and its gradient, which the fused loss computes during forward, while it has the
    logits. (Under a soft-cap of the logits the loss is not fused and keeps more.)
    """
    if isinstance(config, LlamaConfig):
        return _llama_activations(config)
    C, H = config.n_embd, config.n_head
    attention = (C + 3) + C + (3 * C + 2 * H) + C  # ln_1, c_attn, attention, c_proj
    mlp = (C + 3) + C + 4 * C  # ln_2, the input of c_fc, its output before GELU
    head = (C + 3) + 2 * C  # ln_f, the loss
    return config.n_layer * (attention + mlp) + head


def operand_floats(config):
    """Those of ``activation_floats`` that only products read: at bf16 they are kept as bf16.

    The inputs of the matrices, the queries, keys and values, and what attention returns.
    """
    L, C = config.n_layer, config.n_embd
    if isinstance(config, LlamaConfig):
        queries, keys, _ = _llama_sizes(config)
        return L * (C + 2 * queries + 2 * keys + C + config.n_hidden) + C
    return L * 6 * C + C


def flops_per_token(config, T):
    """Floating-point operations per token of training (forward and backward).

    A matrix product costs 2 operations per weight and token forward and 4 backward (one product
    for each factor's gradient): 6 per weight. A block has 12 C^2 of them, the head V C. Attention
    adds q k^T and p v, 2 C each per pair of tokens, and causality leaves T / 2 pairs per token:
    2 C T forward, three times that in total. (Kaplan et al. 2020, with the attention halved.)
    """
    if isinstance(config, LlamaConfig):
        return _llama_flops(config, T)
    L, C, V = config.n_layer, config.n_embd, config.vocab_size
    return 6 * (12 * L * C * C + V * C) + 6 * L * C * T


def summary(model, state=ADAMW, state_floats=None, activations="float32", precision="float32"):
    """The table for a GPT or a Llama, as a string of plain text.

    ``state`` names what an optimizer remembers, ``state_floats`` numbers in all; None means two for
    each parameter. ``activations`` is the type of what is kept for backward, ``precision`` that of
    products: "float32" or "bf16".
    """
    state_floats = 2 * model.num_parameters() if state_floats is None else state_floats
    described = _llama_summary if isinstance(model.config, LlamaConfig) else _gpt_summary
    kept = _kept(model.config, activations, precision)
    return described(model, state, 2 * model.num_parameters() + state_floats, kept)


def _gpt_summary(model, state, trained_floats, kept):
    config = model.config
    T = config.block_size
    title = (
        f"GPT: {counted(config.n_layer, 'layer')}, {counted(config.n_head, 'head')}, "
        f"{counted(config.n_embd, 'channel')}, "
        f"context {T:,}, vocabulary {config.vocab_size:,}"
    )
    costs = [
        f"weights, gradients and {state}: {_bytes(4 * trained_floats)} in float32",
        kept,
        f"arithmetic of training: {_flops(flops_per_token(config, T))} per token = "
        "6 (12 L C^2 + V C) + 6 L C T",
    ]
    return "\n".join([title, "", *_table(model), "", *costs])


# --- the Llama family --------------------------------------------------------------------------


def _llama_sizes(config):
    """(HD, GD, norms): the channels of all queries and of all keys, and the norms of a block."""
    D = config.head_dim
    return config.n_head * D, config.n_kv_head * D, 4 if config.norm_placement == "both" else 2


def _llama_matrices(config):
    """Weights of a block's matrices."""
    queries, keys, _ = _llama_sizes(config)
    return config.n_embd * (2 * queries + 2 * keys + 3 * config.n_hidden)


def _llama_parameters(config):
    C, M, (queries, keys, norms) = config.n_embd, config.n_hidden, _llama_sizes(config)
    biases = config.qkv_bias * (queries + 2 * keys) + config.out_bias * C
    biases += config.mlp_bias * (2 * M + C)
    qk_norm = {"none": 0, "head": 2 * config.head_dim, "all": queries + keys}[config.qk_norm]
    block = _llama_matrices(config) + biases + norms * C + qk_norm
    tables = 1 if config.tied else 2
    return tables * config.vocab_size * C + config.n_layer * block + C


def _llama_activations(config):
    """A normalization keeps its input and one number per row, ``rope`` nothing."""
    C, (queries, keys, norms) = config.n_embd, _llama_sizes(config)
    rows = {"none": 0, "head": config.n_head + config.n_kv_head, "all": 2}[config.qk_norm]
    qk_norm = queries + keys + rows if rows else 0
    attention = C + qk_norm + (2 * queries + 2 * keys + 2 * config.n_head)  # its input; q, k, v, y
    mlp = C + 3 * config.n_hidden  # its input; gate, up and their product
    head = (C + 1) + 2 * C  # norm, the loss
    return config.n_layer * (norms * (C + 1) + attention + mlp) + head


def _llama_flops(config, T):
    """As for a GPT; in a layer with a window W, a token sees W - W^2 / 2 T others on average."""
    matrices = config.n_layer * _llama_matrices(config) + config.vocab_size * config.n_embd
    windows = [min(config.window(i) or T, T) for i in range(config.n_layer)]
    pairs = sum(W - W * W / (2 * T) for W in windows)
    return 6 * matrices + round(12 * pairs * config.n_head * config.head_dim)


def _llama_summary(model, state, trained_floats, kept):
    config = model.config
    layers = [config.window(i) for i in range(config.n_layer)]
    slide = sum(window is not None for window in layers)
    title = (
        f"Llama: {counted(config.n_layer, 'layer')}, {counted(config.n_head, 'head')} on "
        f"{counted(config.n_kv_head, 'key head')} of {counted(config.head_dim, 'channel')}, "
        f"{counted(config.n_embd, 'channel')}, context {config.block_size:,}, "
        f"vocabulary {config.vocab_size:,}"
    )
    if slide:
        title += f", {counted(slide, 'layer')} with a window of {config.sliding_window:,}"
    T, total = config.block_size, model.num_parameters()
    matrices = config.n_layer * _llama_matrices(config) + config.vocab_size * config.n_embd
    cached = 2 * config.n_layer * config.n_kv_head * config.head_dim
    costs = [
        f"weights: {_bytes(4 * total)} in float32; with gradients and {state}: "
        f"{_bytes(4 * trained_floats)}",
        f"keys and values: {_bytes(4 * cached)} per token = 2 L G D in float32",
        kept,
        f"arithmetic of training: {_flops(flops_per_token(config, T))} per token; of generating: "
        f"{_flops(2 * matrices)}, and attention",
    ]
    return "\n".join([title, "", *_table(model), "", *costs])


def _kept(config, activations, precision):
    """What is kept for backward. In bf16 a few statistics stay float32."""
    size = 4 * activation_floats(config)
    text = _bytes(size)
    if activations == "bf16":
        text = f"about {_bytes(size / 2)} in bf16"
    elif precision == "bf16":
        text = f"{_bytes(size - 2 * operand_floats(config))}, partly in bf16,"
    return f"activations kept for backward: {text} per token (computed from the shape)"


def _table(model):
    """The lines of a table of the parameters; the layers' tensors of one name are in one row."""
    kinds = {}
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
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _bytes(n):
    return _scaled(n, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _flops(n):
    return _scaled(n, 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"))


def _scaled(n, step, units):
    """``n`` in the largest unit that leaves it at least 1, to three digits."""
    for unit in units[:-1]:
        if n < step:
            return f"{n:.3g} {unit}"
        n /= step
    return f"{n:.3g} {units[-1]}"
