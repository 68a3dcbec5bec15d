"""The KV cache and the Decoder: the same logits as without them, at every length."""

import copy
import pickle

import numpy as np
import pytest
from transformers_models import MODELS, build, exact

from autograd import no_grad, use_kernels
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import Decoder, KVCache, cache as cache_module
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.model.layers import Linear
from tinygrad_llm.model.quantize import quantize_model
from tinygrad_llm.pretrained import load_pretrained

SIZES = {
    "vocab_size": 53, "block_size": 40, "n_layer": 3, "n_head": 4, "n_kv_head": 2, "n_embd": 24,
    "n_hidden": 40,
}  # fmt: skip
LLAMAS = {
    "Llama": {},
    "Mistral": {"sliding_window": 5},
    "OLMo 2": {"norm_placement": "after", "qk_norm": "all"},
    "Gemma": {
        "norm_placement": "both", "norm_offset": True, "qk_norm": "head", "activation": "gelu_tanh",
        "embedding_scale": 5.0, "attention_softcap": 2.0, "logit_softcap": 1.5, "tied": True,
        "sliding_window": 4, "sliding_layers": (True, False, True), "rope_theta_sliding": 10.0,
    },
    "no rope in one layer": {"rope_layers": (True, False, True), "rope_share": 0.5, "head_dim": 8},
    "all biases": {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    "a window of one token": {"sliding_window": 1},
}  # fmt: skip
GPT_SIZES = {"vocab_size": 53, "block_size": 40, "n_layer": 3, "n_head": 4, "n_embd": 24}
VARIANTS = ["GPT-2", *LLAMAS]
TOLERANCE = {"float64": 1e-11, "float32": 2e-5}


@pytest.fixture(autouse=True)
def small_rings(monkeypatch):
    """Rings with 16 slots beyond their window: 40 tokens go around them twice."""
    monkeypatch.setattr(cache_module, "SLACK", 16)


def make(variant, dtype="float64"):
    """A model whose parameters are all random."""
    if variant == "GPT-2":
        model = GPT(GPTConfig(**GPT_SIZES))
    else:
        model = Llama(LlamaConfig(**{**SIZES, **LLAMAS[variant]}))
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.3 * rng.standard_normal(parameter.shape))
    return model.astype(dtype).eval()


def make_llama(**options):
    """A Llama in float32 with other sizes."""
    model = Llama(LlamaConfig(**{**SIZES, **options}), seed=0)
    return model.astype("float32").eval()


def random_ids(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 53, shape)


def full_logits(model, ids):
    """Without a cache: (n, V) for ids (n,)."""
    with no_grad():
        return model(np.array([ids])).data[0]


def assert_near(found, expected, dtype="float64"):
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * abs(expected).max())


# --- the model with a cache ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("parts", [[1] * 40, [7, 1, 1, 9, 2, 20], [40], [30, 10]], ids=str)
def test_a_model_continues_what_it_has_read(variant, parts):
    model, ids = make(variant), random_ids(2, 40)
    cache = KVCache(model.config, 2, dtype="float64")
    with no_grad():
        expected, at = model(ids).data, 0
        for n in parts:
            found = model(ids[:, at : at + n], cache).data
            assert_near(found, expected[:, at : at + n])
            at += n
    assert cache.ids == ids.tolist() and cache.lengths.tolist() == [40, 40]


def test_gradients_would_stop_at_the_cache():
    model = make("Llama")
    with pytest.raises(UserError, match="use it within no_grad"):
        model(random_ids(1, 3), KVCache(model.config, dtype="float64"))


