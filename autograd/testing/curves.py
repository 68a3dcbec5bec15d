"""The U-curve: the error of a finite difference against the size of its step.

With large steps the formula is to blame: the error of D(h) falls as h^2, that of Richardson's R(h)
as h^4. With small steps rounding is: f(x + h d) and f(x - h d) agree in more and more digits, their
difference keeps fewer and fewer, and the error grows as eps / h. The best step lies in between,
near eps^(1/3) for D and eps^(1/5) for R. The curve also shows why gradients are checked in float64:
in float32 its bottom is ten thousand times higher.

matplotlib is imported only to draw.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.testing.differences import FirstOrder, tensors

STEPS = tuple(10.0 ** (-k / 4) for k in range(2, 57))
"""From 0.3 down to 1e-14, four per factor of ten."""
DTYPES = ("float32", "float64")
FORMULAS = {"central": "D(h), central difference", "richardson": "R(h), with Richardson's step"}


@dataclass
class ErrorCurve:
    """The relative error of measured slopes, for each step, type and formula."""

    steps: np.ndarray
    errors: dict[tuple[str, str], np.ndarray]
    """(dtype, "central" or "richardson") -> an error per step, NaN where f was not finite."""
    name: str = ""

    def best(self, dtype, formula):
        """The step with the smallest error, as (h, error)."""
        error = self.errors[dtype, formula]
        k = int(np.nanargmin(error))
        return float(self.steps[k]), float(error[k])

    def __str__(self):
        lines = [" " * 38 + "best step h   relative error"]
        for dtype, formula in self.errors:
            h, error = self.best(dtype, formula)
            lines.append(f"{dtype}, {FORMULAS[formula]:<28} {h:>11.0e}   {error:>14.1e}")
        return "\n".join(lines)


def error_curve(
    f: Callable[..., Tensor],
    *inputs: TensorLike,
    steps: Sequence[float] | np.ndarray = STEPS,
    directions: int = 8,
    seed: int = 0,
    name: str = "",
) -> ErrorCurve:
    """Measure the slopes of ``f`` with many steps, in float32 and float64.

    ``f`` and ``inputs`` are as for check_grad. L = sum(w f(x)), with random w, is moved along
    random ``directions`` through all floating-point inputs at once, every element by about h. An
    error is the root mean square, over the directions, of the difference to the analytic slope in
    float64, relative to that of the slopes: so check the gradient first.
    Returns an ErrorCurve. Raises ValueError when no input has a floating-point type, or when all
    slopes are 0.
    """
    arrays = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    floating = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    if not floating:
        raise ValueError("no input has a floating-point type, so there is nothing to differentiate")
    rng = np.random.default_rng([seed, 11])
    arrays = [a.astype(np.float64) if i in floating else a for i, a in enumerate(arrays)]
    ds = [[rng.standard_normal(arrays[i].shape) for i in floating] for _ in range(directions)]
    w = rng.standard_normal(f(*tensors(arrays, ())).shape)
    gradients = FirstOrder(f, floating).gradients([*arrays, w])
    exact = np.array(
        [sum(np.vdot(gradients[i], p) for i, p in zip(floating, d, strict=True)) for d in ds]
    )
    if not np.any(exact):
        raise ValueError("the gradient is 0, so errors relative to it are undefined")
    steps, errors = np.asarray(steps, dtype=np.float64), {}
    for dtype in DTYPES:
        slopes = np.array(
            [[_slopes(f, arrays, floating, w, d, h, dtype) for d in ds] for h in steps]
        )
        for k, formula in enumerate(FORMULAS):
            square = np.mean((slopes[:, :, k] - exact) ** 2, axis=1) / np.mean(exact**2)
            errors[dtype, formula] = np.sqrt(square)
    return ErrorCurve(steps, errors, name)


def _slopes(f, arrays, floating, w, d, h, dtype):
    """D(h) and R(h), with f evaluated in ``dtype`` and its output weighted in float64."""

    def moved_by(t):
        moved = list(arrays)
        for i, part in zip(floating, d, strict=True):
            moved[i] = np.asarray(arrays[i] + t * part).astype(dtype)
        return float(np.sum(w * f(*tensors(moved, ())).data))

    with np.errstate(all="ignore"):
        coarse, fine = ((moved_by(s) - moved_by(-s)) / (2 * s) for s in (h, h / 2))
        return coarse, (4 * fine - coarse) / 3


def plot_error_curve(
    f: Callable[..., Tensor],
    *inputs: TensorLike,
    path: str | os.PathLike,
    name: str = "",
    **options: Any,
) -> ErrorCurve:
    """Draw the U-curve of ``f`` as a PNG at ``path``, and return the ErrorCurve.

    ``options`` are those of error_curve.
    """
    curve = error_curve(f, *inputs, name=name, **options)
    draw_error_curves([curve], path)
    return curve


COLORS = {"float32": "#d1495b", "float64": "#2f6f9f"}
LABELS: dict[tuple[str, str], tuple[str, tuple[int, int]]] = {
    ("float32", "central"): ("left", (3, -6)),
    ("float32", "richardson"): ("left", (7, 0)),
    ("float64", "central"): ("center", (0, -8)),
    ("float64", "richardson"): ("center", (0, -8)),
}
"""Alignment and offset of the label at each curve's bottom, clear of the other curves."""
INK, FAINT = "#22313f", "#e3e7ec"


