"""Reading a config.json of the Llama family: a LlamaConfig from the options of each model_type.

A model_type is a set of options with defaults of its own. What all of them share is read in one
place, ``_shared``; what one of them adds is a function of a few lines, listed in ``MODEL_TYPES``.
Files come in two styles, and both are read: transformers 5 puts everything about rotary embedding
into ``rope_parameters`` (for Gemma one for each kind of layer) and lists ``layer_types``; earlier
versions have ``rope_theta``, ``rope_scaling`` and others next to each other.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Number, Whole, read_json, short, short_reason
from tinygrad_llm.model.rotary import frequencies
from tinygrad_llm.pretrained.directory import check_config_exists

Options = dict[str, Any]

MAX_LAYERS = 10_000
_SIZE = Whole(1, 2**31 - 1)
_FLAG = (bool, None)
_POSITIVE = (Number(1e-30), None)
CONFIG_SCHEMA = {
    "model_type": str,
    "vocab_size": _SIZE,
    "hidden_size": _SIZE,
    "intermediate_size": _SIZE,
    "num_hidden_layers": Whole(1, MAX_LAYERS),
    "num_attention_heads": _SIZE,
    "num_key_value_heads?": (_SIZE, None),
    "head_dim?": (_SIZE, None),
    "max_position_embeddings": _SIZE,
    "hidden_act?": str,
    "hidden_activation?": (str, None),
    "rms_norm_eps?": Number(0),
    "tie_word_embeddings?": bool,
    "attention_bias?": _FLAG,
    "mlp_bias?": _FLAG,
    "rope_theta?": _POSITIVE,
    "rope_scaling?": (dict, None),
    "rope_parameters?": (dict, None),
    "rope_local_base_freq?": _POSITIVE,
    "partial_rotary_factor?": (Number(0, 1), None),
    "original_max_position_embeddings?": (_SIZE, None),
    "sliding_window?": (_SIZE, None),
    "use_sliding_window?": _FLAG,
    "max_window_layers?": (Whole(0), None),
    "sliding_window_pattern?": (_SIZE, None),
    "layer_types?": ([("full_attention", "sliding_attention")], None),
    "no_rope_layers?": ([(0, 1)], None),
    "no_rope_layer_interval?": (_SIZE, None),
    "query_pre_attn_scalar?": Number(1e-30),
    "attn_logit_softcapping?": _POSITIVE,
    "final_logit_softcapping?": _POSITIVE,
    # These would change the mathematics; the values here are the ones we compute.
    "use_bidirectional_attention?": (False, None),
    ...: object,
}
"""Hugging Face's config of a model of the Llama family, as far as we use it."""

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
"""transformers' name of an activation -> ours."""


def read_config(path: str | os.PathLike) -> tuple[str, LlamaConfig]:
    """(model_type, LlamaConfig) of a config.json.

    Raises UserError for a file that is missing or not such a config, for a model_type that is not
    supported, and for options with which it would compute something other than our Llama.
    """
    path = Path(path)
    model_type = read_model_type(path)
    if model_type not in MODEL_TYPES:
        raise UserError(
            f"{path}: model_type {short(model_type)} is not supported: supported are "
            f"{', '.join(MODEL_TYPES)}"
        )
    options = read_json(path, CONFIG_SCHEMA)
    try:
        return model_type, from_options(options)
    except ValueError as error:  # UserError is one
        raise UserError(f"{path}: {short_reason(error)}") from error


def read_model_type(path: Path) -> str:
    """The model_type of a config.json, whatever model it describes.

    Raises UserError if its weights are quantized, which safetensors does in ways of its own.
    """
    check_config_exists(path)
    schema = {"model_type": str, "quantization_config?": (dict, None), ...: object}
    options = read_json(path, schema)
    if quantized := options.get("quantization_config"):
        method = short(quantized.get("quant_method", "an unnamed method"))
        raise UserError(
            f"{path}: the weights are quantized by {method}, which is not supported: supported are "
            "safetensors files of F64, F32, F16 or BF16, and quantized weights in GGUF files"
        )
    return options["model_type"]


def from_options(options: Options) -> LlamaConfig:
    """The LlamaConfig of the options of a config.json that fits CONFIG_SCHEMA."""
    model_type = options["model_type"]
    config = MODEL_TYPES[model_type].read(options)
    if config.rope_share != 1 and model_type != "phi3":
        raise UserError(f"partial_rotary_factor is set, which has no meaning in a {model_type}")
    # It refuses what it must whatever the size of a head, which may be a lie in this file.
    frequencies(min(config.n_turned, 2), config.rope_theta, config.rope_scaling)
    return config


# --- what all share ------------------------------------------------------------------------------


