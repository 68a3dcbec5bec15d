"""A network with every kind of fast kernel."""

import numpy as np

from autograd import Parameter, ops
from autograd.functional import recompute


def network(seed):
    """Run it forward and backward; returns the loss and all gradients."""
    rng = np.random.default_rng(seed)

    def parameter(*shape):
        return Parameter(rng.standard_normal(shape).astype(np.float32) * 0.1)

    table, norm, shift = parameter(64, 96), parameter(96), parameter(96)
    qkv, up, bias = parameter(288, 96), parameter(96, 96), parameter(96)
    ids, targets = rng.integers(0, 64, (4, 64)), rng.integers(0, 64, (4, 64))
    mask_rng = np.random.default_rng(seed)

    def block(h):
        h = h + ops.causal_attention(ops.linear(ops.layer_norm(h, norm, shift), qkv), 3)
        return h + ops.dropout(ops.gelu(ops.linear(h, up, bias)), 0.1, True, mask_rng)

    h = ops.embedding(table, ids)
    h = recompute(block, block(h), rngs=(mask_rng,))
    loss = ops.linear_cross_entropy(h, table, targets)
    loss = loss + ops.cross_entropy(ops.softmax(ops.linear(h, table)), targets)
    loss.backward()
    return [loss.data, *(p.grad.data for p in (table, norm, shift, qkv, up, bias))]
