"""The logit lens, attention maps and input gradients: each against an independent computation."""

import numpy as np
import pytest
from small_models import KINDS, VOCAB_SIZE, small_model
from transformers_models import ALL_MODELS, build, exact

from autograd import Parameter, Tensor, no_grad
from autograd.kernels.attention import reference as packed
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.inspect.lens import (
    attention_maps,
    input_gradients,
    layer_logits,
    logit_lens,
    residual_stream,
)
from tinygrad_llm.inspect.watch import parts_of, watched
from tinygrad_llm.model import GPT
from tinygrad_llm.model.quantize import matrix_layers, quantize_model
from tinygrad_llm.pretrained import load_pretrained

IDS = np.random.default_rng(7).integers(0, VOCAB_SIZE, 20)
IDS[12:17] = IDS[3:8]  # so that tokens are repeated
every_kind = pytest.mark.parametrize("kind", KINDS)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- the lens -------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_state_is_read_as_the_models_own_logits(kind, dtype):
    model = small_model(kind).astype(dtype)
    states = list(layer_logits(model, IDS))
    with no_grad():
        expected = model(IDS[None]).numpy()[0]
    np.testing.assert_array_equal(states[-1][1], expected)  # to the last bit
    assert logit_lens(model, IDS).difference == 0.0
    names = parts_of(model).names
    assert [name for name, _ in states] == ["embedding", *names]
    assert names[0] == ("h.0" if kind == "gpt2" else "layers.0")


@every_kind
def test_each_state_is_that_of_a_model_that_ends_there(kind):
    model = small_model(kind).astype("float64")
    found = dict(layer_logits(model, IDS))
    parts = parts_of(model)
    blocks = model.h if kind == "gpt2" else model.layers
    with no_grad():
        np.testing.assert_array_equal(
            found["embedding"], model.logits(parts.norm(model.embed(IDS[None]))).numpy()[0]
        )
        for name in reversed(parts.names):
            np.testing.assert_array_equal(found[name], model(IDS[None]).numpy()[0])
            del blocks[-1]


def test_the_numbers_of_a_state():
    model = small_model("llama")
    lens = logit_lens(model, IDS, top=3)
    for n, (_, logits) in enumerate(layer_logits(model, IDS)):
        p = softmax(logits.astype(np.float64))  # (T, V)
        for t in range(len(IDS)):
            order = sorted(range(VOCAB_SIZE), key=lambda j, t=t, p=p: (-p[t, j], j))
            assert lens.top_ids[n, t].tolist() == order[:3]
            assert lens.top_p[n, t] == pytest.approx(p[t, order[:3]], rel=1e-12)
            assert lens.entropy[n, t] == pytest.approx(-(p[t] @ np.log(p[t])), rel=1e-12)
            if t + 1 < len(IDS):
                assert order[lens.rank[n, t] - 1] == IDS[t + 1]
                assert lens.logp[n, t] == pytest.approx(np.log(p[t, IDS[t + 1]]), rel=1e-12)
    assert lens.rank.shape == lens.logp.shape == (3, len(IDS) - 1)


def test_where_a_prediction_is_settled():
    lens = logit_lens(small_model("gemma3"), IDS)
    best = lens.top_ids[..., 0]
    for t, n in enumerate(lens.settled):
        assert (best[n:, t] == best[-1, t]).all() and (n == 0 or best[n - 1, t] != best[-1, t])
    assert len(set(lens.settled.tolist())) > 1


def test_more_ids_than_there_are():
    model = GPT(GPTConfig(vocab_size=3, block_size=4, n_layer=1, n_head=1, n_embd=4))
    lens = logit_lens(model, [0, 1], top=9)
    assert lens.top_ids.shape == (2, 2, 3)
    assert lens.top_p.sum(-1) == pytest.approx(1.0)
    assert logit_lens(model, [2]).rank.shape == (2, 0)


