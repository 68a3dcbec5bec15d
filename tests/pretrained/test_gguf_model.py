"""Models in GGUF files: the numbers of a Hugging Face directory, and what is refused."""

import struct

import numpy as np
import pytest
from gguf_bytes import file, info, pair, string, u32, u64
from hypothesis import given, settings, strategies as st
from mutations import mutants

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.rotary import frequencies
from tinygrad_llm.pretrained.gguf_file import GGUFFile, read_gguf
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.gguf_names import (
    SCHEMA,
    gguf_name,
    read_options,
    unpermute,
)

SIZES = {
    "block_count": 2, "context_length": 32, "embedding_length": 16, "feed_forward_length": 24,
    "attention.head_count": 4, "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
}  # fmt: skip
GEMMA = {"attention.key_length": 6, "attention.value_length": 6, "attention.sliding_window": 8}
SHARED = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
OWN = {  # our parameter -> GGUF's, where the architectures differ
    "llama": {"pre_feedforward_layernorm": "ffn_norm"},
    "qwen2": {"pre_feedforward_layernorm": "ffn_norm"},
    "qwen3": {
        "pre_feedforward_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
    },
    "gemma3": {
        "pre_feedforward_layernorm": "ffn_norm", "post_attention_layernorm": "post_attention_norm",
        "post_feedforward_layernorm": "post_ffw_norm", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
    },
}  # fmt: skip


def permute(weights, n_head):
    """The formula of llama.cpp's converter."""
    rows = weights.shape[0] // n_head // 2
    return (
        weights.reshape(n_head, 2, rows, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)
    )


def converted(model, kind):
    """The tensors of our model as llama.cpp's converter writes them: {GGUF's name: array}."""
    tensors = {}
    for name, parameter in model.named_parameters():
        array = parameter.data
        if ".q_proj." in name and kind == "llama":
            array = permute(array, model.config.n_head)
        if ".k_proj." in name and kind == "llama":
            array = permute(array, model.config.n_kv_head)
        if "norm" in name and kind == "gemma3":
            array = 1 + array
        module, part = name.rsplit(".", 1)
        words = module.split(".")
        if words[0] == "layers":
            own = ".".join(words[2:])
            new = f"blk.{words[1]}.{(SHARED | OWN[kind])[own]}.{part}"
        else:
            new = SHARED.get(module, SHARED.get(f"model.{module}")) + f".{part}"
        tensors[new] = array
    return tensors


def value(key, of):
    if isinstance(of, str):
        return pair(key, 8, string(of))
    if isinstance(of, list):
        return pair(key, 9, u32(4) + u64(len(of)) + struct.pack(f"<{len(of)}I", *of))
    return pair(key, 6, struct.pack("<f", of)) if isinstance(of, float) else pair(key, 4, u32(of))


def write(path, kind, facts, tensors):
    pairs = [] if kind is None else [value("general.architecture", kind)]
    for key, of in facts.items():
        pairs.append(value(key if key.startswith("split.") else f"{kind}.{key}", of))
    infos, data = [], b""
    for name, array in tensors.items():
        infos.append(info(name, array.shape, "F32", len(data)))
        data += array.astype("<f4").tobytes()
        data += bytes(-len(data) % 32)
    path.write_bytes(file(pairs, infos, data))
    return path


def a_model(kind, **options):
    sizes = dict(vocab_size=19, block_size=32, n_layer=2, n_head=4, n_kv_head=2, n_embd=16)
    if kind == "gemma3":
        options |= {"norm_placement": "both", "norm_offset": True, "qk_norm": "head", "head_dim": 6}
        options |= {"tied": True}
    model = Llama(LlamaConfig(**sizes, n_hidden=24, **options), seed=3)
    rng = np.random.default_rng(4)
    for _, parameter in model.named_parameters():
        shape = parameter.shape
        parameter.data = rng.uniform(-0.4, 0.9, shape).astype(np.float32)
    return model


def a_file(folder, kind="llama", facts=None, change=None, **options):
    tensors = converted(a_model(kind, **options), kind)
    if change:
        change(tensors)
    facts = SIZES | (GEMMA if kind == "gemma3" else {}) | (facts or {})
    facts = {key: of for key, of in facts.items() if of is not None}
    return write(folder / "model.gguf", kind, facts, tensors)


# --- models that are right ------------------------------------------------------------------------


