"""GGUF files that we write: what the gguf library, transformers and our reader find in them."""

import errno
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest
from small_models import KINDS, TEXT, VOCAB_SIZE, small_model, small_tokenizer
from transformers_models import MODELS, SIZES

from tinygrad_llm.errors import UserError
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.quantize import stored_matrices
from tinygrad_llm.pretrained import gguf_save, gguf_writer, save_pretrained
from tinygrad_llm.pretrained.encode import DTYPES, encoded
from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.pretrained.llama_config import from_options
from tinygrad_llm.quantized.blocks import dequantize

every_kind = pytest.mark.parametrize("kind", KINDS)
IDS = np.array([small_tokenizer().encode(TEXT)[:40]])


def saved(folder, kind, dtype="f32", change=None):
    """(A model, the path of its file)."""
    model = small_model(kind)
    if change:
        change(model)
    save_gguf(model, small_tokenizer(), folder / "model.gguf", dtype)
    return model, folder / "model.gguf"


def difference(found, expected):
    """The largest difference of two arrays, relative to the largest number."""
    return np.abs(found - expected).max() / np.abs(expected).max()


# --- what is in the file --------------------------------------------------------------------------


@every_kind
def test_our_reader_finds_the_model(kind, tmp_path):
    model, path = saved(tmp_path, kind)
    again = load_gguf(path)
    assert again.config == model.config if kind != "gpt2" else again.config.dropout == 0
    # Gemma's norms are stored as 1 + w, which is rounded.
    assert difference(again(IDS).data, model(IDS).data) <= (1e-5 if kind == "gemma3" else 0)


@every_kind
@pytest.mark.parametrize("weights", ["as-stored", "int8"])
def test_matrices_that_stay_as_they_are_stored(kind, weights, tmp_path):
    _, path = saved(tmp_path, kind, "q8_0")
    expected = load_gguf(path)(IDS).data
    found = load_gguf(path, weights=weights)
    assert {matrix.format for matrix in stored_matrices(found)} == {
        "Q8_0" if weights == "as-stored" else "INT8"
    }
    assert difference(found(IDS).data, expected) < (1e-5 if weights == "as-stored" else 0.1)


@every_kind
@pytest.mark.parametrize("dtype", ["f16", "bf16", "q8_0"])
def test_matrices_are_rounded_and_nothing_else(kind, dtype, tmp_path):
    exact = load_gguf(saved(tmp_path, kind)[1])
    _, path = saved(tmp_path, kind, dtype)
    found = dict(load_gguf(path).named_parameters())
    for name, parameter in exact.named_parameters():
        expected = parameter.data
        if expected.ndim == 2 and name != "wpe.weight":
            stored = [
                dequantize(piece, DTYPES[dtype]) for piece in encoded(expected, DTYPES[dtype], "")
            ]
            expected = np.concatenate(stored).reshape(expected.shape)
        np.testing.assert_array_equal(found[name].data, expected)