def test_extreme_logits():
    model = small_model("gpt2")
    model.wte.weight.assign_(model.wte.weight.data * 1e6)
    lens = logit_lens(model, IDS)
    assert np.isfinite(lens.entropy).all() and np.isfinite(lens.logp).all()


# --- attention ------------------------------------------------------------------------------------


def attention_of(model, layer):
    """The attention module, its last projection, and its values (H, T, D) for an input."""
    block = parts_of(model).blocks[layer]
    if isinstance(model, GPT):
        attention, H, C = block.attn, model.config.n_head, model.config.n_embd

        def values(x):
            v = attention.c_attn(x).numpy()[0, :, 2 * C :]
            return v.reshape(len(v), H, -1).swapaxes(0, 1)

        return attention, attention.c_proj, values
    attention, config = block.self_attn, model.config

    def grouped_values(x):
        v = attention.v_proj(x).numpy()[0]
        v = v.reshape(len(v), config.n_kv_head, -1).swapaxes(0, 1)
        return np.repeat(v, config.n_head // config.n_kv_head, axis=0)

    return attention, attention.o_proj, grouped_values


@every_kind
def test_maps_are_what_the_models_attention_did(kind):
    """P V W_o, with P from the maps and all else from the modules, is what the module returned."""
    model = small_model(kind).astype("float64")
    maps = attention_maps(model, IDS)
    assert sorted(maps.weights) == list(range(model.config.n_layer))
    for layer, p in maps.weights.items():
        assert p.shape == (model.config.n_head, len(IDS), len(IDS)) and (p >= 0).all()
        np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-14)
        assert not np.triu(p, 1).any()
        attention, projection, values = attention_of(model, layer)
        seen = []
        with no_grad(), watched(attention, lambda *pair: seen.append(pair)):  # noqa: B023
            model(IDS[None])
            ((x, y),) = seen
            merged = (p @ values(x)).swapaxes(0, 1).reshape(1, len(IDS), -1)  # (1, T, H D)
            np.testing.assert_allclose(projection(merged).numpy(), y.numpy(), rtol=1e-9, atol=1e-12)
    assert maps.difference < 1e-14 < maps.largest


def test_a_window_is_seen():
    model = small_model("gemma3")
    for layer, p in attention_maps(model, IDS).weights.items():
        window = model.config.window(layer)
        beyond = np.tril(p, -window) if window else np.tril(p, -8)
        assert beyond.any() == (window is None)


def test_a_wrong_map_would_be_seen(monkeypatch):
    """Planted: the scores are not divided by sqrt(D), or the mask is off by one."""
    model = small_model("gpt2")
    right = packed.weights
    assert attention_maps(model, IDS).difference < 1e-5
    monkeypatch.setattr(packed, "weights", lambda xp, q, k: right(xp, 4 * q, k))
    assert attention_maps(model, IDS).difference > 1e-3

    def late(xp, q, k):
        p, *cache = right(xp, q, k)
        return np.roll(p, 1, axis=-2), *cache

    monkeypatch.setattr(packed, "weights", late)
    assert attention_maps(model, IDS).difference > 1e-3


def planted(p):
    """A GPT of one layer whose maps are P (H, T, T), by a planted definition, and their numbers."""
    H, T, _ = p.shape
    config = GPTConfig(vocab_size=9, block_size=T, n_layer=1, n_head=H, n_embd=2 * H)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "weights", lambda xp, q, k: (p[None].astype(np.float32), None, None))
        return attention_maps(GPT(config), [5, 6, 7, 5, 6][:T])


