"""A model as the fused step reads it: tables of where its weights are, and of its options.

Each function reads one model's page into rows of the same table: GPT-2 is a Llama whose queries,
keys and values lie in one matrix, whose mlp has no gate, and whose normalization subtracts a mean.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from autograd.kernels._calls import address_of
from tinygrad_llm.generation.step_kernel import MULTIPLY
from tinygrad_llm.generation.step_records import (
    ALL_NORM,
    GELU,
    GELU_TANH,
    HEAD_NORM,
    LAYER,
    LAYER_NORM,
    MODEL,
    NO_NORM,
    RMS,
    SILU,
)
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.model.layers import LayerNorm, Linear, RMSNorm
from tinygrad_llm.quantized.matrix import QuantizedMatrix
from tinygrad_llm.quantized.products import N_ROWS, multiply, table_row


class NoStep(Exception):
    """The fused step does not know something about a model; the message says what."""


class Tables(NamedTuple):
    """A model for the fused step."""

    model: np.ndarray
    """A record MODEL (1,)."""
    layers: np.ndarray
    """Records LAYER (n_layer,)."""
    matrices: np.ndarray
    """The table of matrices (n, N_FIELDS)."""
    kept: list[Any]
    """What must stay alive as long as the addresses are used."""


def describe(model: Any) -> Tables:
    """The tables of a model. Raises NoStep for a layer or type that the kernel does not know."""
    memory, config = _Memory(), model.config
    layers = np.rec.array(np.zeros(config.n_layer, LAYER))
    models = np.rec.array(np.zeros(1, MODEL))
    record = models[0]
    if type(model) is Llama:
        _describe_llama(memory, model, record, layers)
    elif type(model) is GPT:
        _describe_gpt(memory, model, record, layers)
    else:
        raise NoStep(f"it is no GPT or Llama but a {type(model).__name__}")
    for name in ("n_embd", "n_head", "n_kv_head", "head_dim", "vocab_size"):
        record[name] = getattr(config, name)
    record.n_hidden = memory.matrices[layers[0].up][N_ROWS]
    record.multiply = address_of(multiply, *MULTIPLY)
    matrices = np.array(memory.matrices, np.int64)
    return Tables(
        models.view(MODEL, np.ndarray), layers.view(LAYER, np.ndarray), matrices, memory.kept
    )


class _Memory:
    """The matrices so far, and the addresses of vectors."""

    def __init__(self) -> None:
        self.matrices: list[list[int]] = []
        self.kept: list[Any] = []

    def matrix(self, weight: Any, rows: slice = slice(None)) -> int:
        """The number of a matrix, or of some of its rows, in the table of matrices."""
        if isinstance(weight, QuantizedMatrix):
            scales = None if weight.scales is None else weight.scales[rows]
            data = weight.data[rows]
            matrix = QuantizedMatrix(data, weight.format, (len(data), weight.shape[1]), scales)
        else:
            data = self.array(weight)[rows]
            matrix = QuantizedMatrix(data.view(np.uint8), "F32", data.shape)
        self.kept.append(matrix)
        self.matrices.append(table_row(matrix))
        return len(self.matrices) - 1

    def array(self, parameter: Any) -> np.ndarray:
        array = parameter.data
        suits = isinstance(array, np.ndarray) and array.dtype == np.float32
        if not (suits and array.flags.c_contiguous and array.flags.aligned):
            raise NoStep("a parameter is no contiguous float32 array in main memory")
        self.kept.append(array)
        return array

    def vector(self, parameter: Any, begin: int = 0) -> int:
        """The address of a vector from an entry on; 0 if there is none."""
        return 0 if parameter is None else self.array(parameter).ctypes.data + 4 * begin

    def linear(self, layer: Any, rows: slice = slice(None)) -> tuple[int, int]:
        """The number of a layer's matrix, or of some of its rows, and the address of its bias."""
        if type(layer) is not Linear:
            raise NoStep(f"a layer is a {type(layer).__name__}")
        return self.matrix(layer.weight, rows), self.vector(layer.bias, rows.start or 0)

    def norm(self, norm: Any) -> tuple[int, int]:
        """The addresses of weight and bias."""
        if norm is None:
            return 0, 0
        if type(norm) not in (RMSNorm, LayerNorm):
            raise NoStep(f"a layer is a {type(norm).__name__}")
        return self.vector(norm.weight), self.vector(getattr(norm, "bias", None))


def _describe_llama(memory: _Memory, model: Llama, record: Any, layers: Any) -> None:
    config = model.config
    record.norm_kind, record.norm_offset, record.norm_eps = RMS, config.norm_offset, config.norm_eps
    kinds = {"none": NO_NORM, "head": HEAD_NORM, "all": ALL_NORM}
    record.qk_norm, record.n_turned = kinds[config.qk_norm], config.n_turned
    activations = {"silu": SILU, "gelu": GELU, "gelu_tanh": GELU_TANH}
    record.activation = activations[config.activation]
    record.scale = config.attention_scale or 1 / math.sqrt(config.head_dim)
    record.softcap = config.attention_softcap or 0
    record.logit_softcap = config.logit_softcap or 0
    record.last_norm, record.last_norm_bias = memory.norm(model.norm)
    if model.lm_head is None:
        record.head = memory.matrix(model.embed_tokens.weight)
    else:
        record.head, _ = memory.linear(model.lm_head)
    for i, (block, layer) in enumerate(zip(model.layers, layers, strict=True)):
        attention, mlp = block.self_attn, block.mlp
        for name, linear in (
            ("q", attention.q_proj), ("k", attention.k_proj), ("v", attention.v_proj),
            ("out", attention.o_proj), ("gate", mlp.gate_proj), ("up", mlp.up_proj),
            ("down", mlp.down_proj),
        ):  # fmt: skip
            layer[name], layer[name + "_bias"] = memory.linear(linear)
        for name, norm in (
            ("before_attention", block.input_layernorm),
            ("after_attention", block.post_attention_layernorm),
            ("before_mlp", block.pre_feedforward_layernorm),
            ("after_mlp", block.post_feedforward_layernorm),
        ):
            layer[name], layer[name + "_bias"] = memory.norm(norm)
        if config.qk_norm != "none":
            layer.q_norm, _ = memory.norm(attention.q_norm)
            layer.k_norm, _ = memory.norm(attention.k_norm)
        layer.window = config.window(i) or 0
        kind = model.rotary.kind(i)
        layer.angles = -1 if kind is None else int(kind)


def _describe_gpt(memory: _Memory, model: GPT, record: Any, layers: Any) -> None:
    config = model.config
    record.norm_kind, record.norm_eps = LAYER_NORM, config.layer_norm_epsilon
    record.activation, record.scale = GELU_TANH, 1 / math.sqrt(config.head_dim)
    record.last_norm, record.last_norm_bias = memory.norm(model.ln_f)
    record.head = memory.matrix(model.wte.weight)
    for block, layer in zip(model.h, layers, strict=True):
        C, packed = config.n_embd, block.attn.c_attn
        for i, name in enumerate("qkv"):
            part = slice(i * C, (i + 1) * C)
            layer[name], layer[name + "_bias"] = memory.linear(packed, part)
        layer.out, layer.out_bias = memory.linear(block.attn.c_proj)
        layer.up, layer.up_bias = memory.linear(block.mlp.c_fc)
        layer.down, layer.down_bias = memory.linear(block.mlp.c_proj)
        layer.before_attention, layer.before_attention_bias = memory.norm(block.ln_1)
        layer.before_mlp, layer.before_mlp_bias = memory.norm(block.ln_2)
        layer.gate = layer.angles = -1