@every_kind
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_the_gguf_library_reads_it(kind, dtype, tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    _, path = saved(tmp_path, kind, dtype)
    ours, theirs = read_gguf(path), gguf.GGUFReader(path)
    assert [tensor.name for tensor in theirs.tensors] == list(ours.tensors)
    for tensor in theirs.tensors:
        assert tensor.tensor_type.name == ours.tensors[tensor.name].format
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(found, ours.read(tensor.name))
    for key, value in ours.metadata.items():
        value = value.tolist() if isinstance(value, np.ndarray) else value
        assert theirs.fields[key].contents() == value, key
    file_type = gguf.LlamaFileType(ours.metadata["general.file_type"]).name
    assert file_type == ("ALL_F32" if dtype == "f32" else f"MOSTLY_{dtype.upper()}")


@every_kind
def test_names_are_those_of_llama_cpps_converter(kind, tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    model, path = saved(tmp_path, kind)
    file = read_gguf(path)
    architecture = file.metadata["general.architecture"]
    known = {name: code for code, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    for key in file.metadata:
        of_gguf = key.replace(f"{architecture}.", "{arch}.", 1)
        constants = [*vars(gguf.Keys).values()]
        assert any(
            of_gguf in vars(group).values() for group in constants if isinstance(group, type)
        )
    names = gguf.get_tensor_name_map(known, model.config.n_layer)
    found = set()
    for name, _ in model.named_parameters():
        theirs = name if kind == "gpt2" or name.startswith("lm_head") else f"model.{name}"
        if kind != "gemma3":  # see llama.py
            theirs = theirs.replace("pre_feedforward", "post_attention")
        found.add(names.get_name(theirs, (".weight", ".bias")))
    assert found == set(file.tensors) - {"rope_freqs.weight"}


@every_kind
def test_transformers_finds_the_same_weights(kind, tmp_path):
    """Its reader forgets some options of the metadata, so only the tensors are taken from it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    model, path = saved(tmp_path, kind)
    save_pretrained(model, None, tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=theirs)["tensors"]
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    theirs.tie_weights()
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(IDS)).logits.numpy()
    assert difference(model(IDS).data, expected) < 1e-5


def test_ids_without_a_token_are_unused(tmp_path):
    _, path = saved(tmp_path, "llama")
    metadata = read_gguf(path).metadata
    assert len(metadata["tokenizer.ggml.tokens"]) == VOCAB_SIZE
    assert metadata["tokenizer.ggml.tokens"][-2:] == ["[PAD281]", "[PAD282]"]
    assert metadata["tokenizer.ggml.token_type"][-4:].tolist() == [3, 5, 5, 5]


def test_rows_that_are_no_whole_blocks_become_f16(tmp_path):
    config = replace(small_model("llama").config, n_hidden=80)
    model = Llama(config, seed=3)
    with pytest.warns(UserWarning) as notes:
        save_gguf(model, small_tokenizer(), tmp_path / "model.gguf", "q8_0")
    assert [str(note.message) for note in notes] == [
        f"blk.{i}.ffn_down.weight is stored as F16: its rows have 80 weights, and Q8_0 needs a "
        "multiple of 32" for i in range(2)
    ]  # fmt: skip
    formats = {
        name: info.format for name, info in read_gguf(tmp_path / "model.gguf").tensors.items()
    }
    assert formats["blk.1.ffn_down.weight"] == "F16" and formats["blk.1.ffn_up.weight"] == "Q8_0"
    assert formats["blk.1.ffn_norm.weight"] == "F32"
    load_gguf(tmp_path / "model.gguf")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_written_exactly_or_refused(name, tmp_path):
    model_type, options = MODELS[name]
    options = {"num_hidden_layers": 3, "hidden_act": "silu"} | SIZES | options
    model = Llama(from_options({"model_type": model_type} | options), seed=0)
    path = tmp_path / "model.gguf"
    try:
        save_gguf(model, small_tokenizer(), path)
    except UserError as error:
        assert not path.exists()
        message = str(error)
        assert "safetensors" in message or "rope_freqs.weight" in message, message
        return
    assert load_gguf(path).config == model.config


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mistral", "of type mistral cannot be exported as GGUF: possible are gpt2, llama, qwen2"),
        (
            "Qwen2 with window",
            "qwen2 of GGUF has no place for sliding_window = 5, sliding_layers =",
        ),
        ("Gemma 3 with its options", "gemma3 of GGUF has no place for activation = gelu"),
        ("Llama 3", "is not the scaling of Llama 3.1 to 3.3"),
    ],
)
def test_what_is_said_of_a_model_without_a_place(name, words, tmp_path):
    model_type, options = MODELS[name]
    options = {"num_hidden_layers": 3, "hidden_act": "silu"} | SIZES | options
    model = Llama(from_options({"model_type": model_type} | options), seed=0)
    with pytest.raises(UserError, match=re.escape(words)):
        save_gguf(model, small_tokenizer(), tmp_path / "model.gguf")


def test_a_dtype_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="dtype is 'q4_0', but must be one of f32, f16, bf16, q8_0"):
        save_gguf(small_model("llama"), small_tokenizer(), tmp_path / "model.gguf", "q4_0")


def test_a_weight_too_large_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="tensor blk.1.ffn_up.weight cannot be stored as F16"):
        saved(
            tmp_path,
            "llama",
            "f16",
            lambda model: model.layers[1].mlp.up_proj.weight.data.fill(7e4),
        )
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(weights, form, name):
        yield np.zeros(8, np.uint8)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_writer, "encoded", full)
    with pytest.raises(OSError, match="No space left"):
        saved(tmp_path, "llama")
    assert [*tmp_path.iterdir()] == []


def test_one_tensor_at_a_time(tmp_path, monkeypatch):
    """A changed tensor is made when it is written, and let go before the next."""
    alive, most = [], []
    make = gguf_writer.DraftTensor

    def counting(shape, form, change):
        def made():
            array = change()
            if change.func is not gguf_save._same:
                alive.append(weakref.ref(array))
            most.append(sum(ref() is not None for ref in alive))
            return array

        return make(shape, form, made)

    monkeypatch.setattr(gguf_save, "DraftTensor", counting)
    saved(tmp_path, "gemma3")
    assert len(alive) == 43 and max(most) <= 2