# --- the decoder: float64 runs the model itself, float32 the compiled step ------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_length_one_token_at_a_time(variant, dtype):
    model, ids = make(variant, dtype), random_ids(40)
    expected, decoder = full_logits(model, ids), Decoder(model)
    assert (decoder.refusal is None) == (dtype == "float32")
    cache = decoder.cache()
    for t in range(40):
        logits = decoder([[ids[t]]], cache)
        assert logits.shape == (1, 53) and logits.dtype == dtype
        assert_near(logits[0], expected[t], dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_of_different_lengths(variant, dtype):
    """Each row is what it would be alone; some get several tokens at once, or none."""
    model, rows = make(variant, dtype), random_ids(4, 40)
    decoder = Decoder(model)
    cache, at = decoder.cache(batch_size=4), np.zeros(4, int)
    rng = np.random.default_rng(2)
    counts = [[9, 1, 0, 17], [1, 1, 3, 1], *rng.integers(0, 4, (9, 4)).tolist(), [1, 1, 1, 0]]
    for step, new in enumerate(counts):
        tokens = [rows[b, at[b] : at[b] + n] for b, n in enumerate(new)]
        every = step % 2 == 1
        found = decoder(tokens, cache, all_positions=every)
        for b, n in enumerate(new):
            at[b] += n
            if n == 0:
                assert len(found[b]) == 0 if every else not found[b].any()
                continue
            expected = full_logits(model, rows[b, : at[b]])
            assert_near(found[b], expected[-n:] if every else expected[-1], dtype)
    assert cache.ids == [row[:n].tolist() for row, n in zip(rows, at, strict=True)]


def test_long_prompts_are_read_in_chunks(monkeypatch):
    monkeypatch.setattr("tinygrad_llm.generation.decoder.CHUNK", 6)
    model, ids = make("Gemma"), random_ids(2, 40)
    decoder = Decoder(model)
    lengths = []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda i, c: (lengths.append(i.shape), hidden(i, c))[1])
    found = decoder(ids[:, :31], decoder.cache(2), all_positions=True)
    assert lengths == [(2, 3)] * 10 + [(2, 1)]
    monkeypatch.undo()
    for row, logits in zip(ids, found, strict=True):
        assert_near(logits, full_logits(model, row[:31]))


class Pieces:
    """A compiled step that notes how many tokens of each row it reads, and for how many it is
    asked what follows."""

    def __init__(self, step):
        self.step, self.seen = step, []
        self.most_tokens, self.most_in_steps = step.most_tokens, step.most_in_steps

    def __call__(self, tokens, cache, n_asked):
        self.seen.append(([len(new) for new in tokens], list(n_asked)))
        return self.step(tokens, cache, n_asked)


@pytest.mark.parametrize("variant", VARIANTS)
def test_short_prompts_are_read_in_several_steps(variant):
    model, rows = make(variant, "float32"), random_ids(4, 40)
    decoder = Decoder(model)
    step, _ = decoder._step_or_reason
    model.hidden = None  # the model itself does not run
    counts, found = [9, 0, 20, 3], {}
    tokens = [row[:n] for row, n in zip(rows, counts, strict=True)]
    for every in (False, True):
        pieces, cache = Pieces(step), decoder.cache(4)
        decoder.__dict__["_step_or_reason"] = (pieces, None)
        found[every] = decoder(tokens, cache, all_positions=every)
        assert [read for read, _ in pieces.seen] == [[9, 0, 7, 0], [0, 0, 13, 3]]
        asked = [[9, 0, 7, 0], [0, 0, 13, 3]] if every else [[1, 0, 0, 0], [0, 0, 1, 1]]
        assert [n for _, n in pieces.seen] == asked
        assert cache.ids == [new.tolist() for new in tokens]
    del model.hidden
    for b, n in enumerate(counts):
        if n == 0:
            assert not found[False][b].any() and found[True][b].shape == (0, 53)
            continue
        expected = full_logits(model, rows[b, :n])
        assert_near(found[True][b], expected, "float32")
        np.testing.assert_array_equal(found[False][b], found[True][b][-1])


def test_longer_prompts_run_the_model(monkeypatch):
    model, ids = make("Llama", "float32"), random_ids(40)
    decoder = Decoder(model)
    step, _ = decoder._step_or_reason
    monkeypatch.setattr(step, "most_in_steps", 39)
    expected, lengths, hidden = full_logits(model, ids), [], model.hidden
    monkeypatch.setattr(model, "hidden", lambda i, c: (lengths.append(i.shape), hidden(i, c))[1])
    for n in (39, 40):
        found = decoder([ids[:n]], decoder.cache())
        assert_near(found[0], expected[n - 1], "float32")
    assert lengths == [(1, 40)]


@pytest.mark.parametrize("variant", ["GPT-2", "Gemma", "OLMo 2"])
def test_the_number_of_threads_changes_no_bit(variant, monkeypatch):
    model, ids = make(variant, "float32"), random_ids(3, 12)
    decoder, found = Decoder(model), []
    for n in (1, 2, 3):
        monkeypatch.setattr("tinygrad_llm.generation.step.n_threads", lambda n=n: n)
        monkeypatch.setattr("autograd.kernels._threads.n_threads", lambda n=n: n)
        cache = decoder.cache(3)
        found.append([decoder(ids[:, t : t + 4], cache) for t in (0, 4, 8)])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("head_dim", [16, 48, 64, 72, 128])
