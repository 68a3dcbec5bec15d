"""Random models, random steps: a cache never changes what comes next.

Hypothesis draws a model from all options of a LlamaConfig, and what happens to a cache: new tokens
for some rows, shortened rows, other texts with a common prefix, repeated rows. After each step the
logits are those of the model without a cache.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from autograd import no_grad
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import (
    Decoder,
    DraftModel,
    PromptLookup,
    cache as cache_module,
    decoder as decoder_module,
    generate,
)
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.model.quantize import quantize_model

BLOCK, ROWS = 44, 3


@st.composite
def configs(draw):
    """A GPTConfig or a LlamaConfig: the smallest and odd sizes, and all options."""
    choose = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    n_layer, group, G = choose(1, 2, 3), choose(1, 2, 3), choose(1, 2)
    if draw(st.integers(0, 9)) == 0:
        D = choose(1, 3, 8)
        return GPTConfig(choose(5, 33), BLOCK, n_layer, group * G, group * G * D)
    D = choose(1, 2, 5, 8)
    flags = st.none() | st.tuples(*[st.booleans()] * n_layer)
    options = {name: draw(st.booleans()) for name in
               ("norm_offset", "qkv_bias", "out_bias", "mlp_bias", "tied")}  # fmt: skip
    return LlamaConfig(
        choose(5, 33), BLOCK, n_layer, group * G, G, choose(1, 8, 35), choose(1, 32, 45), D,
        activation=choose("silu", "gelu", "gelu_tanh"),
        norm_placement=choose("before", "after", "both"),
        qk_norm=choose(*("none", "head", "all")[: 1 if D == 1 else 3]),  # else only a sign is left
        embedding_scale=choose(1.0, 3.0),
        attention_scale=choose(None, 0.7),
        attention_softcap=choose(None, 1.5),
        logit_softcap=choose(None, 2.0),
        sliding_window=choose(None, 1, 2, 5, BLOCK + 9),
        sliding_layers=draw(flags),
        rope_theta_sliding=choose(None, 50.0),
        rope_scaling=choose(None, {"rope_type": "linear", "factor": 2.0}),
        rope_share=choose(*(s for s in (1.0, 0.5, 0.8, 0.0) if int(D * s) % 2 == 0)),
        rope_layers=draw(flags),
        **options,
    )  # fmt: skip


def make(config, seed, dtype, quantized=False):
    """A model whose parameters are all random."""
    model = (GPT if isinstance(config, GPTConfig) else Llama)(config)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.4 * rng.standard_normal(parameter.shape))
    model = model.astype(dtype).eval()
    return quantize_model(model) if quantized else model


def full_logits(model, ids):
    """Without a cache: (n, V) for ids (n,)."""
    with no_grad():
        return model(np.array([ids])).data[0]


def assert_near(found, expected, dtype):
    tolerance = {"float32": 1e-4, "float64": 1e-10}[dtype]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * abs(expected).max())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    configs(), st.sampled_from(["float32", "float32", "float64", "int8"]), st.integers(0, 2**20),
    st.sampled_from([15, 20]), st.sampled_from([2, 5, 512]),
)  # fmt: skip
def test_any_model_and_any_history(config, numbers, seed, slack, chunk):
    check_history(config, numbers, seed, slack, chunk)


@pytest.mark.soak
@settings(max_examples=5000, deadline=None)
@given(
    configs(), st.sampled_from(["float32", "float64", "int8"]), st.integers(0, 2**20),
    st.sampled_from([15, 16, 20]), st.sampled_from([1, 2, 5, 512]),
)  # fmt: skip
def test_many_models_and_histories(config, numbers, seed, slack, chunk):
    check_history(config, numbers, seed, slack, chunk)


def check_history(config, numbers, seed, slack, chunk):
    """Nine random steps on a cache of three rows; rings have ``slack`` slots beyond their
    window. A step of 16 tokens needs 15."""
    dtype = "float32" if numbers == "int8" else numbers
    model = make(config, seed, dtype, quantized=numbers == "int8")
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "SLACK", slack)
        patch.setattr(decoder_module, "CHUNK", chunk)
        decoder = Decoder(model)
        assert (decoder.refusal is None) == (dtype == "float32")
        cache = decoder.cache(ROWS, max_length=BLOCK)
        rows = [[] for _ in range(ROWS)]
        for _ in range(9):
            shorten(cache, rows, rng)
            if rng.random() < 0.1:
                cache = cache.repeat(2).rows(1, 1 + ROWS)
                rows = [list(rows[b // 2]) for b in range(1, 1 + ROWS)]
            most = rng.choice([1, 4, 20])
            new = [draw(rng, config.vocab_size, most, BLOCK - len(row)) for row in rows]
            every = rng.random() < 0.5
            found = decoder(new, cache, all_positions=every)
            for row, ids, logits in zip(rows, new, found, strict=True):
                row += ids
                if not ids:
                    assert not np.any(logits)
                    continue
                expected = full_logits(model, row)[-len(ids) :]
                assert_near(logits, expected if every else expected[-1], dtype)
            assert cache.ids == rows


def draw(rng, V, most, room):
    return rng.integers(0, V, min(room, rng.integers(0, most + 1))).tolist()


def shorten(cache, rows, rng):
    """Sometimes: one row by its length or by a common prefix, unless its ring has forgotten."""
    b, n = rng.integers(ROWS), 0
    if rows[b]:
        n = int(rng.integers(max(0, len(rows[b]) - rng.choice([2, BLOCK])), len(rows[b]) + 1))
    kind = rng.integers(3)
    if kind == 0:
        lengths = [n if i == b else len(row) for i, row in enumerate(rows)]
        try:
            cache.truncate(lengths)
        except UserError:
            assert any(window is not None for window in cache.windows)
            assert cache.ids == rows
            cache.truncate([0 if i == b else len(row) for i, row in enumerate(rows)])
            n = 0
        del rows[b][n:]
    elif kind == 1:
        kept = cache.keep_common_prefix(b, [*rows[b][:n], -1])
        assert kept in (0, n)
        del rows[b][kept:]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(configs(), configs(), st.booleans(), st.integers(0, 2**20))
def test_greedy_text_with_any_draft(config, other, quantized, seed):
    """Speculative decoding of a random model gives its greedy text, past its block_size too."""
    model = make(config, seed, "float32", quantized)
    prompt = np.random.default_rng(seed).integers(0, 5, (1, 7))
    expected = greedy(model, prompt)
    assert greedy(model, prompt, draft=PromptLookup()) == expected
    if other.vocab_size == config.vocab_size:
        assert greedy(model, prompt, draft=DraftModel(make(other, seed + 1, "float32"))) == expected


def greedy(model, prompt, **options):
    return [int(ids[0]) for ids in generate(model, prompt, BLOCK, temperature=0, **options)]
