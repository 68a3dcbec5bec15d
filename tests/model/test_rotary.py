"""The frequencies of rotary embedding: against the formulas, and against transformers' own."""

import math

import numpy as np
import pytest

from tinygrad_llm.model.rotary import cos_sin, frequencies

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}

SCALINGS = {
    "linear": (10000.0, {"rope_type": "linear", "factor": 2.5}),
    "llama3": (500000.0, LLAMA3),
    "llama3, another factor": (500000.0, {**LLAMA3, "factor": 32.0}),
    "yarn": (10000.0, YARN),
    "yarn of Qwen": (1000000.0, {**YARN, "original_max_position_embeddings": 32768}),
    "yarn with its own attention factor": (10000.0, {**YARN, "attention_factor": 0.7}),
    "yarn of DeepSeek": (10000.0, {**YARN, "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 0.7}),
    "yarn with other turns": (10000.0, {**YARN, "beta_fast": 16, "beta_slow": 2}),
    "yarn, not truncated": (150000.0, {**YARN, "factor": 32.0, "truncate": False}),
    "yarn where nothing stays": (10000.0, {**YARN, "original_max_position_embeddings": 6}),
    "yarn where nothing is divided wholly": (100.0, {**YARN, "beta_slow": 0.05}),
    "yarn with factor 1": (10000.0, {**YARN, "factor": 1.0}),
}


@pytest.mark.parametrize("head_dim", [64, 6])
@pytest.mark.parametrize("base, scaling", SCALINGS.values(), ids=SCALINGS)
def test_frequencies_are_those_of_transformers(base, scaling, head_dim):
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = transformers.LlamaConfig(
        hidden_size=4 * head_dim, num_attention_heads=4, head_dim=head_dim,
        rope_parameters={**scaling, "rope_theta": base}, max_position_embeddings=131072,
    )  # fmt: skip
    theirs, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
    omega, attention_factor = frequencies(head_dim, base, scaling)
    np.testing.assert_allclose(omega, theirs.numpy(), rtol=2e-6)  # theirs are float32
    assert attention_factor == pytest.approx(factor)


@pytest.mark.parametrize("base", [10000.0, 500000])
def test_frequencies_without_scaling(base):
    expected = [1 / base ** (2 * j / 8) for j in range(4)]
    for scaling in (None, {}, {"rope_type": "default"}):
        omega, factor = frequencies(8, base, scaling)
        np.testing.assert_allclose(omega, expected, rtol=1e-14)
        assert factor == 1 and omega.dtype == np.float64


def test_llama3_changes_only_the_slow_ones():
    plain, omega = frequencies(128, 500000.0)[0], frequencies(128, 500000.0, LLAMA3)[0]
    turns = 8192 * plain / (2 * math.pi)
    np.testing.assert_array_equal(omega[turns >= 4], plain[turns >= 4])
    np.testing.assert_allclose(omega[turns <= 1], plain[turns <= 1] / 8, rtol=1e-15)
    between = (turns > 1) & (turns < 4)
    assert between.any() and (omega < plain)[between].all() and (omega > plain / 8)[between].all()


def test_yarn_keeps_the_fast_ones_and_divides_the_slow_ones():
    plain, (omega, factor) = frequencies(64)[0], frequencies(64, scaling=YARN)
    turns = 4096 * plain / (2 * math.pi)
    np.testing.assert_allclose(omega[turns > 40], plain[turns > 40], rtol=1e-15)
    np.testing.assert_allclose(omega[turns < 0.7], plain[turns < 0.7] / 4, rtol=1e-15)
    assert factor == pytest.approx(0.1 * math.log(4) + 1)


def test_the_old_name_of_the_type():
    scaling = {"type": "linear", "factor": 2.0}
    np.testing.assert_array_equal(frequencies(8, scaling=scaling)[0], frequencies(8)[0] / 2)


@pytest.mark.parametrize(
    "scaling, message",
    [
        ({"rope_type": "longrope", "factor": 2.0}, "'longrope' is not supported.*llama3, yarn"),
        ({"rope_type": "linear"}, "'linear' needs factor, a number above 0, and it is None"),
        ({"rope_type": "linear", "factor": 0}, "factor, a number above 0, and it is 0"),
        ({"rope_type": "linear", "factor": "8"}, "factor, a number above 0, and it is '8'"),
        ({**YARN, "original_max_position_embeddings": None}, "needs original_max_position_emb"),
        ({**YARN, "beta_fast": "32"}, "'yarn' needs beta_fast, a number above 0, and it is '32'"),
        ({**YARN, "beta_slow": 1e-320}, "'yarn' cannot compare 1e-320 turns with texts of 4096"),
        ({**LLAMA3, "high_freq_factor": 1.0}, "low_freq_factor 1.0 below high_freq_factor 1.0"),
    ],
)
def test_scalings_that_are_refused(scaling, message):
    with pytest.raises(ValueError, match=message):
        frequencies(8, scaling=scaling)


def test_yarn_needs_a_base_above_1():
    with pytest.raises(ValueError, match="'yarn' needs a rope_theta above 1, and it is 1.0"):
        frequencies(8, 1.0, YARN)


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="turns pairs of channels, but there are 7"):
        frequencies(7)


def test_tables_have_the_digits_of_late_positions():
    position = 123456
    cos, sin = cos_sin([position], np.array([0.7, 1.0]))
    assert cos.dtype == sin.dtype == np.float32 and cos.shape == (1, 2)
    np.testing.assert_allclose(cos[0, 0], math.cos(position * 0.7), rtol=1e-6)
    np.testing.assert_allclose(sin[0, 1], math.sin(position), rtol=1e-6)


def test_tables_of_any_positions_and_with_an_attention_factor():
    positions, omega = np.array([[0, 1, 2], [5, 6, 7]]), np.array([1.0, 0.1])
    cos, sin = cos_sin(positions, omega, 1.5, np.float64)
    assert cos.shape == (2, 3, 2)
    np.testing.assert_allclose(cos, 1.5 * np.cos(positions[..., None] * omega))
    np.testing.assert_allclose(sin, 1.5 * np.sin(positions[..., None] * omega))
