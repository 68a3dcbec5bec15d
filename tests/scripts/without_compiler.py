"""Run fused operations and AdamW, and print the error of a kernel that is forced to be compiled."""

import numpy as np

from autograd import Parameter, ops, use_kernels
from tinygrad_llm.training.optim import AdamW

x = Parameter(np.arange(6.0).reshape(2, 3))
y = ops.gelu(ops.layer_norm(ops.softmax(x), np.ones(3), np.zeros(3)))
y.backward(np.ones((2, 3)))
try:
    with use_kernels("cpu"):
        ops.softmax(x)
except RuntimeError as error:
    print(error)
AdamW([x]).step()
print(np.isfinite(x.data).all())