def _shared(options: Options, **defaults: Any) -> LlamaConfig:
    """The options that all model_types read in the same way; ``defaults`` are this one's."""
    options = defaults | options
    name = options.get("hidden_activation") or options.get("hidden_act", "silu")
    if name not in ACTIVATIONS:
        raise UserError(
            f"the activation {name!r} is not supported: supported are {', '.join(ACTIVATIONS)}"
        )
    return LlamaConfig(
        vocab_size=options["vocab_size"],
        block_size=options["max_position_embeddings"],
        n_layer=options["num_hidden_layers"],
        n_head=options["num_attention_heads"],
        n_kv_head=options.get("num_key_value_heads") or 0,
        n_embd=options["hidden_size"],
        n_hidden=options["intermediate_size"],
        head_dim=options.get("head_dim") or 0,
        activation=ACTIVATIONS[name],  # type: ignore[arg-type]
        norm_eps=float(options.get("rms_norm_eps", 1e-6)),
        tied=options.get("tie_word_embeddings", False),
        **_rope(options),
    )


def _rope(options: Options) -> Options:
    """rope_theta, rope_scaling and rope_share, from either style."""
    rope = dict(options.get("rope_scaling") or options.get("rope_parameters") or {})
    theta = rope.pop("rope_theta", None) or options.get("rope_theta") or 10000.0
    share = rope.pop("partial_rotary_factor", None) or options.get("partial_rotary_factor") or 1.0
    for key, value in (("rope_theta", theta), ("partial_rotary_factor", share)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise UserError(f"{key} is {value!r}, expected a number above 0")
    kind = rope.pop("type", None)
    kind = rope.pop("rope_type", kind)
    scaling = None if kind in (None, "default") else {"rope_type": kind, **rope}
    if scaling and kind in ("llama3", "yarn"):  # where transformers looks for the longest text
        longest = options["max_position_embeddings"]
        scaling.setdefault("original_max_position_embeddings", longest)
        if options.get("original_max_position_embeddings") is not None:
            scaling["original_max_position_embeddings"] = options[
                "original_max_position_embeddings"
            ]
    return {"rope_theta": float(theta), "rope_share": float(share), "rope_scaling": scaling}


def _sliding(options: Options, slides: Callable[[int], bool]) -> Options:
    """sliding_layers from layer_types, or from ``slides`` where the file has none."""
    types = options.get("layer_types")
    layers = range(options["num_hidden_layers"])
    if types is None:
        return {"sliding_layers": tuple(slides(i) for i in layers)}
    return {"sliding_layers": tuple(kind == "sliding_attention" for kind in types)}


# --- what each adds ------------------------------------------------------------------------------


def _llama(options: Options) -> LlamaConfig:
    bias = bool(options.get("attention_bias"))
    mlp_bias = bool(options.get("mlp_bias"))
    return replace(_shared(options), qkv_bias=bias, out_bias=bias, mlp_bias=mlp_bias)


def _mistral(options: Options) -> LlamaConfig:
    return replace(_shared(options), sliding_window=options.get("sliding_window", 4096))


_QWEN = "use_sliding_window sliding_window max_window_layers layer_types"


def _qwen2(options: Options) -> LlamaConfig:
    config = replace(_shared(options), qkv_bias=True)
    return _qwen_window(config, options)


def _qwen3(options: Options) -> LlamaConfig:
    bias = bool(options.get("attention_bias"))
    config = _shared(options, head_dim=128)
    return _qwen_window(replace(config, qkv_bias=bias, out_bias=bias, qk_norm="head"), options)


def _qwen_window(config: LlamaConfig, options: Options) -> LlamaConfig:
    """A window, where it is used at all, in the layers from max_window_layers on."""
    window = options.get("sliding_window", 4096) if options.get("use_sliding_window") else None
    if window is None:
        return config
    first = options.get("max_window_layers", 28)
    return replace(config, sliding_window=window, **_sliding(options, lambda i: i >= first))


def _smollm3(options: Options) -> LlamaConfig:
    interval = options.get("no_rope_layer_interval") or 4
    rope = options.get("no_rope_layers")  # 1 means: with rotary embedding
    if rope is None:
        rope = [int((i + 1) % interval != 0) for i in range(options["num_hidden_layers"])]
    defaults = {"num_key_value_heads": 4, "tie_word_embeddings": True, "rope_theta": 2e6}
    config = _shared(options, **defaults)
    config = replace(config, rope_layers=tuple(map(bool, rope)))
    bias = bool(options.get("attention_bias"))
    mlp_bias = bool(options.get("mlp_bias"))
    config = replace(config, qkv_bias=bias, out_bias=bias, mlp_bias=mlp_bias)
    if not options.get("use_sliding_window") or options.get("sliding_window") is None:
        return config
    layers = _sliding(options, lambda i: not rope[i])
    return replace(config, sliding_window=options["sliding_window"], **layers)


def _phi3(options: Options) -> LlamaConfig:
    config = _shared(options, rms_norm_eps=1e-5)
    if config.rope_scaling is not None:
        raise UserError(
            f"rotary scaling {config.rope_scaling['rope_type']!r} of a phi3 is not supported: "
            "supported are those without scaling, with up to 4,096 tokens"
        )
    return replace(config, sliding_window=options.get("sliding_window"))


def _olmo2(options: Options) -> LlamaConfig:
    bias = bool(options.get("attention_bias"))
    config = _shared(options, rms_norm_eps=1e-5)
    return replace(config, norm_placement="after", qk_norm="all", qkv_bias=bias, out_bias=bias)


_GEMMA = (
    "hidden_activation attention_bias sliding_window layer_types query_pre_attn_scalar "
    "final_logit_softcapping"
)


def _gemma(options: Options, pattern: int, **defaults: Any) -> LlamaConfig:
    """What both generations share; one of ``pattern`` layers sees everything, the others slide."""
    config = _shared(
        options, head_dim=256, num_key_value_heads=4, hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True, **defaults,
    )  # fmt: skip
    return replace(
        config,
        norm_placement="both",
        norm_offset=True,
        qkv_bias=bool(options.get("attention_bias")),
        out_bias=bool(options.get("attention_bias")),
        embedding_scale=math.sqrt(options["hidden_size"]),
        attention_scale=options.get("query_pre_attn_scalar", 256) ** -0.5,
        sliding_window=options.get("sliding_window", 4096),
        **_sliding(options, lambda i: (i + 1) % pattern != 0),
    )


def _gemma2(options: Options) -> LlamaConfig:
    return replace(
        _gemma(options, 2),
        attention_softcap=options.get("attn_logit_softcapping", 50.0),
        logit_softcap=options.get("final_logit_softcapping", 30.0),
    )


def _gemma3(options: Options) -> LlamaConfig:
    """Two kinds of layers, each with a rotary base; only the full ones' frequencies are scaled."""
    if options.get("attn_logit_softcapping") is not None:
        raise UserError("attn_logit_softcapping is set, which has no meaning in a Gemma 3")
    rope = options.get("rope_parameters") or {}
    full, sliding = rope.get("full_attention") or {}, rope.get("sliding_attention") or {}
    if not isinstance(full, dict) or not isinstance(sliding, dict):
        raise UserError("rope_parameters has no JSON objects full_attention and sliding_attention")
    full = full | (options.get("rope_scaling") or {})
    config = _gemma(
        {**options, "rope_scaling": None, "rope_parameters": full},
        options.get("sliding_window_pattern") or 6,
        rope_theta=1e6,
    )
    theta = options.get("rope_local_base_freq") or 10000.0
    local = _rope(
        {**options, "rope_theta": theta, "rope_scaling": sliding, "rope_parameters": None}
    )
    if local["rope_scaling"] is not None:
        raise UserError("rope_parameters scales the frequencies of sliding layers: not supported")
    return replace(
        config,
        qk_norm="head",
        logit_softcap=options.get("final_logit_softcapping"),
        rope_theta_sliding=local["rope_theta"],
    )


@dataclass(frozen=True)
class ModelType:
    """A value of model_type: transformers' class, our reader, and the options it adds."""

    architecture: str
    read: Callable[[Options], LlamaConfig]
    options: str


MODEL_TYPES = {
    "llama": ModelType("LlamaForCausalLM", _llama, "hidden_act attention_bias mlp_bias"),
    "mistral": ModelType("MistralForCausalLM", _mistral, "hidden_act sliding_window"),
    "qwen2": ModelType("Qwen2ForCausalLM", _qwen2, f"hidden_act {_QWEN}"),
    "qwen3": ModelType("Qwen3ForCausalLM", _qwen3, f"hidden_act attention_bias {_QWEN}"),
    "smollm3": ModelType(
        "SmolLM3ForCausalLM",
        _smollm3,
        "hidden_act attention_bias mlp_bias no_rope_layers "
        "use_sliding_window sliding_window layer_types",
    ),
    "phi3": ModelType("Phi3ForCausalLM", _phi3, "hidden_act sliding_window"),
    "olmo2": ModelType("Olmo2ForCausalLM", _olmo2, "hidden_act attention_bias"),
    "gemma2": ModelType("Gemma2ForCausalLM", _gemma2, f"attn_logit_softcapping {_GEMMA}"),
    "gemma3_text": ModelType("Gemma3ForCausalLM", _gemma3, _GEMMA),
}
"""The supported values of model_type."""
