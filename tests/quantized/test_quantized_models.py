"""Models whose matrices are stored quantized compute what their dequantized twins compute."""

import numpy as np
import pytest
from gguf_bytes import file, info, pair, string, u32

from autograd import Parameter, no_grad
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.quantize import (
    matrix_layers,
    quantize_model,
    set_weight,
    stored_matrices,
)
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.llama import load_llama, save_llama
from tinygrad_llm.quantized.blocks import FORMATS

V, IDS = 67, np.array([[1, 5, 66, 0, 7, 7], [2, 3, 4, 5, 6, 8]])
LLAMA = {"vocab_size": V, "block_size": 32, "n_layer": 2, "n_head": 4, "n_kv_head": 2,
         "n_embd": 64, "n_hidden": 96}  # fmt: skip


def a_gpt():
    return GPT(GPTConfig(vocab_size=V, block_size=32, n_layer=2, n_head=4, n_embd=64)).eval()


def a_llama(**options):
    return Llama(LlamaConfig(**LLAMA, **options)).eval()


def dequantized(model):
    """The same model with numbers in place of its quantized matrices; tied ones stay tied."""
    done = {}
    for layer in matrix_layers(model):
        matrix = layer.weight
        done.setdefault(id(matrix), (matrix, Parameter(matrix.dequantize())))
        set_weight(layer, done[id(matrix)][1])
    return model


MODELS = {"gpt": a_gpt, "llama": a_llama, "tied": lambda: a_llama(tied=True),
          "softcap": lambda: a_llama(logit_softcap=5.0)}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_int8_equals_its_dequantized_twin(kind):
    model, twin = quantize_model(MODELS[kind]()), dequantized(quantize_model(MODELS[kind]()))
    layers = list(matrix_layers(model))
    assert layers and not any(isinstance(layer.weight, Parameter) for layer in layers)
    with no_grad():
        np.testing.assert_allclose(model(IDS).data, twin(IDS).data, rtol=0, atol=2e-5)
    loss, expected = model.loss(IDS, IDS), twin.loss(IDS, IDS)
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-5)
    loss.backward()
    expected.backward()
    gradients = dict(twin.named_parameters())
    names = [name for name, _ in model.named_parameters()]
    assert names and all("norm" in n or "ln_" in n or "bias" in n or "wpe" in n for n in names)
    for name, parameter in model.named_parameters():  # what is left learns as before
        np.testing.assert_allclose(
            parameter.grad.data, gradients[name].grad.data, rtol=1e-3, atol=1e-6
        )


def test_int8_is_close_to_the_model_it_came_from():
    model = a_llama()
    with no_grad():
        before = model(IDS).data
        after = quantize_model(model)(IDS).data
    assert 0 < np.abs(after - before).max() < 0.05 * np.abs(before).max()


def test_tied_weights_are_one_matrix():
    model = quantize_model(a_llama(tied=True))
    assert model.head is model.embed_tokens.weight
    assert len(stored_matrices(model)) == 1 + 7 * 2
    assert len(stored_matrices(quantize_model(a_llama()))) == 2 + 7 * 2
    assert len(stored_matrices(quantize_model(a_gpt()))) == 1 + 4 * 2


# --- files ----------------------------------------------------------------------------------------