def test_heads_wider_than_a_register(head_dim):
    """Values are added 64 channels at a time, then 16, then one."""
    model = make_llama(n_head=2, n_kv_head=1, n_embd=16, n_hidden=16, head_dim=head_dim)
    ids, decoder = random_ids(30), Decoder(model)
    cache, expected = decoder.cache(), full_logits(model, ids)
    found = decoder([ids[:16]], cache, all_positions=True)[0]
    assert_near(found, expected[:16], "float32")
    for t in range(16, 30):
        assert_near(decoder([ids[t : t + 1]], cache)[0], expected[t], "float32")


def test_products_of_many_chunks():
    """Matrices of several chunks, whose rows are no multiple of their number."""
    model = make_llama(
        n_layer=1, n_head=9, n_kv_head=3, n_embd=1160, n_hidden=1001, head_dim=72, vocab_size=701
    )
    ids, decoder = random_ids(6), Decoder(model)
    found = decoder([ids], decoder.cache(), all_positions=True)[0]
    assert_near(found, full_logits(model, ids), "float32")


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture(name, tmp_path):
    """The models of the parity tests, whose logits without a cache are those of transformers."""
    with exact():
        build(name).save_pretrained(tmp_path)
    model, _ = load_pretrained(tmp_path)
    ids = random_ids(30, seed=3)
    expected, decoder = full_logits(model, ids), Decoder(model)
    cache = decoder.cache()
    assert_near(decoder([ids[:9]], cache)[0], expected[8], "float32")
    for t in range(9, 30):
        assert_near(decoder([ids[t : t + 1]], cache)[0], expected[t], "float32")


@pytest.mark.parametrize("variant", ["GPT-2", "OLMo 2", "all biases"])
def test_quantized_weights(variant):
    model, ids = make(variant, "float32"), random_ids(2, 12)
    quantize_model(model)
    decoder = Decoder(model)
    assert decoder.refusal is None
    cache = decoder.cache(2)
    for t in range(12):
        found = decoder(ids[:, t : t + 1], cache)
        for b in range(2):
            assert_near(found[b], full_logits(model, ids[b, : t + 1])[-1], "float32")


def test_the_step_reads_weights_that_are_assigned_later():
    model, ids = make("Llama", "float32"), random_ids(8)
    decoder = Decoder(model)
    for parameter in model.parameters():
        parameter.assign_(1.1 * parameter.data)
    with no_grad():
        model.hidden = None  # the step does not run the model
        found = decoder([ids], decoder.cache())
        del model.hidden
    assert_near(found[0], full_logits(model, ids)[-1], "float32")


def test_who_runs_the_model_itself(monkeypatch):
    """What the step does not know, training mode, and the reference mode."""
    model, ids = make("Llama", "float32"), random_ids(8)
    expected = full_logits(model, ids)[-1]
    calls, hidden = [], model.hidden
    model.hidden = lambda *arguments: (calls.append(1), hidden(*arguments))[1]
    decoder = Decoder(model)
    assert_near(decoder([ids], decoder.cache())[0], expected, "float32")
    assert calls == []
    with use_kernels("reference"):
        assert_near(decoder([ids], decoder.cache())[0], expected, "float32")
    assert len(calls) == 1
    model.train()
    decoder([ids], decoder.cache())
    assert len(calls) == 2
    model.eval()

    class Unknown(Linear):
        """A layer that computes something else, for all that the step knows."""

    model.layers[1].mlp.up_proj.__class__ = Unknown
    other = Decoder(model)
    assert other.refusal == "a layer is a Unknown"
    assert_near(other([ids], other.cache())[0], expected, "float32")
    assert len(calls) == 3


# --- shortening, repeating, beginning again ------------------------------------------------------


