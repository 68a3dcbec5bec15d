"""Products compiled for the processor that NUMBA_CPU_NAME names; prints how far they are off."""

import numpy as np

from tinygrad_llm.quantized import products
from tinygrad_llm.quantized.blocks import FORMATS, dequantize

halves = np.arange(65536, dtype=np.uint16)
y = np.zeros((1, 65536), np.float32)
products.f16_rows(halves.ctypes.data, 2, np.ones((1, 1), np.float32), y, 0, 65536)
np.testing.assert_array_equal(y[0], halves.view(np.float16).astype(np.float32))

rng = np.random.default_rng(3)
blocks = np.frombuffer(rng.bytes(40 * 20), FORMATS["Q4_1"].layout).copy()
blocks["d"], blocks["m"] = rng.uniform(-1, 1, (2, 40))
weights = dequantize(blocks.view(np.uint8).reshape(10, 80), "Q4_1")  # (10, 128)
x, y = rng.standard_normal((3, 128)).astype(np.float32), np.empty((3, 10), np.float32)
products.q4_1_rows(blocks.ctypes.data, 80, x, y, 0, 10)
print(np.abs(y - x @ weights.T).max() / np.abs(y).max())