def a_file(folder, form):
    """A llama whose matrices are random blocks of one format."""
    rng, C, M, D = np.random.default_rng(5), 256, 256, 64
    shapes = {"token_embd.weight": (V, C), "output_norm.weight": (C,)}
    for name, shape in (
        ("attn_norm", (C,)), ("attn_q", (4 * D, C)), ("attn_k", (2 * D, C)), ("attn_v", (2 * D, C)),
        ("attn_output", (C, 4 * D)), ("ffn_norm", (C,)), ("ffn_gate", (M, C)), ("ffn_up", (M, C)),
        ("ffn_down", (C, M)),
    ):  # fmt: skip
        shapes[f"blk.0.{name}.weight"] = shape
    infos, data = [], b""
    for name, shape in shapes.items():
        kind = form if len(shape) == 2 else "F32"
        layout, size = FORMATS[kind].layout, FORMATS[kind].size
        n = int(np.prod(shape)) // size
        blocks = np.frombuffer(rng.bytes(n * layout.itemsize), layout).copy()
        for field in ("d", "m"):
            if field in layout.names:
                blocks[field] = rng.uniform(1e-4, 1e-3, n)
        if "w" in layout.names:
            numbers = rng.normal(0, 0.05, n).astype(np.float32)
            blocks["w"] = numbers.view(np.uint32) >> 16 if kind == "BF16" else numbers
        infos.append(info(name, shape, kind, len(data)))
        data += blocks.tobytes()
        data += bytes(-len(data) % 32)
    facts = {"block_count": 1, "context_length": 32, "embedding_length": C, "vocab_size": V,
             "feed_forward_length": M, "attention.head_count": 4,
             "attention.head_count_kv": 2}  # fmt: skip
    pairs = [pair("general.architecture", 8, string("llama"))]
    pairs += [pair(f"llama.{key}", 4, u32(value)) for key, value in facts.items()]
    epsilon = np.float32(1e-5).tobytes()
    pairs += [pair("llama.attention.layer_norm_rms_epsilon", 6, epsilon)]
    (folder / "model.gguf").write_bytes(file(pairs, infos, data))
    return folder / "model.gguf"


@pytest.mark.parametrize("form", FORMATS)
def test_as_stored_equals_float32(tmp_path, form):
    path = a_file(tmp_path, form)
    expected, model = load_gguf(path), load_gguf(path, weights="as-stored")
    with no_grad():
        np.testing.assert_allclose(model(IDS).data, expected(IDS).data, rtol=0, atol=5e-5)
        few = IDS[:1, :3]
        np.testing.assert_allclose(model(few).data, expected(few).data, rtol=0, atol=5e-5)
    stored = {"Q5_0": "Q8_0"}.get(form, form)
    formats = {matrix.format for matrix in stored_matrices(model)}
    assert formats == (set() if form in ("Q5_1", "Q2_K", "Q3_K", "Q5_K") else {stored})


def test_int8_of_a_file_equals_int8_of_the_model(tmp_path):
    path = a_file(tmp_path, "Q8_0")
    one, other = load_gguf(path, weights="int8"), quantize_model(load_gguf(path))
    with no_grad():
        np.testing.assert_array_equal(one(IDS).data, other(IDS).data)


@pytest.mark.parametrize("form", ["F32", "F16", "BF16", "Q8_0", "Q4_K"])
def test_as_stored_weights_must_be_finite_too(tmp_path, form):
    path = a_file(tmp_path, form)
    data = bytearray(path.read_bytes())
    data[-4:] = b"\xff\xff\xff\xff"  # the last numbers of ffn_down
    layout = FORMATS[form].layout
    if "d" in layout.names:
        at = len(data) - layout.itemsize + layout.fields["d"][1]
        data[at : at + 2] = b"\x00\x7e"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"ffn_down.weight .*NaN"):
        load_gguf(path, weights="as-stored")
    load_gguf(path, weights="as-stored", finite=False)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_directory_is_used_as_stored(tmp_path, dtype, tied):
    save_llama(a_llama(tied=tied), tmp_path, dtype=dtype)
    expected, model = load_llama(tmp_path), load_llama(tmp_path, weights="as-stored")
    assert {matrix.format for matrix in stored_matrices(model)} == {dtype.upper()}
    with no_grad():
        np.testing.assert_allclose(model(IDS).data, expected(IDS).data, rtol=0, atol=2e-5)
    int8, other = load_llama(tmp_path, weights="int8"), quantize_model(load_llama(tmp_path))
    with no_grad():
        np.testing.assert_array_equal(int8(IDS).data, other(IDS).data)


def test_weights_of_a_directory_must_be_finite_too(tmp_path):
    model = a_llama()
    model.layers[1].mlp.down_proj.weight.data[-1, -1] = np.nan
    save_llama(model, tmp_path, dtype="bf16")
    with pytest.raises(UserError, match=r"down_proj.weight .*NaN"):
        load_llama(tmp_path, weights="as-stored")
