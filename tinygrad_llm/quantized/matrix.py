"""A matrix of weights as it is stored: bytes, and how they are to be read."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_llm.quantized.blocks import FORMATS, dequantize, five_bits

INT8 = "INT8"
"""Whole numbers from -127 to 127 with one float32 scale for each row: not a format of GGUF."""
STORED = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K", INT8)
"""The formats whose weights are multiplied as they are stored (products.py)."""


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """R rows of C weights.

    ``data`` is uint8 (R, bytes of a row), perhaps in a mapped file, and never changes; ``format``
    is one of STORED. ``scales`` (R,), float32, belongs to INT8 alone. Raises ValueError for another
    format, and for data or scales of another type, shape or memory layout.
    """

    data: np.ndarray
    format: str
    shape: tuple[int, int]
    scales: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.format not in STORED:
            raise ValueError(f"{self.format} is not one of {', '.join(STORED)}")
        rows, columns = self.shape
        size, nbytes = (1, 1) if self.format == INT8 else _block(self.format)
        expected = rows, columns // size * nbytes
        if columns % size or self.data.shape != expected or self.data.dtype != np.uint8:
            raise ValueError(
                f"the data of a matrix {self.shape} in {self.format} are uint8 {expected}, but "
                f"these are {self.data.dtype} {self.data.shape}"
            )
        if not self.data.flags.c_contiguous:
            raise ValueError("the data of a matrix must be contiguous")
        if (self.format == INT8) != (self.scales is not None):
            raise ValueError("a matrix has scales if its format is INT8, and only then")
        if self.scales is not None and (
            self.scales.shape != (rows,) or self.scales.dtype != np.float32
        ):
            raise ValueError(f"the scales of {rows} rows are float32 ({rows},)")

    @property
    def ndim(self) -> int:
        return 2

    @property
    def size(self) -> int:
        """How many weights it has."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """The bytes that one product with the matrix reads."""
        return self.data.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def dequantize(self, rows: Any = slice(None), dtype: Any = np.float32) -> np.ndarray:
        """Some rows as numbers, a new array: an index of the first axis -> (..., C)."""
        data = self.data[rows]
        if self.format != INT8:
            return dequantize(data, self.format).astype(dtype, copy=False)
        assert self.scales is not None
        return data.view(np.int8).astype(dtype) * self.scales[rows, ..., None]

    def __repr__(self) -> str:
        return f"QuantizedMatrix({self.format}, shape={self.shape}, {self.nbytes:,} bytes)"


def _block(name: str) -> tuple[int, int]:
    """How many weights a block has, and how many bytes."""
    return FORMATS[name].size, FORMATS[name].layout.itemsize


def quantize_int8(weights: np.ndarray | QuantizedMatrix) -> QuantizedMatrix:
    """The nearest INT8 matrix: weights (R, C) -> w = scale_r q, with max_c |q| = 127 in each row.

    In a row of zeros the scale is 0. The error of a weight is at most half of its row's scale.
    Raises ValueError for weights that are NaN or infinite.
    """
    data = np.empty(weights.shape, np.int8)
    scales = np.empty(weights.shape[0], np.float32)
    for begin in range(0, weights.shape[0], 1024):  # pieces: the float32 copies stay small
        rows = slice(begin, begin + 1024)
        if isinstance(weights, QuantizedMatrix):
            piece = weights.dequantize(rows)
        else:
            piece = np.asarray(weights[rows], np.float32)
        scale = np.abs(piece).max(axis=1) / np.float32(127)  # (rows,)
        if not np.isfinite(scale).all():
            raise ValueError("weights that are NaN or infinite cannot be quantized")
        scales[begin : begin + len(piece)] = scale
        scale[scale == 0] = 1
        data[begin : begin + len(piece)] = np.rint(piece / scale[:, None])
    return QuantizedMatrix(data.view(np.uint8), INT8, weights.shape, scales)


def q8_0_of_q5_0(data: np.ndarray) -> np.ndarray:
    """Rows of Q5_0 blocks as Q8_0 blocks of the same weights: w = d (q - 16), and q - 16 fits."""
    blocks = data.reshape(-1).view(FORMATS["Q5_0"].layout)
    result = np.empty(len(blocks), FORMATS["Q8_0"].layout)
    result["d"], result["q"] = blocks["d"], five_bits(blocks).astype(np.int8) - 16
    return result.view(np.uint8).reshape(len(data), -1)


def stored_matrix(data: np.ndarray, name: str, n_columns: int) -> QuantizedMatrix | np.ndarray:
    """A matrix of a file, uint8 (R, bytes of a row) in a format of GGUF, for products.

    Formats without products of their own: Q5_0 becomes Q8_0, of the same weights; Q5_1, Q2_K, Q3_K
    and Q5_K become float32 arrays (R, C).
    """
    if name == "Q5_0":
        data, name = q8_0_of_q5_0(data), "Q8_0"
    if name in STORED:
        return QuantizedMatrix(data, name, (len(data), n_columns))
    return dequantize(data, name)