@pytest.mark.parametrize("n_head", [1, 2, 4])
@pytest.mark.parametrize("shape", [(24, 5), (24,)], ids=["weight", "bias"])
def test_unpermute_undoes_the_converters_formula(n_head, shape):
    rows = np.arange(np.prod(shape)).reshape(shape)
    assert not np.array_equal(permute(rows, n_head), rows)
    np.testing.assert_array_equal(unpermute(permute(rows, n_head), n_head), rows)
    pairs = unpermute(np.arange(8), 1)  # channels 2 j and 2 j + 1 become j and j + D/2
    assert pairs.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "kind, options",
    [("llama", {}), ("llama", {"tied": True}), ("gemma3", {}),
     ("qwen2", {"qkv_bias": True}), ("qwen3", {"qk_norm": "head"}),
     ("llama", {"qkv_bias": True, "out_bias": True, "mlp_bias": True})],
)  # fmt: skip
def test_every_parameter_arrives(tmp_path, kind, options, dtype):
    model = load_gguf(a_file(tmp_path, kind, **options), dtype)
    expected = dict(a_model(kind, **options).named_parameters())
    found = dict(model.named_parameters())
    assert found.keys() == expected.keys() and not model.training
    for name, parameter in found.items():
        assert parameter.dtype == dtype
        atol = 1e-7 if kind == "gemma3" and "norm" in name else 0  # 1 + w was rounded
        np.testing.assert_allclose(parameter.data, expected[name].data, rtol=0, atol=atol)


def test_options_of_a_llama(tmp_path):
    options = read_options(read_gguf(a_file(tmp_path, facts={"rope.freq_base": 5e5})))
    assert options == {
        "model_type": "llama", "vocab_size": 19, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
        "rope_scaling": None, "tie_word_embeddings": False, "attention_bias": False,
        "mlp_bias": False,
    }  # fmt: skip


