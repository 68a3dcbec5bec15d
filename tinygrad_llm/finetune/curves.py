"""Pictures of a run: what was measured, over the steps. matplotlib is imported when one is drawn.

A picture is a column of panels, each with one or more curves. A metric of every step is drawn
faintly and, smoothed, boldly; one of the evaluations as points; that of the final evaluation, where
there is one, as a diamond.
"""

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.files import write_atomically
from tinygrad_llm.training.metrics import Metrics
from tinygrad_llm.training.plot import FAINT, INK, shown_title, smooth

COLORS = ("#3d7ea6", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#22313f")


@dataclass(frozen=True)
class Panel:
    """One panel: the label of its y axis, and the curves, label -> the metric's name.

    ``spread`` gives for the label of a curve the metric that is its standard deviation, which is
    drawn as a band. ``level`` is a value to compare with, drawn as a dashed line.
    """

    label: str
    curves: dict[str, str]
    spread: dict[str, str] = field(default_factory=dict)
    level: float | None = None


def draw_curves(metrics: list[Metrics], panels: list[Panel], path: Path, title: str = "") -> None:
    """Draw a picture into a PNG file; metrics that no line has are left out."""
    write_atomically(
        path, picture(2.9, len(panels), lambda axes: _draw(metrics, panels, axes), title)
    )


def picture(height: float, rows: int, draw: Any, title: str, width: float = 8.0) -> bytes:
    """A PNG file: ``draw`` is called with a list of ``rows`` axes, one below the other.

    ``height`` is that of each, in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # not the style that the user has set for other drawings
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        figure = Figure(figsize=(width, 0.6 + height * rows), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, 1, squeeze=False)[:, 0])
        axes[0].set_title(
            shown_title(title), loc="left", fontsize=11, color=INK, fontweight="bold",
            parse_math=False,
        )  # fmt: skip
        draw(axes)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _draw(metrics: list[Metrics], panels: list[Panel], all_axes: list[Any]) -> None:
    for panel, axes in zip(panels, all_axes, strict=True):
        if panel.level is not None:
            axes.axhline(panel.level, color=INK, linewidth=0.8, linestyle="--")
        for color, (label, name) in zip(COLORS, panel.curves.items(), strict=False):
            _draw_curve(axes, metrics, label, name, panel.spread.get(label), color)
        axes.set_ylabel(panel.label)
        axes.grid(color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(x=0.02)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    all_axes[-1].set_xlabel("step")


def _draw_curve(
    axes: Any, metrics: list[Metrics], label: str, name: str, spread: str | None, color: str
) -> None:
    lines = [m for m in metrics if m.get(name) is not None and not m.get("final")]
    if lines:
        steps = np.array([m["step"] for m in lines])
        values = np.array([m[name] for m in lines], np.float64)
        if name.startswith("eval_"):
            axes.plot(steps, values, "o-", color=color, linewidth=1.2, markersize=4, label=label)
        else:
            axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
            axes.plot(steps, smooth(values), color=color, linewidth=1.8, label=label)
        if spread is not None:
            width = np.array([m.get(spread) or 0.0 for m in lines], np.float64)
            low, high = values - width, values + width
            axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    last = metrics[-1] if metrics else {}
    if last.get("final") and last.get(name) is not None:
        axes.plot(
            last["step"], last[name], "D", color=color, markersize=7, markeredgecolor="white",
            zorder=5, clip_on=False, label=None if lines else label,
        )  # fmt: skip
