"""A model from a GGUF file."""

import os

from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Llama, Model
from tinygrad_llm.pretrained.fill import fill
from tinygrad_llm.pretrained.gguf_file import GGUFFile, read_gguf
from tinygrad_llm.pretrained.gguf_gpt2 import load_gpt2
from tinygrad_llm.pretrained.gguf_names import (
    FREQUENCIES,
    architecture,
    check_tensors,
    gguf_name,
    read_options,
)
from tinygrad_llm.pretrained.gguf_source import GGUFSource
from tinygrad_llm.pretrained.gguf_tokenizer import forget_lists
from tinygrad_llm.pretrained.llama import layout
from tinygrad_llm.pretrained.llama_config import from_options


def load_gguf(
    path: str | os.PathLike | GGUFFile,
    dtype: str = "float32",
    seed: int = 0,
    finite: bool = True,
    weights: str = "float32",
) -> Model:
    """The model in a GGUF file (or in one that is open), in evaluation mode.

    With ``weights="float32"`` quantized weights become ``dtype``, "float32" or "float64". With
    "int8" each matrix is quantized again, some rows at a time. With "as-stored" the matrices stay
    in the mapped file, and only those are copied whose rows have another order there
    (``unpermute``) or whose format has no products of its own (``gguf_source.py``). So what loading
    takes is the model itself and little more.

    Raises UserError for a file that is missing, damaged or not supported, for tensors that are
    missing, unexpected or of another shape than the metadata say, and, unless ``finite`` is False,
    for weights that are NaN or infinite. Nothing of the model's size is allocated before all of
    these but the last are checked.
    """
    if isinstance(path, GGUFFile):
        file = path
    else:
        file = read_gguf(path)
        forget_lists(file)
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
    sources = {
        part.name: GGUFSource(file, name, options, finite) for name, part in expected.items()
    }
    fill(model, sources, dtype, weights)
    return model.eval()
