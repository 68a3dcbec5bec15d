"""Pictures of the loss over the steps: of a run (loss.png), and of several runs together.

This file imports matplotlib only when it draws.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.files import write_atomically
from tinygrad_llm.terminal import one_line
from tinygrad_llm.training.metrics import Metrics

LONGEST_TITLE = 90
INK, FAINT, TRAIN, VALIDATION = "#22313f", "#dfe4ea", "#3d7ea6", "#d1495b"


def plot_runs(runs: Mapping[str, list[Metrics]], path: Path) -> None:
    """Draw the losses of several runs, each by its name in a colour of its own.

    Training losses are smoothed and thin, the quick evaluations have dots. Fine-tuning's metrics,
    whose losses have other names, are drawn too.
    """
    _write(path, lambda axes: _draw_runs(axes, runs))


def _draw_runs(axes: Any, runs: Mapping[str, list[Metrics]]) -> None:
    for number, (name, metrics) in enumerate(runs.items()):
        color, label = f"C{number % 10}", shown_title(name).replace("$", r"\$").lstrip("_")
        train = _points(metrics, "train_loss", "loss")
        if len(train):
            axes.plot(train[:, 0], smooth(train[:, 1]), color=color, alpha=0.5, linewidth=1.0)
        validation = _points([m for m in metrics if not m.get("final")], "val_loss", "eval_loss")
        axes.plot(*validation.T, "o-", color=color, linewidth=1.6, markersize=4, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (validation with dots, training thin)")


def _points(metrics: list[Metrics], *names: str) -> np.ndarray:
    """(N, 2): the steps and the values of the first of these names that a line has."""
    points = [(m["step"], m[n]) for m in metrics for n in names if m.get(n) is not None]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def plot_loss(metrics: list[Metrics], path: Path, title: str = "") -> None:
    """Draw the training loss (each step faint, smoothed bold) and the validation loss.

    The right-hand axis gives the validation loss in bits per byte, which differs by a factor that
    depends on the tokenizer. Lines without a loss (null: not finite) are left out. The title is
    shown literally, even if a name in it contains $ signs or bytes that are not text.
    """
    _write(path, lambda axes: _draw(axes, metrics, title))


def _draw(axes: Any, metrics: list[Metrics], title: str) -> None:
    train = [(m["step"], m["train_loss"]) for m in metrics if m.get("train_loss") is not None]
    validation = [m for m in metrics if m.get("val_loss") is not None]
    if train:
        steps, losses = np.array(train, dtype=np.float64).T
        axes.plot(steps, losses, color=TRAIN, alpha=0.25, linewidth=0.8)
        axes.plot(steps, smooth(losses), color=TRAIN, linewidth=1.8, label="training")
    if validation:
        _draw_validation(axes, validation)
        last = validation[-1]
        if last.get("val_bits_per_byte") and last["val_loss"]:
            _bits_axis(axes, last["val_bits_per_byte"] / last["val_loss"])
            title = f"{title}   {last['val_bits_per_byte']:.3f} bits per byte".strip()
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(
        shown_title(title), loc="left", fontsize=11, color=INK, fontweight="bold", parse_math=False
    )


def _write(path: Path, draw: Callable[[Any], None]) -> None:
    """Write what ``draw`` draws into axes as a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # not the style that the user has set for other drawings
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        figure, picture = Figure(figsize=(8, 4.5), dpi=150, layout="constrained"), io.BytesIO()
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes)
        _style(axes)
        figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(path, picture.getvalue())


def _style(axes: Any) -> None:
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _draw_validation(axes: Any, validation: list[Metrics]) -> None:
    """The quick evaluations as a line, and the final one as a separate mark."""
    points = [(m["step"], m["val_loss"]) for m in validation if not m.get("final")]
    if points:
        axes.plot(
            *zip(*points, strict=True), "o-", color=VALIDATION, linewidth=1.2, markersize=4,
            label="validation (a part)",
        )  # fmt: skip
    last = validation[-1]
    if last.get("final"):
        axes.plot(
            last["step"], last["val_loss"], "D", color=VALIDATION, markersize=7,
            markeredgecolor="white", label="validation (whole)", zorder=5, clip_on=False,
        )  # fmt: skip


def shown_title(title: str) -> str:
    """The title without characters that no font can draw, cut to the width of the picture."""
    title = one_line(title).encode("utf-8", "backslashreplace").decode("utf-8")
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}\u2026"


def _bits_axis(axes: Any, bits_per_nat: float) -> None:
    right = axes.secondary_yaxis(
        "right", functions=(lambda y: y * bits_per_nat, lambda y: y / bits_per_nat)
    )
    right.set_ylabel("bits per byte")
    right.spines["right"].set_visible(False)


def smooth(values: np.ndarray, width: float | None = None) -> np.ndarray:
    """``values`` (N,) averaged over their neighbours, weighted by a Gaussian of ``width`` steps.

    Both sides count, so the curve does not lag behind; at the ends there are fewer neighbours. The
    default width grows with the number of values, from 1 to 15.
    """
    width = width or min(15.0, max(1.0, len(values) / 60))
    reach = int(3 * width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)  # (2 reach + 1,)
    total = np.convolve(values, weights)[reach : reach + len(values)]
    return total / np.convolve(np.ones(len(values)), weights)[reach : reach + len(values)]
