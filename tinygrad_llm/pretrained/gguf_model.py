"""A model from a GGUF file."""

import os

import numpy as np

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Llama, Model
from tinygrad_llm.model.quantize import set_weight
from tinygrad_llm.pretrained.gguf_file import GGUFFile, read_gguf
from tinygrad_llm.pretrained.gguf_gpt2 import load_gpt2
from tinygrad_llm.pretrained.gguf_names import (
    FREQUENCIES,
    architecture,
    check_tensors,
    gguf_name,
    read_options,
    read_stored,
    read_tensor,
)
from tinygrad_llm.pretrained.llama import layout
from tinygrad_llm.pretrained.llama_config import from_options
from tinygrad_llm.pretrained.tensor_file import check_finite
from tinygrad_llm.quantized.matrix import quantize_int8


def load_gguf(
    path: str | os.PathLike | GGUFFile,
    dtype: str = "float32",
    seed: int = 0,
    finite: bool = True,
    weights: str = "float32",
) -> Model:
    """The model in a GGUF file (or in one that is open), in evaluation mode.

    With ``weights="float32"`` quantized weights become ``dtype``, "float32" or "float64", one
    tensor at a time: what loading takes is the model itself and a copy of one tensor. With "int8"
    each matrix is then quantized again. With "as-stored" the matrices stay in the mapped file, and
    only those are copied whose rows have another order there (``unpermute``) or whose format has no
    products of its own (``stored_matrix``).

    Raises UserError for a file that is missing, damaged or not supported, for tensors that are
    missing, unexpected or of another shape than the metadata say, and, unless ``finite`` is False,
    for weights that are NaN or infinite. Nothing of the model's size is allocated before all of
    these but the last are checked.
    """
    file = path if isinstance(path, GGUFFile) else read_gguf(path)
    kind = architecture(file)
    if kind == "gpt2":
        return load_gpt2(file, dtype, seed, finite, weights)
    options = read_options(file)
    try:
        config = from_options(options)
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    tensors = layout(config, options["model_type"])
    expected = {gguf_name(name, kind): part for name, (part,) in tensors.items()}
    optional = (FREQUENCIES,) if kind == "llama" else ()  # read_options has looked at them
    check_tensors(file, {name: part.shape for name, part in expected.items()}, optional)
    model = Llama(config, seed=seed, initialize=False)
    layers = dict(model.named_modules())
    for name, part in expected.items():
        owner, _, attribute = part.name.rpartition(".")
        if weights != "float32" and len(part.shape) == 2:
            matrix = read_stored(file, name, options, finite)
            if weights == "int8":
                matrix = quantize_int8(matrix.data if isinstance(matrix, Parameter) else matrix)
                file.forget(name)
            set_weight(layers[owner], matrix)
            continue
        numbers = read_tensor(file, name, options, np.dtype(dtype))
        if finite:
            check_finite(numbers, name, file.path)
        getattr(layers[owner], attribute).data = numbers
    return model.eval()