@pytest.mark.parametrize("variant", ["GPT-2", "Llama", "Mistral"])
def test_a_shortened_row_continues_differently(variant):
    model, ids = make(variant), random_ids(3, 40)
    decoder = Decoder(model)
    cache = decoder.cache(3)
    decoder(ids[:, :20], cache)
    cache.truncate([20, 18, 17])
    assert cache.lengths.tolist() == [20, 18, 17]
    other = random_ids(3, 12, seed=5)
    for t in range(12):
        found = decoder(other[:, t : t + 1], cache)
        for b, n in enumerate((20, 18, 17)):
            expected = full_logits(model, [*ids[b, :n], *other[b, : t + 1]])
            assert_near(found[b], expected[-1])
    cache.truncate(0)
    assert_near(decoder(ids, cache)[1], full_logits(model, ids[1])[-1])


def test_a_ring_forgets():
    model, ids = make("Mistral"), random_ids(2, 40)  # windows of 5, rings of 21
    decoder = Decoder(model)
    cache = decoder.cache(2)
    decoder([ids[0, :30], ids[1, :21]], cache)
    with pytest.raises(UserError, match="row 0 cannot be shortened from 30 to 12 tokens"):
        cache.truncate([12, 21])
    assert cache.lengths.tolist() == [30, 21]
    # 13 stays the shortest possible: what is lost does not come back
    cache.truncate([13, 21])
    with pytest.raises(UserError, match="from 13 to 12"):
        cache.truncate([12, 21])
    assert cache.keep_common_prefix(0, ids[0, :12]) == 0
    assert cache.keep_common_prefix(1, [*ids[1, :2], 99]) == 2  # its ring is not full yet
    assert cache.ids == [[], ids[1, :2].tolist()]
    assert_near(decoder([ids[0, :9], ids[1, 2:9]], cache)[1], full_logits(model, ids[1, :9])[-1])


def test_a_chat_keeps_the_common_prefix():
    model, ids = make("Llama"), random_ids(40).tolist()
    decoder = Decoder(model)
    cache = decoder.cache()
    decoder([ids[:20]], cache)
    second = [*ids[:13], (ids[13] + 1) % 53, 5, 6]
    kept = cache.keep_common_prefix(0, second[:-1])
    assert kept == 13 and cache.ids == [second[:13]]
    assert_near(decoder([second[kept:]], cache)[0], full_logits(model, second)[-1])
    assert cache.keep_common_prefix(0, second[:-1]) == len(second) - 1  # the same text once more


