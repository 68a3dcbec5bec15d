"""A damaged model directory of the Llama family gets a sentence, or loads and computes."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
from mutations import json_mutants, mutants

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Llama
from tinygrad_llm.pretrained import load_pretrained, save_llama
from tinygrad_llm.pretrained.llama_config import MODEL_TYPES, read_config
from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors

IDS = np.array([[0, 3, 1, 2]])
LARGEST = 64 << 20  # bytes; the whole model has 20,000
MODELS = {
    "llama": LlamaConfig(
        8, 16, 2, 4, 2, 16, 24,
        rope_scaling={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    "gemma3_text": LlamaConfig(
        8, 16, 2, 4, 2, 16, 24, norm_placement="both", norm_offset=True, qk_norm="head", tied=True,
        activation="gelu_tanh", embedding_scale=4.0, attention_scale=0.5, rope_theta_sliding=100.0,
        sliding_window=2, sliding_layers=(True, False),
    ),
    "smollm3": LlamaConfig(
        8, 16, 2, 4, 2, 16, 24, rope_layers=(True, False), sliding_window=2,
        sliding_layers=(False, True),
    ),
}  # fmt: skip


def make(folder, model_type):
    """A directory with two files of weights and an index."""
    save_llama(Llama(MODELS[model_type]), folder)
    assert read_config(folder / "config.json")[0] == model_type
    tensors = read_tensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for file in set(where.values()):
        write_tensors(folder / file, {n: t for n, t in tensors.items() if where[n] == file})
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def loads(folder):
    """Whether it loads; then it must compute. Neither takes more memory than LARGEST."""
    tracemalloc.start()
    try:
        model, _ = load_pretrained(folder)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500, str(error)
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LARGEST
    with np.errstate(all="ignore"):  # weights may be of any size
        ids = IDS[:, : model.config.block_size]
        assert model(ids).shape == (*ids.shape, 8)
    return True


def run(tmp_path, count, seed):
    loaded = refused = 0
    for model_type in MODELS:
        whole = make(tmp_path / model_type, model_type)
        assert loads(whole)
        for path in sorted(whole.iterdir()):
            data = path.read_bytes()
            damaged = [*mutants(data, count, seed)]
            if path.suffix == ".json":
                damaged += json_mutants(json.loads(data), 2 * count, seed)
            for mutant in damaged:
                path.write_bytes(mutant)
                if loads(whole):
                    loaded += 1
                else:
                    refused += 1
            path.write_bytes(data)
        shutil.rmtree(whole)
    return loaded, refused


def test_damaged_directories(tmp_path):
    loaded, refused = run(tmp_path, 12, 0)
    assert loaded > 20 and refused > 100


@pytest.mark.soak
def test_many_damaged_directories(tmp_path):
    for seed in range(1, 6):
        run(tmp_path, 100, seed)


OPTIONS = {
    "vocab_size": 8, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
    "max_position_embeddings": 16, "hidden_act": "silu", "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": False,
    "rope_theta": 1e4, "rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": 32},
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e4},
        "sliding_attention": {"rope_type": "default", "partial_rotary_factor": 1.0},
    },
    "rope_local_base_freq": 100.0, "partial_rotary_factor": 1.0, "sliding_window": 4,
    "original_max_position_embeddings": 8, "use_sliding_window": True, "max_window_layers": 1,
    "layer_types": ["full_attention", "sliding_attention"], "no_rope_layers": [1, 0],
    "no_rope_layer_interval": 2, "sliding_window_pattern": 2, "query_pre_attn_scalar": 4,
    "final_logit_softcapping": 30.0,
}  # fmt: skip


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_damaged_options(tmp_path, model_type):
    path = tmp_path / "config.json"
    read = 0
    for start in range(0, len(OPTIONS), 10):  # only the first keys of an object are changed
        turned = [*OPTIONS.items()][start:] + [*OPTIONS.items()][:start]
        for mutant in json_mutants({**dict(turned), "model_type": model_type}, 60, start):
            path.write_bytes(mutant)
            try:
                read += isinstance(read_config(path)[1], LlamaConfig)
            except UserError as error:
                assert "\n" not in str(error) and len(str(error)) < 1500
    assert model_type == "phi3" or read > 10
