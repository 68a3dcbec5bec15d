"""A parameter of a model in a GGUF file, with the numbers that a Hugging Face directory has.

Formats without products of their own: Q5_0 becomes Q8_0, of the same weights; Q5_1, Q2_K, Q3_K and
Q5_K become float32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from autograd import Parameter
from tinygrad_llm.pretrained.gguf_file import PIECE, GGUFFile
from tinygrad_llm.pretrained.gguf_names import permuted_heads, unpermute
from tinygrad_llm.pretrained.tensor_file import check_finite
from tinygrad_llm.quantized.blocks import FORMATS
from tinygrad_llm.quantized.matrix import STORED, QuantizedMatrix, q8_0_of_q5_0


class GGUFSource:
    """The tensor ``name`` of a file; ``options`` are those of ``read_options``.

    With ``finite=False`` numbers may be NaN or infinite.
    """

    def __init__(self, file: GGUFFile, name: str, options: dict[str, Any], finite: bool) -> None:
        self.file, self.name, self.finite = file, name, finite
        self.info = file.info(name)
        self.shape = self.info.shape
        self._n_head = permuted_heads(name, options)
        is_norm = name.endswith("norm.weight")
        self._is_one_more = options.get("model_type") == "gemma3_text" and is_norm

    def numbers(self, dtype: str) -> np.ndarray:
        """All of it, a new array."""
        weights = self.file.read(self.name, np.dtype(dtype))
        self._check(weights)
        if self._is_one_more:
            return weights - 1
        return weights if self._n_head is None else unpermute(weights, self._n_head)

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows of a matrix in order, float32, some at a time."""
        if self._n_head is not None:
            yield self.numbers("float32")
            return
        columns = self.shape[1]
        for piece in self.file.pieces(self.name, columns * max(1, PIECE // columns)):
            self._check(piece)
            yield piece.reshape(-1, columns)

    def matrix(self) -> QuantizedMatrix | Parameter:
        """A matrix as the file stores it, mapped; a copy, if its rows have another order here."""
        form = self.info.format
        if form not in (*STORED, "Q5_0"):
            return Parameter(self.numbers("float32"))
        if self.finite:
            for piece in self.file.pieces(self.name):
                self._check(piece)
        stored = data = self.file.stored(self.name)
        if form == "Q5_0":
            data, form = self._as_q8_0(), "Q8_0"
        if self._n_head is not None:
            data = unpermute(data, self._n_head)
        if data is not stored:
            self.file.forget(self.name)
        return QuantizedMatrix(data, form, (self.shape[0], self.shape[1]))

    def _as_q8_0(self) -> np.ndarray:
        """The bytes of a matrix of Q5_0 as those of Q8_0."""
        pieces = (q8_0_of_q5_0(piece[None])[0] for piece in self.file.stored_pieces(self.name))
        rows, columns = self.shape
        data = np.empty((rows, columns // 32 * FORMATS["Q8_0"].layout.itemsize), np.uint8)
        flat, at = data.reshape(-1), 0
        for piece in pieces:
            flat[at : at + len(piece)] = piece
            at += len(piece)
        return data

    def _check(self, weights: np.ndarray) -> None:
        if self.finite:
            check_finite(weights, self.name, self.file.path)
