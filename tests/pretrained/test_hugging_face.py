"""Model directories: bit-exact round trip, transformers' view of them, and files that are wrong."""

import json

import numpy as np
import pytest
from model_files import change_tensors, split

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT
from tinygrad_llm.pretrained import load_model, save_model, save_pretrained
from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors

CONFIG = GPTConfig(
    vocab_size=61, block_size=16, n_layer=2, n_head=2, n_embd=16, dropout=0.1,
    layer_norm_epsilon=1e-2,
)  # fmt: skip


def generic_model(seed=0):
    model, rng = GPT(CONFIG), np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.2 * rng.standard_normal(parameter.shape))
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    model = generic_model()
    save_model(model, tmp_path / "model", bos_token_id=60, eos_token_id=60)
    return model, tmp_path / "model"


def change_config(directory, **options):
    path = directory / "config.json"
    config = {**json.loads(path.read_text()), **options}
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


# --- round trip -----------------------------------------------------------------------------


def test_round_trip_is_bit_exact(saved):
    model, directory = saved
    model.wte.weight.data[0, :4] = [np.nan, -0.0, 1e-45, np.inf]
    save_model(model, directory)
    loaded = load_model(directory, finite=False)
    assert loaded.config == model.config and not loaded.training
    for name, value in loaded.state_dict().items():
        assert value.tobytes() == model.state_dict()[name].tobytes(), name
        assert value.flags.c_contiguous and value.flags.writeable


def test_what_is_written(saved):
    model, directory = saved
    assert sorted(p.name for p in directory.iterdir()) == ["config.json", "model.safetensors"]
    tensors = read_tensors(directory / "model.safetensors")
    assert set(tensors) == {"transformer." + name for name in model.state_dict()}
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (16, 48)  # (in, out)
    config = json.loads((directory / "config.json").read_text())
    assert config["n_positions"] == 16 and config["eos_token_id"] == 60
    assert config["architectures"] == ["GPT2LMHeadModel"]


def test_same_model_gives_the_same_bytes(saved, tmp_path):
    model, directory = saved
    save_model(load_model(directory), tmp_path / "again", bos_token_id=60, eos_token_id=60)
    for name in ("config.json", "model.safetensors"):
        assert (directory / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_names_without_prefix_and_buffers_are_accepted(saved):
    model, directory = saved

    def strip(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 16, 16), bool))
        tensors["h.1.attn.masked_bias"] = np.array(-1e4, np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"].copy()

    change_tensors(directory, strip)
    loaded = load_model(directory)
    np.testing.assert_array_equal(loaded.h[1].mlp.c_fc.weight.data, model.h[1].mlp.c_fc.weight.data)


def test_a_model_that_is_not_float32_is_refused(tmp_path):
    with pytest.raises(ValueError, match="wte.weight is float64"):
        save_model(GPT(CONFIG).astype(np.float64), tmp_path / "model")
    assert not (tmp_path / "model").exists()


# --- numbers of other types, several files --------------------------------------------------


@pytest.mark.parametrize(
    "dtype, relative, files", [("f16", 2**-11, 1), ("bf16", 2**-8, 1), ("f16", 2**-11, 2)]
)
def test_half_precision(saved, tmp_path, dtype, relative, files):
    model, _ = saved
    save_pretrained(model, None, tmp_path / "half", dtype)
    if files == 2:
        split(tmp_path / "half")
    loaded = load_model(tmp_path / "half")
    for name, value in loaded.state_dict().items():
        exact = model.state_dict()[name]
        assert value.dtype == np.float32 and value.flags.c_contiguous and value.flags.writeable
        np.testing.assert_allclose(value, exact, rtol=relative, atol=1e-7, err_msg=name)
    assert not np.array_equal(loaded.wte.weight.data, model.wte.weight.data)


def test_float64_stays_exact(saved):
    _, directory = saved
    table = np.random.default_rng(0).standard_normal((61, 16))
    change_tensors(directory, lambda t: t.update({"transformer.wte.weight": table}))
    model = load_model(directory, dtype="float64")
    assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(model.wte.weight.data, table)


# --- transformers ---------------------------------------------------------------------------


@pytest.fixture
def transformers():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    return pytest.importorskip("transformers", reason="transformers is not installed")


def their_logits(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids)).logits.numpy()


def test_transformers_opens_what_we_save(saved, transformers):
    model, directory = saved
    theirs, info = transformers.GPT2LMHeadModel.from_pretrained(directory, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], kind
    ids = np.random.default_rng(0).integers(0, 61, (2, 16))
    expected = their_logits(theirs.eval(), ids)
    assert np.abs(model(ids).data - expected).max() < 1e-4
    assert np.abs(expected).max() > 1
    assert theirs.config.eos_token_id == 60 and theirs.config.n_positions == 16


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("size", ["1GB", "40KB"])
def test_we_open_what_transformers_saves(tmp_path, transformers, dtype, size):
    import torch

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=53, n_positions=12, n_embd=24, n_layer=3, n_head=3, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs = theirs.to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path, max_shard_size=size)
    assert (tmp_path / "model.safetensors").exists() == (size == "1GB")
    model, theirs = load_model(tmp_path), theirs.float()
    assert model.config.dropout == 0.1 and not model.training
    ids = np.random.default_rng(0).integers(0, 53, (2, 12))
    expected = their_logits(theirs, ids)
    assert np.abs(model(ids).data - expected).max() < 1e-4
    assert np.abs(expected).max() > 1


