"""A ``Reading`` on a terminal, as three tables.

    layers    the most likely token of every layer, at the last positions that fit
    tokens    each token of the prompt: how well it was predicted, and what the loss says to it
    heads     each layer's heads: how widely they look, and which looks where

On a terminal with colours the shade of a cell is its probability; without, a number is.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from autograd.debug.format import table
from tinygrad_llm.inspect.reading import Reading
from tinygrad_llm.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

CELL = 11  # columns of a token in the table of layers
STRONG, PALE = (0, 105, 150), (44, 48, 54)  # backgrounds of p = 1 and p = 0, under white text


def show(reading: Reading, console: "Console", position: int | None = None) -> None:
    """Print the tables; ``position`` is the last column of that of the layers."""
    end = len(reading.texts) - 1 if position is None else position
    colored = console.color_system is not None and not console.no_color
    console.print("what each layer would say comes next", style="bold")
    console.print(layers(reading, end, console.width, colored))
    shade = "the bluer, the more likely" if colored else "its probability in percent"
    console.print(
        f"a cell is the most likely next token after what is above it, and {shade}; "
        "* it is the one that does come next"
    )
    console.print()
    console.print(f"after token {end}", style="bold")
    console.print(ranking(reading, end))
    console.print()
    console.print("the tokens", style="bold")
    console.print(tokens(reading))
    console.print()
    console.print("the heads", style="bold")
    console.print(heads(reading))
    console.print()
    for sentence in checks(reading):
        console.print(sentence, soft_wrap=True)


def fit(text: str, length: int) -> str:
    """The text in at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}\u2026"


def visible(text: str) -> str:
    """A token for a cell: a space alone as a sign."""
    return printable(text if text.strip(" ") else text.replace(" ", "\u2423"))


def layers(reading: Reading, end: int, width: int, colored: bool) -> "Table":
    """A row for each state of the residual stream, a column for each position up to ``end``."""
    from rich.table import Table

    names = reading.lens.names
    first = max(map(len, names))
    start = max(0, end + 1 - max(1, (width - first - 1) // (CELL + 1)))
    grid = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    grid.add_column("", min_width=first, no_wrap=True)
    for t in range(start, end + 1):
        grid.add_column(
            _text(f" {fit(visible(reading.texts[t]), CELL - 1)}"), min_width=CELL, no_wrap=True
        )
    for n, name in enumerate(names):
        cells = [_cell(reading, n, t, colored) for t in range(start, end + 1)]
        grid.add_row(_text(name), *cells)
    return grid


def _cell(reading: Reading, n: int, t: int, colored: bool) -> "Text":
    lens = reading.lens
    p = float(lens.top_p[n, t, 0])
    right = "*" if t + 1 < len(lens.ids) and lens.top_ids[n, t, 0] == lens.ids[t + 1] else " "
    text = visible(reading.best(n, t))
    if not colored:
        return _text(f"{right}{fit(text, CELL - 4)} {min(99, round(100 * p)):2d}")
    shades = [round(a + p * (b - a)) for a, b in zip(PALE, STRONG, strict=True)]
    style = f"{'bold ' * (right == '*')}bright_white on rgb({','.join(map(str, shades))})"
    return _text(f"{right}{fit(text, CELL - 1):<{CELL - 1}}", style)


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style)


def ranking(reading: Reading, t: int) -> str:
    """What the last layer finds most likely at a position, with where it was settled."""
    lens = reading.lens
    rows = [
        [rank, repr(reading.vocabulary[int(j)]), f"{p:.4f}"]
        for rank, (j, p) in enumerate(zip(lens.top_ids[-1, t], lens.top_p[-1, t], strict=True), 1)
    ]
    n = int(lens.settled[t])
    since = (
        "only the last layer says so" if n == len(lens.names) - 1 else f"from {lens.names[n]} on"
    )
    rows[0].append(since)
    return table([">", "next token", ">p", "most likely"], [[*row, ""][:4] for row in rows])


def tokens(reading: Reading) -> str:
    """A row for each token: p and rank under the model, and the gradient at its embedding."""
    lens, gradients = reading.lens, reading.gradients
    rows = []
    for t, text in enumerate(reading.texts):
        row: list[Any] = [t, repr(text), "", "", "", "", ""]
        if t > 0:
            settled = int(lens.settled[t - 1])
            guessed = lens.rank[-1, t - 1] == 1
            row[2:5] = f"{np.exp(lens.logp[-1, t - 1]):.4f}", f"{lens.rank[-1, t - 1]:,}", ""
            row[4] = lens.names[settled] if guessed else ""
        if gradients is not None and t < len(gradients.length):
            row[5:] = f"{gradients.length[t]:.3g}", f"{gradients.times_input[t]:+.3g}"
        rows.append(row)
    return table(
        [">", "token", ">p", ">rank", "first from", ">|dL/dx|", ">x dL/dx"], rows
    )  # fmt: skip


def heads(reading: Reading) -> str:
    """A row for each layer: its mean entropy, and of each kind of look the head that has most."""
    maps = reading.maps
    rows = []
    for layer, entropy in enumerate(maps.entropy):
        row = [layer, f"{entropy.mean():.2f}", _best(-entropy, -1, ".2f")]
        row += [_best(getattr(maps, name)[layer]) for name in ("first", "previous", "repeated")]
        rows.append(row)
    headers = [">layer", ">entropy", ">narrowest", ">first token", ">token before", ">repeated"]
    return table(headers, rows)


def _best(numbers: np.ndarray, sign: int = 1, form: str = ".0%") -> str:
    if np.isnan(numbers).all():
        return ""
    head = int(np.argmax(numbers))
    return f"{sign * numbers[head]:{form}} head {head}"


def checks(reading: Reading) -> list[str]:
    """What the numbers mean, and how well they agree with the model's own."""
    lens, maps, gradients = reading.lens, reading.maps, reading.gradients
    found = []
    if gradients is not None:
        whose = "the last token" if gradients.of == "last" else "a token, on average"
        found.append(
            f"L is the loss of {whose}: {gradients.loss:.4f} nats; x is the row of the token table"
        )
    found.append(
        "entropy is in nats, the shares of a head are means over its queries; repeated: what came "
        "next the last time the same token was read"
    )
    found.append(
        f"the last layer's logits and the model's differ by at most {lens.difference:.1e}, the "
        f"maps times the values and the attention's output by {maps.difference:.1e} of "
        f"{maps.largest:.3g}"
    )
    return found
