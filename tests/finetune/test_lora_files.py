"""Files of adapters from strangers: what is wrong is one sentence, and the model stays as it is."""

import json

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.lora import adapter_names, add_lora, load_adapter, save_adapter
from tinygrad_llm.finetune.peft_config import AdapterConfig, config_text, read_config
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.model.quantize import quantize_model
from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors

IDS = np.random.default_rng(0).integers(0, VOCAB_SIZE, (2, 12))
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def folder(tmp_path):
    """An adapter of rank 4 on q_proj and k_proj of the small Llama, and of a name for the base."""
    model = add_lora(small_model("llama"), 4, targets=["q_proj", "k_proj"])
    for _, parameter in trainable_parameters(model):
        parameter.assign_(parameter.data + 0.1)
    save_adapter(model, tmp_path, base="small/llama")
    return tmp_path


def change_options(folder, **options):
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def change_tensors(folder, change):
    tensors = {name: np.array(array) for name, array in read_tensors(folder / WEIGHTS).items()}
    change(tensors)
    write_tensors(folder / WEIGHTS, tensors)


def test_saved_and_loaded(folder):
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    options = json.loads((folder / CONFIG).read_text())
    assert options["target_modules"] == ["k_proj", "q_proj"] and options["r"] == 4
    assert options["base_model_name_or_path"] == "small/llama" and options["lora_alpha"] == 16
    first, second = small_model("llama"), quantize_model(small_model("llama"))
    for model in (first, second):
        load_adapter(model, folder, "mine")
        assert adapter_names(model) == ["mine"] and len(trainable_parameters(model)) == 8
    save_adapter(second, folder / "again")
    for name in (CONFIG, WEIGHTS):
        if name == WEIGHTS:  # the base has nothing to do with it
            assert (folder / name).read_bytes() == (folder / "again" / name).read_bytes()
    with pytest.raises(UserError, match="the model has an adapter 'mine' already"):
        load_adapter(first, folder, "mine")


