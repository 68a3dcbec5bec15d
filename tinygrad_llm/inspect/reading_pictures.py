"""A ``Reading`` as two pictures: the table of layers, and the grid of heads.

This file imports matplotlib only when it draws.
"""

import io
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.files import write_atomically
from tinygrad_llm.inspect.reading import Reading, spread
from tinygrad_llm.terminal import one_line

INK, FAINT, ACCENT = "#22313f", "#7b8794", "#b5482a"
COLUMNS = 24  # positions that the picture of the lens can show
ACROSS = 32  # layers, and heads, that the picture of maps can show
TILE, LARGE_TILE = 0.62, 1.0  # inches of a map, and of one of more than 64 tokens
LETTERS = 9  # of a token in a cell
LONGEST_TITLE = 110


def draw_lens(reading: Reading, path: Path, title: str = "") -> None:
    """Write the table of layers: each cell is the most likely next token, its shade p.

    The last ``COLUMNS`` positions are drawn. A frame marks the token that does come next.
    """
    T, N = len(reading.texts), len(reading.lens.names)
    start = max(0, T - COLUMNS)
    size = 1.3 + 0.78 * (T - start), 1.7 + 0.24 * N
    _write(path, size, lambda figure: _draw_lens(figure, reading, start, title))


def _draw_lens(figure: Any, reading: Reading, start: int, title: str) -> None:
    from matplotlib.patches import Rectangle

    lens = reading.lens
    axes = figure.add_subplot()
    p = lens.top_p[:, start:, 0]  # (N, T')
    image = axes.imshow(p, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
    for n, t in np.ndindex(p.shape):
        axes.text(
            t, n, seen(reading.best(n, start + t)), ha="center", va="center", fontsize=8,
            color="white" if p[n, t] > 0.65 else INK, parse_math=False,
        )  # fmt: skip
        at = start + t
        if at + 1 < len(lens.ids) and lens.top_ids[n, at, 0] == lens.ids[at + 1]:
            axes.add_patch(
                Rectangle((t - 0.47, n - 0.44), 0.94, 0.88, fill=False, ec=ACCENT, lw=1.1)
            )
    names = [seen(text) for text in reading.texts[start:]]
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=30, ha="left", parse_math=False)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(lens.names)), lens.names, fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, aspect=40)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=0)
    first = "" if start == 0 else f" (the last {len(names)} of {len(reading.texts)} tokens)"
    _head(figure, title, f"The most likely next token after each layer; colour: its probability; "
          f"framed: the token that does come next{first}")  # fmt: skip


def draw_heads(reading: Reading, path: Path, title: str = "") -> None:
    """Write the grid of attention maps: a column for each layer, a row for each head.

    Above each is its entropy. Of more than ``ACROSS`` layers or heads, some are drawn.
    """
    kept = sorted(reading.maps.weights)
    layers = [kept[i] for i in spread(len(kept), ACROSS)]
    heads = spread(reading.maps.entropy.shape[1], ACROSS)
    tile = TILE if len(reading.texts) <= 64 else LARGE_TILE
    size = max(4.5, 0.6 + tile * len(layers)), 1.1 + tile * len(heads)
    _write(path, size, lambda figure: _draw_heads(figure, reading, layers, heads, title))


def _draw_heads(
    figure: Any, reading: Reading, layers: list[int], heads: list[int], title: str
) -> None:
    from matplotlib.colors import PowerNorm

    maps, T = reading.maps, len(reading.texts)
    step = T + max(1, round(0.25 * T))  # from one map to the next
    mosaic = np.full((len(heads) * step, len(layers) * step), np.nan)
    above = np.triu(np.ones((T, T), bool), 1)
    axes = figure.add_subplot()
    for (i, head), (j, layer) in itertools.product(enumerate(heads), enumerate(layers)):
        y, x = (i + 1) * step - T, j * step
        mosaic[y : y + T, x : x + T] = np.where(above, np.nan, maps.weights[layer][head])
        axes.text(
            x + T - 0.5, y - 0.5, f"{maps.entropy[layer, head]:.2f}", ha="right", va="bottom",
            fontsize=5, color=FAINT,
        )  # fmt: skip
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # shares of a few percent can be seen, too
    axes.imshow(mosaic, cmap="YlGnBu", norm=norm, aspect="equal")
    middle = (T - 1) / 2
    axes.set_xticks(np.arange(len(layers)) * step + middle, layers, fontsize=7)
    axes.set_yticks((np.arange(len(heads)) + 1) * step - T + middle, heads, fontsize=7)
    axes.set_xlabel("layer", fontsize=8, color=INK)
    axes.set_ylabel("head", fontsize=8, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    L, H = maps.entropy.shape
    some = f" ({len(layers)} of {L} layers, {len(heads)} of {H} heads)"
    _head(
        figure, title, "Where each head looks: row = query, column = key, dark = much"
        f"{'' if (len(layers), len(heads)) == (L, H) else some}; above each: its entropy in nats",
    )  # fmt: skip


def _head(figure: Any, title: str, about: str) -> None:
    """Two lines above the picture: what it is of, and how to read it; both are shown literally."""
    width = int(figure.get_figwidth() * 12)
    lines = [_cut(one_line(title), min(LONGEST_TITLE, width))]
    while about:  # wrapped by hand: text of matplotlib's own wrapping leaves the layout out
        cut = (
            about if len(about) <= width * 1.25 else about[: about.rfind(" ", 0, int(width * 1.25))]
        )
        lines.append(cut.strip())
        about = about[len(cut) :].strip()
    figure.suptitle(
        "\n".join(lines), x=0.01, ha="left", fontsize=9, color=INK, parse_math=False,
        linespacing=1.4,
    )  # fmt: skip


def seen(text: str, letters: int = LETTERS) -> str:
    """A token for a cell: a space alone as a sign, and not too long."""
    return _cut(one_line(text.replace(" ", "\u2423") if not text.strip(" ") else text), letters)


def _cut(text: str, length: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= length else f"{text[: length - 1]}\u2026"


def _write(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Write what ``draw`` draws into a figure of this size, in inches, as a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # not the style that the user has set for other drawings
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        figure, picture = Figure(figsize=size, dpi=150, layout="constrained"), io.BytesIO()
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(path, picture.getvalue())
