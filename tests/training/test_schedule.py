"""The learning rate: its landmarks, and that it only rises and then only falls."""

import math

import pytest
from hypothesis import given, strategies as st

from tinygrad_llm.training.schedule import learning_rate

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


@given(
    step=st.integers(0, 500),
    warmup_steps=st.integers(0, 300),
    steps=st.integers(1, 400),
    ratio=st.floats(0, 1),
)
def test_rises_then_falls_within_bounds(step, warmup_steps, steps, ratio):
    def rate(i):
        return learning_rate(i, peak=1.0, floor=ratio, warmup_steps=warmup_steps, steps=steps)

    assert 0 < rate(step) <= 1 or ratio == 0
    if step + 1 < warmup_steps:
        assert rate(step) < rate(step + 1)
    elif step >= warmup_steps:
        assert rate(step + 1) <= rate(step)
        assert rate(step) >= ratio