def test_an_adapter_that_is_not_the_active_one_is_saved(folder, tmp_path):
    model = small_model("llama")
    load_adapter(model, folder, "first")
    add_lora(model, 2, targets="v_proj", name="second")
    save_adapter(model, tmp_path / "first", "first")
    assert (tmp_path / "first" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    with pytest.raises(UserError, match="the model has no adapter 'third'"):
        save_adapter(model, tmp_path / "third", "third")
    with pytest.raises(UserError, match="the model has no active adapter"):
        save_adapter(small_model("llama"), tmp_path / "none")
    assert not (tmp_path / "third").exists() and not (tmp_path / "none").exists()


def test_the_config_of_an_adapter_survives(tmp_path):
    config = AdapterConfig(
        r=3, alpha=2.5, dropout=0.25, use_rslora=True, use_dora=True, targets=("a", "b.c"),
        rank_pattern={"b.c": 5}, alpha_pattern={"a": 1.5}, base="name",
    )  # fmt: skip
    path = tmp_path / CONFIG
    path.write_text(config_text(config, fan_in_fan_out=False))
    assert read_config(path) == config
    assert config.rank_and_alpha("model.b.c") == (5, 2.5)
    assert config.rank_and_alpha("model.xb.c") == (3, 2.5)
    assert config.rank_and_alpha("model.a") == (3, 1.5)


OPTIONS = [
    ({"peft_type": "IA3"}, 'peft_type is "IA3", expected "LORA"'),
    ({"r": 0}, "r is 0, expected a whole number"),
    ({"r": 8}, "lora_A.weight of layers.0.self_attn.k_proj has shape (4, 64), expected (8, 64) for "
     "a rank of 8 and a layer with 64 inputs and 32 outputs"),
    ({"lora_alpha": "16"}, 'lora_alpha is "16", expected a number'),
    ({"lora_dropout": 1}, "lora_dropout is 1, expected a number from 0 to 0.999"),
    ({"bias": "all"}, 'bias is "all", expected "none"'),
    ({"use_dora": True}, "lora_magnitude_vector of layers.0.self_attn.k_proj is missing"),
    ({"init_lora_weights": "loftq"}, 'init_lora_weights is "loftq", expected true or false or'),
    ({"layer_replication": [[0, 2]]}, 'the option "layer_replication" is a list'),
    ({"alora_invocation_tokens": [1]}, 'the option "alora_invocation_tokens" is a list'),
    ({"trainable_token_indices": [1]}, 'the option "trainable_token_indices" is a list'),
    ({"use_qalora": True}, 'the option "use_qalora" is true'),
    ({"an_option_of_tomorrow": 1}, 'the option "an_option_of_tomorrow" is 1, and an adapter with it'
     " is not supported: it would change the result"),
    ({"rank_pattern": {"(a+)+": 2}}, 'rank_pattern has "(a+)+", and only names of layers'),
    ({"rank_pattern": {"q_proj": "2"}}, 'rank_pattern.q_proj is "2", expected a whole number'),
    ({"target_modules": ["q_proj", "k_proj", "v_proj"]},
     "has no tensors for layers.0.self_attn.v_proj of this Llama, which the target_modules of its "
     'adapter_config.json mean: the adapter belongs to another base, "small/llama"'),
]  # fmt: skip


@pytest.mark.parametrize("options, words", OPTIONS, ids=[next(iter(o)) for o, _ in OPTIONS])
def test_options(folder, options, words):
    change_options(folder, **options)
    refused(folder, words)


@pytest.mark.parametrize(
    "options",
    [
        {"megatron_core": "megatron.core", "loftq_config": {}, "megatron_config": None},
        {"task_type": None, "inference_mode": False, "fan_in_fan_out": True},
        {"target_modules": ".*(q|k)_proj"},
        {"target_modules": ["q_proj", "k_proj", "v_proj"], "exclude_modules": ["v_proj"]},
        {"bias": "none", "lora_bias": False, "an_option_of_tomorrow": None},
    ],
)
def test_options_that_change_nothing(folder, options):
    expected, model = small_model("llama"), small_model("llama")
    load_adapter(expected, folder)
    change_options(folder, **options)
    load_adapter(model, folder)
    np.testing.assert_array_equal(model(IDS).data, expected(IDS).data)


def refused(folder, words, kind="llama"):
    """The adapter is refused with this sentence, and the model is as before."""
    model = small_model(kind)
    before = model(IDS).data
    with pytest.raises(UserError) as error:
        load_adapter(model, folder)
    assert words in str(error.value) and "\n" not in str(error.value)
    np.testing.assert_array_equal(model(IDS).data, before)
    assert adapter_names(model) == [] and len(trainable_parameters(model)) == len(
        model.parameters()
    )


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.clear(), "has no tensors for layers.0.self_attn.q_proj"),
        (lambda t: t.pop(f"{Q}.lora_B.weight"),
         "lora_B.weight of layers.0.self_attn.q_proj is missing: the file is not whole"),
        (lambda t: t.update({f"{Q}.lora_B.weight": np.ones((32, 4), np.float32)}),
         "lora_B.weight of layers.0.self_attn.q_proj has shape (32, 4), expected (64, 4) for a "
         "rank of 4 and a layer with 64 inputs and 64 outputs: the adapter belongs to another "
         'base, "small/llama"'),
        (lambda t: t.update({f"{Q}.lora_A.weight": np.ones((4, 64, 1), np.float32)}),
         "has shape (4, 64, 1)"),
        (lambda t: t.update({f"{Q}.lora_A.weight": np.ones((4, 64), np.int32)}),
         "is of type I32: supported are F64, F32, F16, BF16"),
        (lambda t: t.update({f"{Q}.lora_A.weight": np.full((4, 64), np.nan, np.float32)}),
         "256 of the 256 numbers of tensor layers.0.self_attn.q_proj.A are NaN or infinite"),
        (lambda t: t.update({f"{Q}.lora_magnitude_vector": np.ones(64, np.float32)}),
         "lora_magnitude_vector of layers.0.self_attn.q_proj is there, but use_dora in "
         "adapter_config.json is false"),
        (lambda t: t.update({f"{Q}.lora_B.bias": np.ones(64, np.float32)}),
         'q_proj.lora_B.bias", which is no part of an adapter on a linear layer'),
        (lambda t: t.update({f"{Q}x.lora_A.weight": np.ones((4, 64), np.float32)}),
         "but this Llama has no linear layer of this name, only layers.*.self_attn.q_proj, "),
        (lambda t: t.update({"x.lora_A.weight": np.ones((4, 64), np.float32)}),
         "no part of an adapter"),
    ],
)  # fmt: skip
def test_tensors(folder, change, words):
    change_tensors(folder, change)
    refused(folder, words)


def test_another_architecture(folder):
    refused(folder, "this GPT has no linear layer of this name, only h.*.attn.c_attn,", "gpt2")
    refused(folder, "belongs to another base", "gemma3")  # more layers


def test_files_that_are_missing_or_damaged(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-1])
    refused(folder, "is not a whole .safetensors file")
    (folder / WEIGHTS).unlink()
    refused(folder, "adapter_model.safetensors: only weights in safetensors format are read")
    (folder / CONFIG).write_text("{")
    refused(folder, "is not whole JSON")
    (folder / CONFIG).unlink()
    refused(folder, "adapter_config.json: is")


def test_names_without_a_model_around_it(folder):
    """PEFT on a model without output layer leaves "model." out."""
    expected, model = small_model("llama"), small_model("llama")
    load_adapter(expected, folder)
    change_tensors(
        folder,
        lambda t: [t.update({k.replace("model.model.", "model."): t.pop(k)}) for k in list(t)],
    )
    load_adapter(model, folder)
    np.testing.assert_array_equal(model(IDS).data, expected(IDS).data)
