"""The learning rate: its landmarks, and that it only rises and then only falls."""

import math

import pytest
from hypothesis import given, strategies as st

from tinygrad_llm.training.schedule import learning_rate, schedule

OPTIONS = {"peak": 2e-3, "floor": 2e-4, "warmup_steps": 10, "steps": 110}


def test_landmarks():
    assert learning_rate(0, **OPTIONS) == pytest.approx(2e-4)  # a tenth of the peak: step 1 of 10
    assert learning_rate(4, **OPTIONS) == pytest.approx(1e-3)
    assert learning_rate(9, **OPTIONS) == 2e-3
    assert learning_rate(10, **OPTIONS) == 2e-3
    assert learning_rate(60, **OPTIONS) == pytest.approx(1.1e-3)  # halfway down
    quarter = 2e-4 + 1.8e-3 * (1 + math.cos(math.pi / 4)) / 2
    assert learning_rate(35, **OPTIONS) == pytest.approx(quarter)
    assert learning_rate(110, **OPTIONS) == learning_rate(10_000, **OPTIONS) == 2e-4


def test_shapes():
    linear = schedule(2e-3, 110, shape="linear", warmup_steps=10, floor=2e-4)
    assert linear(4) == pytest.approx(1e-3) and linear(10) == 2e-3
    assert linear(35) == pytest.approx(2e-4 + 1.8e-3 * 3 / 4)
    assert linear(110) == linear(500) == 2e-4
    with pytest.raises(ValueError, match="shape is 'wsd', expected one of cosine, linear, const"):
        schedule(2e-3, 110, shape="wsd")
    constant = schedule(2e-3, 110, shape="constant", warmup_steps=10)
    assert constant(4) == pytest.approx(1e-3)
    assert {constant(step) for step in range(9, 200)} == {2e-3}
    cosine = schedule(2e-3, 110, warmup_steps=10, floor=2e-4)
    assert [cosine(i) for i in range(200)] == [learning_rate(i, **OPTIONS) for i in range(200)]


@given(
    step=st.integers(0, 500),
    warmup_steps=st.integers(0, 300),
    steps=st.integers(1, 400),
    ratio=st.floats(0, 1),
    shape=st.sampled_from(["cosine", "linear", "constant"]),
)
def test_rises_then_falls_within_bounds(step, warmup_steps, steps, ratio, shape):
    rate = schedule(1.0, steps, shape=shape, warmup_steps=warmup_steps, floor=ratio)
    assert 0 < rate(step) <= 1 or ratio == 0
    if step + 1 < warmup_steps:
        assert rate(step) < rate(step + 1)
    elif step >= warmup_steps:
        assert rate(step + 1) <= rate(step)
        assert rate(step) >= ratio