# --- files that are wrong -------------------------------------------------------------------


def refused(directory, *words):
    with pytest.raises(UserError) as caught:
        load_model(directory)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(directory), *words):
        assert word in message, message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(saved, name):
    (saved[1] / name).unlink()
    refused(saved[1], "there is no file", name)


def test_missing_directory(tmp_path):
    refused(tmp_path / "nowhere", "there is no file")


@pytest.mark.parametrize("keep", [0, 5, 8, 200, -1])
def test_truncated_weights(saved, keep):
    path = saved[1] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(saved[1], "model.safetensors", "not a whole .safetensors file")


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + b"0" * 100, b"\xff" * 64, (1 << 62).to_bytes(8, "little") + b"{}", b"{}"],
)
def test_foreign_weights(saved, content):
    (saved[1] / "model.safetensors").write_bytes(content)
    refused(saved[1], "not a whole .safetensors file")


def test_trailing_bytes(saved):
    path = saved[1] / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"more")
    refused(saved[1], "not a whole .safetensors file")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop("transformer.h.1.ln_2.bias"), ["no tensor h.1.ln_2.bias"]),
        (lambda t: t.update(score=np.ones(3, np.float32)), ['tensor "score"']),
        (
            lambda t: t.update({"transformer.wpe.weight": np.ones((8, 16), np.float32)}),
            ["wpe.weight", "(8, 16)", "(16, 16)"],
        ),
        (
            lambda t: t.update({"transformer.ln_f.bias": np.ones(16, np.int32)}),
            ["ln_f.bias is of type I32: supported are F64, F32, F16, BF16"],
        ),
        (
            lambda t: t.update({"lm_head.weight": np.ones((61, 16), np.float32)}),
            ["lm_head.weight differs", "not tied"],
        ),
        (lambda t: t.update({"ln_f.bias": np.ones(16, np.float32)}), ["has both"]),
    ],
)
def test_wrong_tensors(saved, change, words):
    change_tensors(saved[1], change)
    refused(saved[1], *words)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"model_type": "llama"}, ['model_type is "llama"']),
        ({"model_type": "absent"}, ["model_type is missing"]),
        ({"activation_function": "relu"}, ['activation_function is "relu"']),
        ({"tie_word_embeddings": False}, ["tie_word_embeddings is false"]),
        ({"scale_attn_by_inverse_layer_idx": True}, ["scale_attn_by_inverse_layer_idx"]),
        ({"n_inner": 100}, ["n_inner is 100", "64"]),
        ({"n_layer": "2"}, ['n_layer is "2"']),
        ({"n_layer": True}, ["n_layer is true"]),
        ({"n_embd": "absent"}, ["n_embd is missing"]),
        ({"n_head": 3}, ["n_embd must be a multiple"]),
        ({"n_layer": -1}, ["n_layer is -1"]),
        ({"resid_pdrop": "much"}, ['resid_pdrop is "much"']),
        ({"layer_norm_epsilon": float("nan")}, ["it contains NaN"]),
        ({"n_layer": 1}, ['tensor "transformer.h.1', "1 layers"]),
        ({"n_layer": 10**9}, ["no tensor h.2.ln_1.weight"]),  # and no list of that length
        ({"n_embd": 10**9}, ["(61, 16)", "(61, 1000000000)"]),  # and no such array
    ],
)
def test_wrong_config(saved, options, words):
    change_config(saved[1], **options)
    refused(saved[1], *words)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b" " * (1 << 21)])
def test_config_that_is_not_one(saved, text):
    (saved[1] / "config.json").write_bytes(text)
    refused(saved[1], "config.json")


# --- writing --------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_model_and_nothing_else(saved, monkeypatch):
    model, directory = saved
    before = {p.name: p.read_bytes() for p in directory.iterdir()}
    model.ln_f.bias.assign_(np.ones(16))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(model, directory)
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == before


def test_tensor_file_keeps_types_shapes_and_layouts(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "b": rng.standard_normal((3, 4)).T,
        "a": rng.standard_normal((2, 3, 4)).astype(np.float32)[:, ::2],
        "scalar": np.array(3.5, np.float16),
        "empty": np.zeros((0, 5), np.int64),
        "bool": np.array([True, False, True]),
        "big": np.arange(3, dtype=">i4"),
    }
    write_tensors(tmp_path / "t", tensors, {"format": "pt"})
    found = read_tensors(tmp_path / "t")
    assert set(found) == set(tensors)
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype.newbyteorder("="), name
        assert found[name].shape == value.shape, name
        np.testing.assert_array_equal(found[name], value)
    with pytest.raises(TypeError, match="tensor c is complex128"):
        write_tensors(tmp_path / "t", {"c": np.ones(1, complex)})
