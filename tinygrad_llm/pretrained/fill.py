"""Putting the weights of a file into a model: as numbers, as 8 bits, or as the file stores them."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from autograd import Parameter
from tinygrad_llm.model import Model
from tinygrad_llm.model.quantize import matrix_layers, set_weight
from tinygrad_llm.quantized.matrix import QuantizedMatrix, quantize_rows


class Source(Protocol):
    """A parameter of a model, in a file. Each method raises UserError for NaN or infinity."""

    shape: tuple[int, ...]

    def numbers(self, dtype: str) -> np.ndarray:
        """All of it, a new array."""

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows of a matrix in order, some at a time: float32 (r, C)."""

    def matrix(self) -> QuantizedMatrix | Parameter:
        """A matrix as it is stored; numbers (float32), if its format has no products."""


def fill(model: Model, sources: Mapping[str, Source], dtype: str, weights: str) -> None:
    """Give every parameter of ``model`` the weights of the source with its name.

    ``weights`` is about the matrices of Linear and Embedding layers: "float32" makes them numbers
    of ``dtype``, as everything else, "int8" rounds them, and "as-stored" leaves them in the file.
    """
    layers = dict(model.named_modules())
    with_matrix = {id(layer) for layer in matrix_layers(model)}
    for name, source in sources.items():
        owner, _, attribute = name.rpartition(".")
        layer = layers[owner]
        if weights == "float32" or attribute != "weight" or id(layer) not in with_matrix:
            getattr(layer, attribute).data = source.numbers(dtype)
        elif weights == "int8":
            set_weight(layer, quantize_rows(source.blocks(), source.shape))
        else:
            set_weight(layer, source.matrix())