@pytest.mark.parametrize("variant", ["Llama", "Mistral"])
def test_samples_of_one_prompt(variant):
    model, ids = make(variant), random_ids(2, 14)
    decoder = Decoder(model)
    one = decoder.cache(2)
    decoder([ids[0], ids[1, :11]], one)
    many = one.repeat(2)
    assert many.lengths.tolist() == [14, 14, 11, 11]
    found = decoder([[1], [2], [3], []], many)
    for row, prompt in ((0, [*ids[0], 1]), (1, [*ids[0], 2]), (2, [*ids[1, :11], 3])):
        assert_near(found[row], full_logits(model, prompt)[-1])
    assert one.lengths.tolist() == [14, 11]  # and has not changed
    assert_near(decoder([[7], []], one)[0], full_logits(model, [*ids[0], 7])[-1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_independent(copied):
    """The compiled step finds arrays by their addresses, which a copy must not inherit."""
    model, ids = make("Llama", "float32"), random_ids(5)
    decoder = Decoder(model)
    one = decoder.cache()
    decoder([ids], one)
    two, other = copied(one), copied(decoder)
    decoder([[7]], two)
    decoder([[8]], one)
    assert_near(decoder([[9]], two)[0], full_logits(model, [*ids, 7, 9])[-1], "float32")
    assert_near(decoder([[9]], one)[0], full_logits(model, [*ids, 8, 9])[-1], "float32")
    expected = full_logits(model, ids)[-1]
    for parameter in model.parameters():
        parameter.assign_(0 * parameter.data)
    assert_near(other([ids], other.cache())[0], expected, "float32")


def test_an_interrupted_step_is_noticed(monkeypatch):
    model, ids = make("Mistral"), random_ids(40)
    decoder = Decoder(model)
    cache = decoder.cache()
    decoder([ids[:20]], cache)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(KVCache, "append", _interrupt)
        decoder([ids[20:]], cache)  # more than the ring has to spare
    assert cache.lengths.tolist() == [20]
    with pytest.raises(UserError, match="row 0 of the cache is incomplete"):
        decoder([ids[20:21]], cache)
    assert cache.keep_common_prefix(0, ids[:29]) == 0
    assert_near(decoder([ids[:30]], cache)[0], full_logits(model, ids[:30])[-1])


def _interrupt(*arguments):
    raise KeyboardInterrupt


# --- sizes and wrong use -------------------------------------------------------------------------


def test_sizes():
    cache = KVCache(make("Gemma").config, 2, max_length=30)
    assert [a.shape for a in cache.keys] == [(2, 2, 20, 6), (2, 2, 30, 6), (2, 2, 20, 6)]
    assert cache.nbytes == 2 * 4 * 2 * 2 * 6 * (20 + 30 + 20)
    assert KVCache(make("GPT-2").config).values[0].shape == (1, 4, 40, 6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_length": 41}, "max_length is 41, but must be between 1 and the model's block_size"),
        ({"max_length": 0}, "max_length is 0"),
        ({"batch_size": 0}, "a cache of 0 rows"),
    ],
)
def test_wrong_sizes(options, message):
    with pytest.raises(UserError, match=message):
        KVCache(make("Llama").config, **options)


def test_a_cache_larger_than_memory():
    config = LlamaConfig(**{**SIZES, "block_size": 2**31 - 1, "head_dim": 2**16})
    with pytest.raises(
        UserError, match="a cache for 1 rows of 2147483647 tokens needs .* GB, more"
    ):
        KVCache(config)


@pytest.mark.parametrize(
    "tokens, message",
    [
        ([[1]], "there are tokens for 1 rows, but the cache has 2"),
        ([[1], [53]], "id 53 is outside the model's vocabulary of 53"),
        ([[-1], [1]], "id -1 is outside"),
        ([[1], [2] * 7], "row 1 of the cache has 4 of at most 10 tokens: 7 more do not fit"),
    ],
)
def test_wrong_tokens(tokens, message):
    decoder = Decoder(make("Llama"))
    cache = decoder.cache(2, max_length=10)
    decoder([[1, 2, 3], [4, 5, 6, 7]], cache)
    with pytest.raises(UserError, match=message):
        decoder(tokens, cache)
    assert cache.ids == [[1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("options", [{"n_layer": 2}, {"head_dim": 2}, {"block_size": 80}])
def test_a_cache_of_another_model(options):
    """The compiled step would write outside its arrays."""
    decoder = Decoder(make("Llama", "float32"))
    cache = KVCache(LlamaConfig(**{**SIZES, **options}))
    with pytest.raises(UserError, match="the cache was made for another model"):
        decoder([[1, 2]], cache)
    assert cache.ids == [[]]


def test_a_model_alone_takes_rows_of_one_length():
    decoder = Decoder(make("Llama"))
    cache = decoder.cache(2)
    decoder([[1, 2], [3]], cache)
    with no_grad(), pytest.raises(UserError, match=r"lengths \[2, 1\].*a Decoder takes any"):
        decoder.model([[1], [2]], cache)
    with no_grad(), pytest.raises(UserError, match="the ids have 1 rows, but the cache has 2"):
        decoder.model([[1]], cache)


def test_a_model_alone_takes_what_fits():
    model = make("Llama")
    with no_grad(), pytest.raises(UserError, match="row 0 of the cache has 0 of at most 3 tokens"):
        model([[1, 2, 3, 4]], KVCache(model.config, max_length=3, dtype="float64"))


@pytest.mark.parametrize("to", [-1, 3])
def test_wrong_truncation(to):
    decoder = Decoder(make("Llama"))
    cache = decoder.cache()
    decoder([[1, 2]], cache)
    with pytest.raises(UserError, match=f"row 0 has 2 tokens and cannot be shortened to {to}"):
        cache.truncate(to)


def test_nothing_is_compiled_before_the_step_is_needed(monkeypatch):
    def compiled(model):
        raise AssertionError("the step was made")

    monkeypatch.setattr("tinygrad_llm.generation.decoder._step_of", compiled)
    model = GPT(GPTConfig(vocab_size=11, block_size=8, n_layer=1, n_head=1, n_embd=4)).eval()
    for decoder, kernels in ((Decoder(model), "reference"), (Decoder(model, fused=False), "auto")):
        with use_kernels(kernels):
            assert decoder([[1, 2]], decoder.cache()).shape == (1, 11)
    assert decoder.refusal == "fused is False"
    decoder = Decoder(model)
    with pytest.raises(AssertionError, match="the step was made"):
        decoder([[1]], decoder.cache())