def test_options_of_a_gemma3(tmp_path):
    facts = {"rope.freq_base": 1e6, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
    path = a_file(tmp_path, "gemma3", facts)
    options = read_options(read_gguf(path))
    assert {key: options[key] for key in ("head_dim", "sliding_window", "rope_theta")} == {
        "head_dim": 6, "sliding_window": 8, "rope_theta": 1e6
    }  # fmt: skip
    assert options["query_pre_attn_scalar"] == 6 and options["tie_word_embeddings"]
    config = load_gguf(path).config
    assert config.rope_theta_sliding == 10000 and config.embedding_scale == 4
    assert config.rope_scaling == {"rope_type": "linear", "factor": 8.0}
    assert config.attention_scale == 6**-0.5 and config.sliding_layers == (True, True)


def test_scalings_of_a_llama(tmp_path):
    facts = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    facts["rope.scaling.original_context_length"] = 16
    found = load_gguf(a_file(tmp_path, facts=facts)).config.rope_scaling
    expected = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    assert found == expected
    for kind in ("llama", "gemma3"):  # a factor without a type is linear
        config = load_gguf(a_file(tmp_path, kind, {"rope.scaling.factor": 2.0})).config
        assert config.rope_scaling == {"rope_type": "linear", "factor": 2.0}
        facts = {"rope.scaling.type": "none", "rope.scaling.factor": 2.0}
        assert load_gguf(a_file(tmp_path, kind, facts)).config.rope_scaling is None


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_scaling_of_llama3_is_recognized(tmp_path, factor):
    """The file has divisors of the frequencies: the scaling that they come from is found."""
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    theta, head_dim = 5e5, 64
    divisors = frequencies(head_dim, theta)[0] / frequencies(head_dim, theta, scaling)[0]
    facts = {"rope.freq_base": theta, "attention.key_length": 64}
    path = a_file(
        tmp_path, facts=facts, head_dim=64,
        change=lambda t: t.update({"rope_freqs.weight": divisors}),
    )  # fmt: skip
    assert read_options(read_gguf(path))["rope_scaling"] == scaling
    load_gguf(path)
    divisors[5] *= 1.01
    path = a_file(
        tmp_path, facts=facts, head_dim=64,
        change=lambda t: t.update({"rope_freqs.weight": divisors}),
    )  # fmt: skip
    refused(path, "rope_freqs.weight is not the scaling of Llama 3.1")


def test_names():
    name = "layers.1.post_attention_layernorm.weight"
    assert gguf_name(f"model.{name}", "llama") == "blk.1.ffn_norm.weight"
    assert gguf_name(f"model.{name}", "gemma3") == "blk.1.post_attention_norm.weight"
    assert gguf_name("model.layers.12.self_attn.q_proj.bias", "qwen2") == "blk.12.attn_q.bias"
    assert gguf_name("model.embed_tokens.weight", "llama") == "token_embd.weight"


# --- models that are wrong ------------------------------------------------------------------------


def refused(path, *words):
    with pytest.raises(UserError) as caught:
        load_gguf(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message, message


@pytest.mark.parametrize(
    "facts, words",
    [
        ({"block_count": None}, ["llama", "block_count", "is missing"]),
        ({"block_count": 0}, ["block_count", "is 0, expected a whole number from 1"]),
        ({"block_count": 3}, ["no tensor blk.2.", "shape (16, 16)"]),
        ({"block_count": 1}, ['a tensor "blk.1.', "a llama with", "does not have"]),
        ({"block_count": 2**32 - 1}, ["block_count"]),
        ({"embedding_length": 24}, ["token_embd.weight has shape (19, 16)", "(19, 24)"]),
        ({"attention.head_count": 0}, ["attention.head_count", "is 0"]),
        ({"attention.head_count": "4"}, ["attention.head_count", 'is "4"']),
        ({"attention.head_count": 8}, ["attn_k.weight has shape (8, 16)", "(4, 16)"]),
        ({"attention.head_count_kv": 3}, ["n_kv_head"]),
        ({"attention.head_count_kv": [2, 2]}, ["attention.head_count_kv", "is a list"]),
        ({"attention.layer_norm_rms_epsilon": float("nan")}, ["rms_epsilon", "NaN"]),
        ({"attention.value_length": 8}, ["attention.value_length is 8, and only 4"]),
        ({"rope.dimension_count": 2}, ["rope.dimension_count is 2, and only 4"]),
        ({"rope.scaling.type": "longrope"}, ["rope.scaling.type", '"longrope"', "linear"]),
        ({"rope.scaling.type": "linear"}, ["linear, but no rope.scaling.factor"]),
        ({"rope.freq_base": float("inf")}, ["rope.freq_base", "is Infinity"]),
        ({"expert_count": 8}, ["expert_count", "is 8, expected 0"]),
        ({"split.count": 2}, ["one part of a model that was split"]),
        ({"split.count": [1, 1]}, ["one part of a model that was split"]),
        (
            {
                "rope.freq_base": 1.0,
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": 2.0,
                "rope.scaling.original_context_length": 64,
            },
            ["'yarn' needs a rope_theta above 1"],
        ),
    ],
)
def test_metadata_that_do_not_fit(tmp_path, facts, words):
    refused(a_file(tmp_path, facts=facts), *words)


@pytest.mark.parametrize("kind", ["mamba", None])
def test_an_architecture_that_is_not_supported(tmp_path, kind):
    path = write(tmp_path / "model.gguf", kind, {}, {})
    known = "supported are gpt2, llama, qwen2, qwen3, gemma3"
    refused(path, "architecture", known, kind or "does not name")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop("blk.1.attn_q.weight"), ["no tensor blk.1.attn_q.weight of", "(16, 16)"]),
        (lambda t: t.pop("token_embd.weight"), ["no tensor token_embd.weight"]),
        (lambda t: t.update({"token_embd.weight": np.ones(4)}), ["token_embd.weight with two"]),
        (lambda t: t.update({"blk.0.attn_q.weight": np.ones((8, 16))}), ["(8, 16)", "(16, 16)"]),
        (lambda t: t.update({"blk.9.attn_q.weight": np.ones((4, 4))}), ["blk.9.attn_q.weight"]),
        (lambda t: t.update({"blk.0.attn_q_norm.weight": np.ones(4)}), ["attn_q_norm", "(4,)"]),
        (lambda t: t.update({"v.patch.weight": np.ones(4)}), ["v.patch.weight", "(4,)"]),
        (lambda t: t.update({"output_norm.weight": np.full(16, np.nan)}), ["16 of the 16", "NaN"]),
        (lambda t: t.update({"rope_freqs.weight": np.ones(1)}), ["not the scaling of Llama 3.1"]),
        (lambda t: t.update({"rope_freqs.weight": np.array([1, np.inf])}), ["not the scaling"]),
        (lambda t: t.update({"rope_freqs.weight": np.array([1, np.nan])}), ["not the scaling"]),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit(tmp_path, change, words):
    refused(a_file(tmp_path, change=change), *words)


def test_frequencies_of_another_shape_are_not_read(tmp_path, monkeypatch):
    """They may be as long as the file, and many times as long in float64."""
    path = a_file(tmp_path, change=lambda t: t.update({"rope_freqs.weight": np.ones(1000)}))
    monkeypatch.setattr(GGUFFile, "read", lambda *args: pytest.fail("it was read"))
    refused(path, "not the scaling of Llama 3.1")


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@pytest.mark.parametrize("times", [150, pytest.param(20_000, marks=pytest.mark.soak)])
def test_damaged_models(tmp_path, kind, times):
    """A file with damage in its header: a model, or one sentence."""
    path = a_file(tmp_path, kind)
    whole = path.read_bytes()
    begin = min(tensor.begin for tensor in read_gguf(path).tensors.values())
    refusals = 0
    for header in mutants(whole[:begin], times, seed=1):
        path.write_bytes(header + whole[begin:])
        try:
            load_gguf(path)
        except UserError as error:
            assert str(error).isprintable() and len(str(error)) < 2000
            refusals += 1
    assert refusals > times / 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(
    st.sampled_from([key.removesuffix("?") for key in SCHEMA]),
    st.sampled_from([0, 1, 3, 5, 2**31 - 1, 2**32 - 1, 0.0, -1.0, 1e-45, 3e38, float("inf"),
                     float("nan"), "yarn", "linear", "", [], [2, 2]]),
    min_size=1, max_size=4,
))  # fmt: skip
def test_strange_metadata(tmp_path_factory, facts):
    """No value of any key raises anything but a sentence, and none takes time or memory."""
    for kind in ("llama", "gemma3"):
        path = a_file(tmp_path_factory.mktemp("model"), kind, facts)
        try:
            load_gguf(path)
        except UserError as error:
            assert str(error).isprintable() and len(str(error)) < 2000
