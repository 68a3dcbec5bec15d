"""Small models as transformers builds and saves them, with random weights.

transformers' float64 is not: it computes normalization, angles and softmax in float32, whatever the
type of the model. ``exact()`` turns these conversions into conversions to float64.
"""

import json
from contextlib import contextmanager

import numpy as np
import pytest

SIZES = {
    "vocab_size": 67, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 8.0}

MODELS = {
    "TinyLlama": ("llama", {}),
    "SmolLM2": ("llama", {"tie_word_embeddings": True}),
    "Llama 3": ("llama", {"rope_parameters": LLAMA3, "rms_norm_eps": 1e-5, "head_dim": 12}),
    "Llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "Llama with yarn": ("llama", {"rope_parameters": YARN}),
    "Mistral": ("mistral", {"sliding_window": 6}),
    "Mistral without window": ("mistral", {"sliding_window": None, "head_dim": 6}),
    "Qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "Qwen2 with window": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
    ),
    "Qwen3": ("qwen3", {"head_dim": 10}),
    "SmolLM3": ("smollm3", {"num_hidden_layers": 4}),
    "SmolLM3 with window": (
        "smollm3",
        {"use_sliding_window": True, "sliding_window": 5, "no_rope_layers": [1, 0, 1]},
    ),
    "Phi-3": ("phi3", {"sliding_window": 7}),
    "Phi-3 that turns half": (
        "phi3", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}
    ),
    "OLMo 2": ("olmo2", {}),
    "Gemma 3": (
        "gemma3_text",
        {"num_hidden_layers": 7, "head_dim": 10, "sliding_window": 6, "query_pre_attn_scalar": 16},
    ),
    "Gemma 2": (
        "gemma2",
        {
            "head_dim": 10, "sliding_window": 6, "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 20,
        },
    ),
    "Gemma 3 with its options": (
        "gemma3_text",
        {
            "head_dim": 10, "sliding_window": 4,
            "final_logit_softcapping": 3.0, "hidden_activation": "gelu",
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": LINEAR,
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            },
        },
    ),
}  # fmt: skip
"""The Llama family: a name -> (model_type, options that differ from SIZES)."""
ALL_MODELS = {**MODELS, "GPT-2": ("gpt2", {})}


@contextmanager
def exact():
    """float64 where transformers asks for float32."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.overrides import TorchFunctionMode

    def wide(value):
        return torch.float64 if value is torch.float32 else value

    class Wide(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.Tensor.float:
                return args[0].double()
            args = tuple(map(wide, args))
            return function(*args, **{k: wide(v) for k, v in (kwargs or {}).items()})

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Wide():
            yield
    finally:
        torch.set_default_dtype(before)


def build(name, seed=0):
    """A model of ALL_MODELS, in float64, in evaluation mode. Call it within ``exact()``."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model_type, options = ALL_MODELS[name]
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **options})
    config.dtype = torch.float64
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.tensor(0.3 * rng.standard_normal(parameter.shape)))
    return model.eval()


def change_config(directory, change):
    """Let ``change`` edit the options of a config.json."""
    path = directory / "config.json"
    options = json.loads(path.read_text())
    change(options)
    path.write_text(json.dumps(options))
