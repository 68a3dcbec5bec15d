"""A matrix of weights as it is stored: bytes, and how they are to be read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_llm.quantized.blocks import FORMATS, dequantize, five_bits

INT8 = "INT8"
"""Whole numbers from -127 to 127 with one float32 scale for each row: not a format of GGUF."""
STORED = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K", INT8)
"""The formats whose weights are multiplied as they are stored (products.py)."""

PIECE = 1 << 18  # weights that are quantized at once


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
    return quantize_rows(_some_rows(weights), weights.shape)


def quantize_rows(blocks: Iterable[np.ndarray], shape: tuple[int, ...]) -> QuantizedMatrix:
    """``quantize_int8`` of a matrix (R, C) whose rows come in blocks (r, C), one after another."""
    data = np.empty(shape, np.int8)
    scales = np.empty(shape[0], np.float32)
    end = 0
    for block in blocks:
        for piece in _some_rows(block):
            begin, end = end, end + len(piece)
            piece = np.asarray(piece, np.float32)
            scale = np.abs(piece).max(axis=1) / np.float32(127)  # (rows,)
            if not np.isfinite(scale).all():
                raise ValueError("weights that are NaN or infinite cannot be quantized")
            scales[begin:end] = scale
            scale[scale == 0] = 1
            data[begin:end] = np.rint(piece / scale[:, None])
    return QuantizedMatrix(data.view(np.uint8), INT8, (shape[0], shape[1]), scales)


def _some_rows(weights: np.ndarray | QuantizedMatrix) -> Iterator[np.ndarray]:
    """The rows of a matrix, so few at a time that float32 copies of them stay small."""
    step = max(1, PIECE // weights.shape[1])
    for begin in range(0, weights.shape[0], step):
        rows = slice(begin, begin + step)
        yield weights.dequantize(rows) if isinstance(weights, QuantizedMatrix) else weights[rows]


def q8_0_of_q5_0(data: np.ndarray) -> np.ndarray:
    """Rows of Q5_0 blocks as Q8_0 blocks of the same weights: w = d (q - 16), and q - 16 fits."""
    blocks = data.reshape(-1).view(FORMATS["Q5_0"].layout)
    result = np.empty(len(blocks), FORMATS["Q8_0"].layout)
    result["d"], result["q"] = blocks["d"], five_bits(blocks).astype(np.int8) - 16
    return result.view(np.uint8).reshape(len(data), -1)