def draw_error_curves(curves: Sequence[ErrorCurve], path: str | os.PathLike) -> None:
    """Draw several ErrorCurves side by side, each in a panel titled by its name, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(curves), 3)
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(7.2 * columns, 5.2 * rows), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    for panel, curve in zip(panels, curves, strict=False):
        _draw(panel, curve)
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw(panel, curve):
    for (dtype, formula), error in curve.errors.items():
        plain = formula == "central"
        shown = np.where(error > 0, error, np.nan)
        panel.loglog(
            curve.steps,
            shown,
            color=COLORS[dtype],
            linewidth=1.5 if plain else 2.2,
            linestyle=(0, (4, 2)) if plain else "-",
            label=f"{dtype}, {FORMULAS[formula]}",
        )
        h, least = curve.best(dtype, formula)
        panel.plot(h, least, "o", color=COLORS[dtype], markersize=6, markeredgecolor="white")
        across, place = LABELS[dtype, formula]
        panel.annotate(
            f"h = {h:.0e}\n{least:.0e}".replace("e-0", "e-"),
            (h, least),
            xytext=place,
            textcoords="offset points",
            ha=across,
            va="top",
            fontsize=8,
            color=COLORS[dtype],
        )
    _guides(panel, curve)
    panel.set_xlim(curve.steps.min() * 0.7, curve.steps.max() * 2.5)
    panel.set_ylim(1e-16, 100)
    panel.set_xlabel("step h")
    panel.set_ylabel("relative error of the measured slope")
    title = f"{curve.name}: error against step size" if curve.name else "error against step size"
    panel.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    panel.grid(color=FAINT, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8.5, loc="lower left")


def _guides(panel, curve):
    """Labels next to the two arms of the U, with the power of h that they follow."""
    steps = curve.steps
    for formula, power, law in (("central", 2, "$h^2$"), ("richardson", 4, "$h^4$")):
        h, least = curve.best("float64", formula)
        arm = curve.errors["float64", formula][(steps > 3 * h) & (steps < 0.2)]
        at = steps[(steps > 3 * h) & (steps < 0.2)]
        if len(at) < 2 or not np.isfinite(arm).all() or (arm <= 0).any():
            continue
        middle = 3 * len(at) // 4  # steps fall: nearer to the bottom of the U
        panel.annotate(
            law,
            (at[middle], arm[middle]),
            xytext=(8, -8),
            textcoords="offset points",
            fontsize=10,
            color=COLORS["float64"],
        )
        if not math.isclose(np.polyfit(np.log(at), np.log(arm), 1)[0], power, abs_tol=0.7):
            panel.texts[-1].remove()  # this function does not follow the law here
    for dtype in DTYPES:
        h, _ = curve.best(dtype, "central")
        k = int(np.argmin(np.abs(np.log(steps) - np.log(h / 300))))
        error = curve.errors[dtype, "central"][k]
        if np.isfinite(error) and error > 0:
            panel.annotate(
                r"$\epsilon / h$",
                (steps[k], error),
                xytext=(-8, -10),
                textcoords="offset points",
                ha="right",
                fontsize=10,
                color=COLORS[dtype],
            )
