"""A GGUF file in Hugging Face's words: the options of a config.json, and the names of tensors.

GGUF says the same things as a Hugging Face directory with other names. Three things differ:

    llama's q, k    their rows are permuted, see ``permute``
    Gemma's norms   stored as 1 + w, the factor that is multiplied with, not as w
    llama3 scaling  stored as a tensor, rope_freqs.weight: the divisor of each rotary frequency

What a file does not say is a constant of the architecture: Gemma 3 has a rotary base of 10,000 in
sliding layers, and five of these for every layer that sees everything.
"""

import re
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Number, Whole, check_json, short
from tinygrad_llm.model.rotary import frequencies
from tinygrad_llm.pretrained.gguf_file import GGUFFile
from tinygrad_llm.pretrained.llama_config import MAX_LAYERS

TABLE, FREQUENCIES = "token_embd.weight", "rope_freqs.weight"
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FFN_NORM = {"ffn_norm": "post_attention_layernorm"}
_QK_NORM = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
MORE = {
    "llama": _FFN_NORM,
    "qwen2": _FFN_NORM,
    "qwen3": _FFN_NORM | _QK_NORM,
    "gemma3": _QK_NORM
    | {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
"""Names in a layer that one architecture has."""
ARCHITECTURES = ("gpt2", *MORE)
"""The supported architectures; gguf_gpt2.py has the names of the first."""

_SIZE, _POSITIVE = Whole(1, 2**31 - 1), Number(1e-30, 1e30)
SCHEMA = {
    "block_count": Whole(1, MAX_LAYERS),
    "context_length": _SIZE,
    "embedding_length": _SIZE,
    "feed_forward_length": _SIZE,
    "attention.head_count": _SIZE,
    "attention.head_count_kv?": _SIZE,
    "attention.layer_norm_rms_epsilon": Number(0, 1),
    "attention.key_length?": _SIZE,
    "attention.value_length?": _SIZE,
    "attention.sliding_window?": _SIZE,
    "attention.sliding_window_pattern?": _SIZE,
    "rope.dimension_count?": _SIZE,
    "rope.freq_base?": _POSITIVE,
    "rope.freq_base_swa?": _POSITIVE,
    "rope.scaling.type?": ("none", "linear", "yarn"),
    "rope.scaling.factor?": _POSITIVE,
    "rope.scaling.original_context_length?": _SIZE,
    "final_logit_softcapping?": _POSITIVE,
    "expert_count?": 0,  # a mixture of experts is another model
}
"""What is read of the metadata, without the name of the architecture in front."""


def architecture(file: GGUFFile) -> str:
    """The architecture's name, one of ARCHITECTURES.

    Raises UserError for any other, and for a part of a split file.
    """
    known = ", ".join(ARCHITECTURES)
    name = file.metadata.get("general.architecture")
    if not isinstance(name, str):
        raise UserError(f"{file.path} does not name its architecture: supported are {known}")
    if name not in ARCHITECTURES:
        raise UserError(
            f"{file.path}: architecture {short(name)} is not supported: supported are {known}"
        )
    parts = file.metadata.get("split.count", 1)
    if isinstance(parts, np.ndarray) or parts not in (0, 1):
        raise UserError(
            f"{file.path} is one part of a model that was split: join the parts with llama.cpp's "
            "llama-gguf-split --merge"
        )
    return name


def read_options(file: GGUFFile) -> dict[str, Any]:
    """The options that a config.json of this model would have.

    Raises UserError for metadata that are missing or not what they should be, and for a model that
    is not supported.
    """
    kind = architecture(file)
    facts = read_facts(file, SCHEMA)
    heads = facts["attention.head_count"]
    default = 256 if kind == "gemma3" else facts["embedding_length"] // heads
    head_dim = facts.get("attention.key_length", default)
    for key in ("attention.value_length", "rope.dimension_count"):
        if facts.get(key, head_dim) != head_dim:
            raise UserError(
                f"{file.path}: {kind}.{key} is {facts[key]}, and only {head_dim}, the size of a "
                "head, is supported"
            )
    options = {
        "vocab_size": vocab_size(file),
        "hidden_size": facts["embedding_length"],
        "intermediate_size": facts["feed_forward_length"],
        "num_hidden_layers": facts["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts.get("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": facts["context_length"],
        "rms_norm_eps": facts["attention.layer_norm_rms_epsilon"],
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
    }
    more = _gemma3 if kind == "gemma3" else _llama
    return options | more(file, facts, options)


def vocab_size(file: GGUFFile) -> int:
    """The rows of the token table. Raises UserError if there is no such matrix."""
    if TABLE not in file.tensors or len(file.tensors[TABLE].shape) != 2:
        raise UserError(f"{file.path} has no tensor {TABLE} with two axes: it is no language model")
    return file.tensors[TABLE].shape[0]


def read_facts(file: GGUFFile, schema: dict[str, Any]) -> dict[str, Any]:
    """The metadata that ``schema`` names, checked. Numbers of float32 get their shortest decimals.

    So 1e-5 is 1e-5 again, as in the config.json from which it was made.
    """
    kind = architecture(file)
    facts = {}
    for key in schema:
        name = key.removesuffix("?")
        if (value := file.metadata.get(f"{kind}.{name}")) is not None:
            if isinstance(value, float):
                with np.errstate(over="ignore"):
                    value = float(str(np.float32(value)))
            facts[name] = [] if isinstance(value, np.ndarray) else value
    check_json(facts, f"the metadata of {file.path}, below {kind},", schema)
    return facts


def _llama(file: GGUFFile, facts: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    theta = facts.get("rope.freq_base", 10000.0)
    scaling = _scaling(file, facts)
    if FREQUENCIES in file.tensors:
        scaling = _llama3(file, options["head_dim"], theta)
    return {
        "model_type": architecture(file),
        "rope_theta": theta,
        "rope_scaling": scaling,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
    }


def _gemma3(file: GGUFFile, facts: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    head_dim = options["head_dim"]
    if options["num_hidden_layers"] == 62:  # the largest Gemma 3 divides by another number
        head_dim = options["hidden_size"] // options["num_attention_heads"]
    return {
        "model_type": "gemma3_text",
        "query_pre_attn_scalar": head_dim,
        "sliding_window": facts.get("attention.sliding_window", 4096),
        "sliding_window_pattern": facts.get("attention.sliding_window_pattern", 6),
        "final_logit_softcapping": facts.get("final_logit_softcapping"),
        "rope_theta": facts.get("rope.freq_base", 1e6),
        "rope_local_base_freq": facts.get("rope.freq_base_swa", 10000.0),
        "rope_scaling": _scaling(file, facts),
    }


def _scaling(file: GGUFFile, facts: dict[str, Any]) -> dict[str, Any] | None:
    default = "linear" if "rope.scaling.factor" in facts else "none"  # as in llama.cpp
    kind = facts.get("rope.scaling.type", default)
    if kind == "none":
        return None
    keys = {"rope.scaling.factor": "factor"}
    if kind == "yarn":
        keys["rope.scaling.original_context_length"] = "original_max_position_embeddings"
    for key in keys:
        if key not in facts:
            raise UserError(f"{file.path} has rotary scaling {kind}, but no {key}")
    return {"rope_type": kind} | {name: facts[key] for key, name in keys.items()}


def _llama3(file: GGUFFile, head_dim: int, theta: float) -> dict[str, Any]:
    """The scaling whose divisors of the frequencies are those of the file, if it is Llama 3's."""
    if file.tensors[FREQUENCIES].shape == (head_dim // 2,):  # only then is it small enough to read
        divisors = file.read(FREQUENCIES, np.float64)
        scaling = {
            "rope_type": "llama3",
            "factor": float(divisors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
        if 0 < divisors.min() and divisors.max() < np.inf:  # not where there is a NaN
            expected = frequencies(head_dim, theta)[0] / frequencies(head_dim, theta, scaling)[0]
            if np.allclose(divisors, expected, rtol=1e-4, atol=0):
                return scaling
    raise UserError(
        f"{file.path}: {FREQUENCIES} is not the scaling of Llama 3.1 to 3.3, and no other is "
        "supported"
    )


# --- tensors --------------------------------------------------------------------------------------


def check_tensors(
    file: GGUFFile, expected: dict[str, tuple[int, ...]], optional: tuple[str, ...] = ()
) -> None:
    """Raise UserError unless the file has these tensors, of these shapes, and no other.

    The ``optional`` ones may be missing; their shapes are not checked.
    """
    for name, shape in expected.items():
        if name not in file.tensors:
            raise UserError(
                f"{file.path} has no tensor {name} of shape {shape}, which its metadata ask for: "
                "it is a part of a model, or damaged"
            )
        if (found := file.tensors[name].shape) != shape:
            raise UserError(
                f"{file.path}: tensor {name} has shape {found}, but its metadata ask for {shape}"
            )
    for name, info in file.tensors.items():
        if name not in expected and name not in optional:
            raise UserError(
                f"{file.path} has a tensor {short(name)} of shape {info.shape}, which a "
                f"{architecture(file)} with its metadata does not have"
            )


def gguf_name(name: str, kind: str) -> str:
    """model.layers.3.self_attn.q_proj.weight -> blk.3.attn_q.weight"""
    module, _, part = name.rpartition(".")
    layer = re.match(r"model\.layers\.(\d+)\.", module)
    prefix = f"blk.{layer[1]}." if layer else ""
    known = LAYER | MORE[kind] if layer else TOP
    module = module[layer.end() :] if layer else module
    found = {theirs: ours for ours, theirs in known.items()}[module]
    return f"{prefix}{found}.{part}"


def permuted_heads(name: str, options: dict[str, Any]) -> int | None:
    """The number of heads of a tensor whose rows are permuted; None for others."""
    if options.get("model_type") == "llama":
        if ".attn_q." in name:
            return options["num_attention_heads"]
        if ".attn_k." in name:
            return options["num_key_value_heads"]
    return None


def permute(weights: np.ndarray, n_head: int) -> np.ndarray:
    """The rows of a llama's q or k in GGUF's order: (n_head D, ...) -> the same shape.

    Rotary embedding turns pairs of channels. Hugging Face's pairs are channels j and j + D/2 of a
    head, those of GGUF's llama are 2 j and 2 j + 1. So row 2 j + i of a head, with i = 0 or 1, is
    row i D/2 + j there. The order within a head does not change the product of q and k.
    """
    split = weights.reshape(n_head, 2, -1, *weights.shape[1:])  # (H, 2, D/2, ...)
    return split.swapaxes(1, 2).reshape(weights.shape)


def unpermute(weights: np.ndarray, n_head: int) -> np.ndarray:
    """The rows of a llama's q or k in Hugging Face's order: the inverse of ``permute``."""
    split = weights.reshape(n_head, -1, 2, *weights.shape[1:])  # (H, D/2, 2, ...)
    return split.swapaxes(1, 2).reshape(weights.shape)
