"""config.json of the Llama family: both styles, defaults, and what is refused."""

import json
import tracemalloc
from dataclasses import replace

import pytest

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.llama_config import MODEL_TYPES, read_config
from tinygrad_llm.pretrained.llama_config_writer import to_options

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA3 = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def config_of(folder, model_type, **options):
    options = {**SIZES, "model_type": model_type, **options}
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in options.items() if v != "absent"}))
    return read_config(path)[1]


@pytest.mark.parametrize(
    "model_type, before, since_5",
    [
        ("llama", {"rope_theta": 5e5}, {"rope_parameters": {"rope_theta": 5e5}}),
        (
            "llama",
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
            {"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", **LLAMA3}},
        ),
        (
            "qwen2",
            {"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0}},
            {
                "rope_parameters": {
                    "rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0,
                    "original_max_position_embeddings": 64,
                }
            },
        ),
        (
            "qwen3",
            {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3},
            {
                "use_sliding_window": True, "sliding_window": 5,
                "layer_types": [*["full_attention"] * 3, "sliding_attention"],
            },
        ),
        ("smollm3", {"no_rope_layer_interval": 2}, {"no_rope_layers": [1, 0, 1, 0]}),
        (
            "phi3",
            {"partial_rotary_factor": 0.5, "rope_theta": 1e4},
            {"rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 1e4}},
        ),
        (
            "gemma3_text",
            {
                "rope_theta": 2e6, "rope_local_base_freq": 20.0, "sliding_window_pattern": 3,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
            {
                "rope_parameters": {
                    "full_attention": {"rope_theta": 2e6, "rope_type": "linear", "factor": 8.0},
                    "sliding_attention": {"rope_theta": 20.0, "rope_type": "default"},
                },
                "layer_types": [
                    "sliding_attention", "sliding_attention", "full_attention", "sliding_attention"
                ],
            },
        ),
    ],
)  # fmt: skip
def test_both_styles_say_the_same(tmp_path, model_type, before, since_5):
    config = config_of(tmp_path, model_type, **before)
    assert config == config_of(tmp_path, model_type, **since_5)
    assert config != config_of(tmp_path, model_type)


def test_what_each_model_type_is(tmp_path):
    configs = {name: config_of(tmp_path, name) for name in MODEL_TYPES}
    llama = configs["llama"]
    assert llama == LlamaConfig(61, 64, 4, 4, 2, 32, 48)
    assert llama.head_dim == 8
    assert configs["mistral"] == replace(llama, sliding_window=4096)
    assert configs["qwen2"] == replace(llama, qkv_bias=True)
    assert configs["qwen3"] == replace(llama, qk_norm="head", head_dim=128)
    three_of_four = (True, True, True, False)
    assert configs["smollm3"] == replace(
        llama, tied=True, rope_theta=2e6, rope_layers=three_of_four
    )
    assert configs["phi3"] == replace(llama, norm_eps=1e-5)
    assert configs["olmo2"] == replace(llama, norm_eps=1e-5, norm_placement="after", qk_norm="all")
    gemma2 = replace(
        llama, head_dim=256, tied=True, activation="gelu_tanh", norm_placement="both",
        norm_offset=True, embedding_scale=32**0.5, attention_scale=1 / 16, attention_softcap=50.0,
        logit_softcap=30.0, sliding_window=4096, sliding_layers=(True, False, True, False),
    )  # fmt: skip
    assert configs["gemma2"] == gemma2
    assert configs["gemma3_text"] == replace(
        gemma2, attention_softcap=None, logit_softcap=None, qk_norm="head", rope_theta=1e6,
        rope_theta_sliding=1e4, sliding_layers=(True,) * 4,
    )  # fmt: skip


@pytest.mark.parametrize("name", MODEL_TYPES)
def test_what_is_written_is_read_as_the_same(tmp_path, name):
    config = config_of(tmp_path, name)
    options = to_options(config)
    (tmp_path / "config.json").write_text(json.dumps(options))
    model_type, found = read_config(tmp_path / "config.json")
    assert found == config
    assert model_type == ("llama" if name == "phi3" else name)  # the same mathematics


def test_a_head_of_any_size_is_read_in_little_memory(tmp_path):
    """A config.json may say anything; only the tensors show whether it is true."""
    tracemalloc.start()
    config = config_of(tmp_path, "llama", head_dim=10**8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert config.head_dim == 10**8 and peak < 16 << 20


def test_options_that_no_model_type_combines_are_refused():
    config = LlamaConfig(61, 64, 2, 4, 2, 32, 48, qk_norm="all")
    with pytest.raises(UserError, match="no model_type combines the options"):
        to_options(config)


@pytest.mark.parametrize(
    "model_type, options, words",
    [
        ("mamba", {}, ['model_type "mamba" is not supported', "llama, mistral, qwen2", "gemma2"]),
        ("gemma3", {}, ['model_type "gemma3" is not supported', "gemma3_text"]),
        ("llama", {"model_type": "absent"}, ["model_type is missing"]),
        ("llama", {"vocab_size": "absent"}, ["vocab_size is missing"]),
        ("llama", {"hidden_size": "32"}, ['hidden_size is "32"']),
        ("llama", {"hidden_size": 10**12}, ["hidden_size is 1000000000000"]),
        ("llama", {"num_hidden_layers": 10**9}, ["num_hidden_layers is 1000000000", "10000"]),
        ("llama", {"num_attention_heads": 5}, ["n_embd is 32 and n_head 5"]),
        ("llama", {"num_key_value_heads": 3}, ["n_head is 4 and n_kv_head 3"]),
        ("llama", {"head_dim": 7}, ["would turn 7 channels"]),
        ("llama", {"hidden_act": "relu"}, ["activation 'relu'", "silu"]),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2}}, ["'dynamic'", "llama3"]),
        ("llama", {"rope_scaling": {"rope_type": "linear"}}, ["needs factor"]),
        ("llama", {"rope_scaling": {"rope_type": "x" * 10**5}}, ["'xxx", "xxx ... ", "llama3"]),
        ("llama", {"rope_parameters": {"rope_theta": "x"}}, ["rope_theta is 'x'"]),
        ("llama", {"rope_parameters": {"rope_type": 3}}, ["rotary scaling 3"]),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, ["partial_rotary_factor"]),
        ("llama", {"quantization_config": {"bits": 4}}, ["quantized by", "GGUF files"]),
        ("qwen3", {"quantization_config": {"quant_method": "awq"}}, ['quantized by "awq"', "BF16"]),
        ("phi3", {"rope_scaling": {"type": "longrope", "factor": 2}}, ["'longrope'", "phi3"]),
        ("phi3", {"partial_rotary_factor": 7}, ["partial_rotary_factor is 7"]),
        ("qwen3", {"layer_types": ["full_attention", "linear"]}, ["layer_types", '"linear"']),
        (
            "qwen3",
            {"use_sliding_window": True, "layer_types": ["full_attention"]},
            ["sliding_layers has 1 entries", "4 layers"],
        ),
        ("smollm3", {"no_rope_layers": [1, 1]}, ["rope_layers has 2 entries"]),
        (
            "smollm3",
            {"no_rope_layers": [1], "use_sliding_window": True, "sliding_window": 4},
            ["rope_layers has 1 entries"],
        ),
        ("gemma3_text", {"use_bidirectional_attention": True}, ["use_bidirectional_attention"]),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, ["attn_logit_softcapping"]),
        (
            "gemma3_text",
            {
                "rope_parameters": {
                    "full_attention": {},
                    "sliding_attention": {"rope_type": "linear", "factor": 2},
                }
            },
            ["sliding layers"],
        ),
        ("gemma3_text", {"rope_parameters": {"full_attention": [1]}}, ["rope_parameters"]),
    ],
)
def test_what_is_refused(tmp_path, model_type, options, words):
    with pytest.raises(UserError) as caught:
        config_of(tmp_path, **{"model_type": model_type, **options})
    message = str(caught.value)
    assert "\n" not in message and message.count("config.json") == 1 and len(message) < 700
    for word in words:
        assert word in message, message
