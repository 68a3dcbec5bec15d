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
    architecture,
    hugging_face_names,
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
    if architecture(file) == "gpt2":
        return load_gpt2(file, dtype, seed, finite, weights)
    options = read_options(file)
    try:
        config = from_options(options)
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    stored = hugging_face_names(file)
    expected = {name: part for name, (part,) in layout(config, options["model_type"]).items()}
    for name, part in expected.items():
        if name not in stored:
            raise UserError(
                f"{file.path} has no tensor for {name} of shape {part.shape}, which its metadata "
                "ask for: it is a part of a model, or damaged"
            )
        shape = file.tensors[stored[name]].shape
        if shape != part.shape:
            raise UserError(
                f"{file.path}: tensor {stored[name]} has shape {shape}, but its metadata ask for "
                f"{part.shape}"
            )
    for name in stored:
        if name not in expected:
            raise UserError(
                f"{file.path} has a tensor {stored[name]}, which a model with its metadata does "
                "not have"
            )
    model = Llama(config, seed=seed, initialize=False)
    layers = dict(model.named_modules())
    for name, part in expected.items():
        owner, _, attribute = part.name.rpartition(".")
        if weights != "float32" and len(part.shape) == 2:
            matrix = read_stored(file, stored[name], options, finite)
            if weights == "int8":
                matrix = quantize_int8(matrix.data if isinstance(matrix, Parameter) else matrix)
                file.forget(stored[name])
            set_weight(layers[owner], matrix)
            continue
        numbers = read_tensor(file, stored[name], options, np.dtype(dtype))
        if finite:
            check_finite(numbers, stored[name], file.path)
        getattr(layers[owner], attribute).data = numbers
    return model.eval()
