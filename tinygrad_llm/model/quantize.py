"""A model whose matrices are stored quantized."""

from collections.abc import Iterator

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.layers import Embedding, Linear
from tinygrad_llm.model.module import Module
from tinygrad_llm.quantized.matrix import QuantizedMatrix, quantize_int8


def quantize_model(model: Module) -> Module:
    """Store the matrices of a model as int8, with a float32 scale for each row. Returns the model.

    These are the weights of its Linear layers and its token table; tied weights stay tied. What is
    left are vectors (biases, normalization) and learned positions. The model can no longer be
    trained as a whole, only what is added to it: the matrices are constant. One matrix is converted
    at a time, and its float32 weights are released.

    Raises UserError for a model on another device than the CPU, and ValueError for weights that are
    NaN or infinite.
    """
    done: dict[int, tuple[Parameter, QuantizedMatrix]] = {}  # keeps them alive: ids stay unique
    for layer in matrix_layers(model):
        weight = layer.weight
        if not isinstance(weight, Parameter):
            continue
        if weight.device != "cpu":
            raise UserError(f"int8 weights work on the CPU, and this model is on {weight.device}")
        if id(weight) not in done:
            done[id(weight)] = weight, quantize_int8(weight.data)
            weight.grad = None
        set_weight(layer, done[id(weight)][1])
    return model


def matrix_layers(model: Module) -> Iterator[Linear | Embedding]:
    """The layers whose weight may be a QuantizedMatrix: all but learned positions."""
    for name, module in model.named_modules():
        if isinstance(module, (Linear, Embedding)) and name != "wpe":
            yield module


def set_weight(layer: Linear | Embedding, weight: Parameter | QuantizedMatrix) -> None:
    """Replace a layer's weight by one that is stored in another way."""
    vars(layer)["weight"] = weight  # an attribute that is a Parameter refuses anything else


def num_weights(model: Module) -> int:
    """How many numbers a model has, those of its quantized matrices included."""
    return model.num_parameters() + sum(matrix.size for matrix in stored_matrices(model))


def stored_matrices(model: Module) -> list[QuantizedMatrix]:
    """The quantized matrices of a model, each once."""
    weights = (layer.weight for layer in matrix_layers(model))
    return list({id(w): w for w in weights if isinstance(w, QuantizedMatrix)}.values())
