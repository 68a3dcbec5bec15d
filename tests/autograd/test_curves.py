"""The U-curve obeys its two laws, and is drawn."""

import numpy as np
import pytest

from autograd import ops
from autograd.testing import draw_error_curves, error_curve, plot_error_curve


def data(*shape):
    return np.random.default_rng(4).standard_normal(shape)


def slope(curve, key, low, high):
    """The exponent of the error's growth with h, between two steps."""
    inside = (curve.steps > low) & (curve.steps < high)
    return np.polyfit(np.log(curve.steps[inside]), np.log(curve.errors[key][inside]), 1)[0]


def test_the_arms_of_the_u():
    curve = error_curve(lambda x: ops.sin(x) * ops.exp(x), data(3, 4))
    assert slope(curve, ("float64", "central"), 1e-4, 1e-1) == pytest.approx(2, abs=0.1)
    assert slope(curve, ("float64", "richardson"), 1e-2, 2e-1) == pytest.approx(4, abs=0.2)
    assert slope(curve, ("float64", "central"), 1e-12, 1e-8) == pytest.approx(-1, abs=0.2)
    assert slope(curve, ("float32", "central"), 1e-5, 1e-4) == pytest.approx(-1, abs=0.5)


def test_the_bottom_of_the_u():
    curve = error_curve(ops.tanh, data(3, 4))
    best = {key: curve.best(*key) for key in curve.errors}
    assert 1e-7 < best["float64", "central"][0] < 1e-4
    assert best["float64", "richardson"][0] > best["float64", "central"][0]
    assert best["float64", "richardson"][1] < best["float64", "central"][1] < 1e-9
    assert 1e-8 < best["float32", "richardson"][1] < 1e-3
    assert len(str(curve).splitlines()) == 5 and "float32, D(h), central" in str(curve)


def test_integer_inputs_are_left_alone():
    curve = error_curve(lambda w, ids: ops.exp(w[ids]), data(4, 2), np.array([1, 3]))
    assert curve.best("float64", "richardson")[1] < 1e-9


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to differentiate"):
        error_curve(lambda ids: ids, np.array([1]))
    with pytest.raises(ValueError, match="the gradient is 0"):
        error_curve(lambda x: x * 0.0, data(3))


def test_the_picture(tmp_path):
    curve = plot_error_curve(ops.exp, data(3), path=tmp_path / "u.png", name="exp")
    assert curve.name == "exp"
    draw_error_curves([curve] * 4, tmp_path / "four.png")
    for name in ("u.png", "four.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    widths = [int.from_bytes((tmp_path / n).read_bytes()[16:20]) for n in ("u.png", "four.png")]
    assert widths[1] == 3 * widths[0]
