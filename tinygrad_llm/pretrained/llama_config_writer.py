"""Writing the config.json of a LlamaConfig.

There is one function for all model types. It computes every option that any of them reads; the
first model_type that makes the same LlamaConfig from its options is the one that is written.
"""

import math

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.llama_config import ACTIVATIONS, MODEL_TYPES, Options, from_options

SHARED = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
    "num_key_value_heads head_dim max_position_embeddings rms_norm_eps tie_word_embeddings "
    "rope_parameters"
).split()
"""What the file of every model_type has."""


def to_options(config: LlamaConfig) -> Options:
    """The content of a config.json from which ``read_config`` makes this very ``config``.

    Raises UserError if no model_type combines its options in this way.
    """
    written = _written(config)
    for name, kind in MODEL_TYPES.items():
        options = {"architectures": [kind.architecture], "model_type": name}
        options |= {key: written[key] for key in (*SHARED, *kind.options.split())}
        try:
            found = from_options(options)
        except UserError:
            continue
        if found == config:
            return options
    raise UserError(
        f"no model_type combines the options of {config}: to be opened by transformers, a model "
        f"must be like one of {', '.join(MODEL_TYPES)}"
    )


def _written(config: LlamaConfig) -> Options:
    """Every option of config.json that describes ``config``, for whatever model_type."""
    scale = 1 / math.sqrt(config.head_dim)
    scale = config.attention_scale if config.attention_scale is not None else scale
    rope: Options = {"rope_type": "default", **(config.rope_scaling or {})}
    rope |= {"rope_theta": config.rope_theta}
    if config.rope_share != 1:
        rope["partial_rotary_factor"] = config.rope_share
    if config.rope_theta_sliding is not None:
        sliding = {"rope_type": "default", "rope_theta": config.rope_theta_sliding}
        rope = {"full_attention": rope, "sliding_attention": sliding}
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    names["gelu_tanh"] = "gelu_pytorch_tanh"
    layers = range(config.n_layer)
    windows = [config.window(i) is not None for i in layers]
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": config.n_hidden,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.block_size,
        "hidden_act": names[config.activation],
        "hidden_activation": names[config.activation],
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "attention_bias": config.out_bias,
        "mlp_bias": config.mlp_bias,
        "rope_parameters": rope,
        "sliding_window": config.sliding_window,
        "use_sliding_window": config.sliding_window is not None,
        "max_window_layers": windows.index(True) if any(windows) else config.n_layer,
        "layer_types": ["sliding_attention" if slides else "full_attention" for slides in windows],
        "no_rope_layers": [int(config.has_rope(i)) for i in layers],
        "query_pre_attn_scalar": round(scale**-2),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
    }
