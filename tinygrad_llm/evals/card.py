"""card.png: the scores of an evaluation with their bands and chance levels, as a picture.

This file imports matplotlib only when it draws.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_llm.evals.results import is_metric
from tinygrad_llm.files import write_atomically
from tinygrad_llm.training.plot import FAINT, INK, TRAIN, VALIDATION, shown_title


def draw_card(content: Mapping[str, Any], path: Path, title: str = "") -> None:
    """Draw a bar for the main metric of each task, and a thin one for each of its groups.

    content: that of results.json. What is no share, such as a perplexity, is written as a number.
    """
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # not the style that the user has set for other drawings
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        picture = _draw(content, title)
    write_atomically(path, picture)


def _bars(content: Mapping[str, Any]) -> list[tuple[str, str, float, Any, Any, bool]]:
    """(label, metric, value, band, chance, whether it is a task) from top to bottom."""
    found = []
    for task, config in content["configs"].items():
        for name in (task, *content["group_subtasks"][task]):
            scored = content["results"][name]
            main = [m for m in scored if is_metric(m) and m.removesuffix(",none") == config["main"]]
            metric = (main or [m for m in scored if is_metric(m)])[0]
            band = scored.get(metric.replace(",", "_band,"))
            label = scored["alias"].removeprefix(" - ").replace("_", " ")
            found.append(
                (label, metric.removesuffix(",none"), scored[metric], band, config["chance"],
                 name == task)
            )  # fmt: skip
    return found


def _draw(content: Mapping[str, Any], title: str) -> bytes:
    """The picture as the content of a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = _bars(content)
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(bars)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, (_, metric, value, band, chance, is_task) in enumerate(bars):
        if not 0 <= value <= 1 or band is None:
            axes.text(0.01, y, f"{metric} {value:,.3f}", va="center", color=INK, fontsize=9)
            continue
        color = TRAIN if is_task else "#9dbdd0"
        axes.barh(y, value, height=0.62 if is_task else 0.4, color=color)
        axes.plot(band, [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
        if chance:
            axes.plot([chance] * 2, [y - 0.4, y + 0.4], color=VALIDATION, linewidth=1.2)
        axes.text(
            min(0.99, band[1] + 0.01), y, f"{value:.1%}  {metric}", va="center", fontsize=8,
            color=INK, ha="left" if band[1] < 0.8 else "right",
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of documents, with its 95 % band; red: chance")
    axes.set_title(
        shown_title(title), loc="left", fontsize=11, color=INK, fontweight="bold", parse_math=False
    )
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