def test_kinds_of_heads():
    T = 5
    uniform = np.tril(np.ones((T, T)))
    uniform /= uniform.sum(-1, keepdims=True)
    first, previous = np.zeros((T, T)), np.eye(T, k=-1)
    first[:, 0], previous[0, 0] = 1, 1
    induction = np.eye(T)
    induction[3], induction[4] = np.eye(T)[1], np.eye(T)[2]  # after "5 6 7": 5 -> 6, 6 -> 7
    maps = planted(np.stack((uniform, first, previous, induction)))
    np.testing.assert_allclose(maps.entropy[0], [np.log([2, 3, 4, 5]).mean(), 0, 0, 0], atol=1e-6)
    thirds = np.mean([1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_allclose(maps.first[0], [thirds, 1, 1 / 4, 0], rtol=1e-6)
    np.testing.assert_allclose(maps.previous[0], [thirds, 1 / 4, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(maps.repeated[0], [(1 / 4 + 1 / 5) / 2, 0, 0, 1], rtol=1e-6)


def test_a_text_without_repetition_or_with_one_token():
    model = small_model("llama")
    maps = attention_maps(model, [1, 2, 3])
    assert np.isnan(maps.repeated).all() and np.isfinite(maps.entropy).all()
    maps = attention_maps(model, [1])
    assert (maps.first == 1).all() and (maps.entropy == 0).all() and np.isnan(maps.previous).all()


def test_some_layers_are_kept_and_all_are_measured():
    model = small_model("gemma3")
    some, every = attention_maps(model, IDS, layers=[1, 4]), attention_maps(model, IDS)
    assert sorted(some.weights) == [1, 4] and some.entropy.shape == (7, 4)
    np.testing.assert_array_equal(some.entropy, every.entropy)
    np.testing.assert_array_equal(some.weights[4], every.weights[4])


# --- gradients ------------------------------------------------------------------------------------


def loss_with(model, of, place, step):
    """The loss when ``step`` is added to element ``place`` (t, c) of what the table gives."""
    table = parts_of(model).table
    look_up = table.forward

    def moved(ids):
        x = look_up(ids).numpy().copy()
        x[0][place] += step
        return Tensor(x)

    targets = IDS[None, 1:].copy()
    if of == "last":
        targets[:, :-1] = -100
    vars(table)["forward"] = moved
    try:
        with no_grad():
            return model.loss(IDS[None, :-1], targets).item()
    finally:
        del vars(table)["forward"]


@pytest.mark.parametrize("of", ["last", "all"])
@every_kind
def test_gradients_by_finite_differences(kind, of):
    model = small_model(kind).astype("float64")
    found = input_gradients(model, IDS, of)
    assert found.loss == pytest.approx(loss_with(model, of, (0, 0), 0.0), rel=1e-12)
    rng = np.random.default_rng(1)
    h = 1e-5
    for t in (0, 5, len(IDS) - 2):
        c = int(rng.integers(found.gradient.shape[1]))
        slope = (loss_with(model, of, (t, c), h) - loss_with(model, of, (t, c), -h)) / (2 * h)
        tolerance = 1e-6 * np.abs(found.gradient).max() + 10 * 2.2e-16 * found.loss / h
        assert abs(found.gradient[t, c] - slope) < tolerance
    x = parts_of(model).table.weight.numpy()[IDS[:-1]]
    np.testing.assert_allclose(found.length, np.sqrt((found.gradient**2).sum(-1)))
    np.testing.assert_allclose(found.times_input, (found.gradient * x).sum(-1))


def test_a_wrong_gradient_would_be_seen():
    """Planted: the gradient of the other loss."""
    model = small_model("llama").astype("float64")
    last, every = (input_gradients(model, IDS, of) for of in ("last", "all"))
    assert np.abs(last.gradient - every.gradient).max() > 0.1 * np.abs(last.gradient).max()


@pytest.mark.parametrize("kind", ["llama, tied, with biases", "gpt2"])
def test_quantized_weights_are_constants_and_gradients_pass_through(kind):
    model, rounded = (quantize_model(small_model(kind)) for _ in range(2))
    for layer in matrix_layers(rounded):
        matrix = layer.weight
        if not isinstance(matrix, Parameter):
            vars(layer)["weight"] = Parameter(matrix.dequantize())
    found, expected = input_gradients(model, IDS), input_gradients(rounded, IDS)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-4 * scale)
    assert logit_lens(model, IDS).difference == 0.0
    assert attention_maps(model, IDS).difference < 1e-5


def test_the_model_is_left_as_it_was():
    model = add_lora(small_model("gpt2"), 2).train()
    before = [(name, p.requires_grad) for name, p in model.named_parameters()]
    attributes = [set(vars(module)) for module in model.modules()]
    first = logit_lens(model, IDS), attention_maps(model, IDS), input_gradients(model, IDS)
    again = logit_lens(model, IDS), attention_maps(model, IDS), input_gradients(model, IDS)
    for a, b in zip(first, again, strict=True):  # no dropout
        for name in set(vars(a)) - {"weights"}:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert [(name, p.requires_grad) for name, p in model.named_parameters()] == before
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert model.training and all(p.grad is None for p in model.parameters())


def test_watching_ends_with_an_error_and_may_be_nested():
    model = small_model("gpt2")
    seen = []
    with watched(model.ln_f, lambda x, y: seen.append("outer")):
        with pytest.raises(UserError), watched(model.ln_f, lambda x, y: seen.append("inner")):
            model(IDS[None])
            model(np.zeros((1, 65), int))
        model(IDS[None])
    model(IDS[None])
    assert seen == ["outer", "inner", "outer"] and "forward" not in vars(model.ln_f)


# --- against transformers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_MODELS)
def test_states_and_maps_are_those_of_transformers(name, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ids = np.random.default_rng(3).integers(0, 67, 20)
    with exact():
        theirs = build(name)
        theirs.save_pretrained(tmp_path)
        with torch.no_grad():
            out = theirs(torch.tensor(ids[None]), output_hidden_states=True, output_attentions=True)
    model, _ = load_pretrained(tmp_path, "float64")
    stream = residual_stream(model, ids)
    assert len(out.hidden_states) == len(stream) == model.config.n_layer + 1
    for (_, found), expected in zip(stream[:-1], out.hidden_states, strict=False):
        expected = expected[0].numpy()  # their last one has been normalized
        assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()
    maps = attention_maps(model, ids).weights
    assert len(maps) == len(out.attentions)
    for layer, expected in enumerate(out.attentions):
        np.testing.assert_allclose(maps[layer], expected[0].numpy(), atol=1e-9)
    last = list(layer_logits(model, ids))[-1][1]
    expected = out.logits[0].numpy()
    assert np.abs(last - expected).max() < 1e-9 * np.abs(expected).max()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [logit_lens, attention_maps, input_gradients])
def test_bad_input(look):
    model = small_model("gpt2")
    with pytest.raises(UserError, match="the text is empty"):
        look(model, [])
    with pytest.raises(UserError, match=r"ids are int64 \(1, 20\), expected \(T,\)"):
        look(model, IDS[None])
    with pytest.raises(UserError, match="expected .* integers"):
        look(model, [0.5])
    with pytest.raises(UserError, match="tokens, but this model's block_size is 64"):
        look(model, [1] * 66)
    with pytest.raises(UserError, match="vocabulary"):
        look(model, [1, VOCAB_SIZE, 2])
    with pytest.raises(UserError, match="a ModuleList has no residual stream"):
        look(model.h, IDS)


def test_bad_options():
    model = small_model("gpt2")
    with pytest.raises(UserError, match="top is 0"):
        logit_lens(model, IDS, top=0)
    with pytest.raises(UserError, match="layers 0 to 1, so there is no layer 2"):
        attention_maps(model, IDS, layers=[0, 2])
    with pytest.raises(UserError, match="of is 'first'"):
        input_gradients(model, IDS, of="first")
    with pytest.raises(UserError, match="one token alone"):
        input_gradients(model, [1])
