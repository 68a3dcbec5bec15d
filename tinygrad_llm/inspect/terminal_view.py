"""``Pushes`` on a terminal: a line of coloured tokens for each row, and tables of the numbers.

    green    a step of gradient descent makes the token more likely here    dL/dz < 0
    red      less likely                                                    dL/dz > 0
    grey     it does not count

The stronger the colour, the larger dL/dz. Where there is no colour, marks stand for it: [the +9]
is pushed up with the largest dL/dz, [the -2] down with about two ninths of that.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from autograd.debug.format import table
from tinygrad_llm.inspect.pushes import Line, Pushes, TokenPush
from tinygrad_llm.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

UP, DOWN = (0, 110, 50), (185, 30, 40)  # backgrounds of the strongest push, under white text
PALE = 0.25  # strength of colour of the weakest


def show(pushes: Pushes, console: "Console") -> None:
    """Print what the loss says: tokens, then numbers."""
    colored = console.color_system is not None and not console.no_color
    for line in pushes.lines:
        console.print(f"{line.name}:", style="bold")
        console.print(tokens_text(line, strongest(pushes), colored), soft_wrap=not colored)
        console.print()
    for line in pushes.lines:
        console.print(numbers(line, pushes.is_pair), soft_wrap=True)
        console.print()
    for sentence in summary(pushes):
        console.print(sentence, soft_wrap=True)


def strongest(pushes: Pushes) -> float:
    """The largest |dL/dz| of a token's own logit."""
    return max(abs(t.gradient) for line in pushes.lines for t in line.tokens)


def tokens_text(line: Line, scale: float, colored: bool) -> "Text":
    """The tokens of a line one after another, coloured or with marks."""
    from rich.text import Text

    text = Text()
    for document, token in _with_breaks(line):
        if document:
            text.append("\n-- the next text of the row --\n", style="dim" if colored else "")
        shown = printable(token.text)
        share = abs(token.gradient) / scale if scale else 0.0
        if not token.counts:
            text.append(shown, style="bright_black" if colored else "")
        elif colored:
            text.append(shown.replace("\n", "\\n\n"), style=_style(token.gradient, share))
        else:
            mark = f"{'+' if token.gradient < 0 else '-'}{round(9 * share)}"
            text.append("[" + shown.replace("\n", "\\n") + f" {mark}]")
    return text


def _with_breaks(line: Line) -> Iterator[tuple[bool, TokenPush]]:
    """Each token, and whether another text of a packed row begins with it."""
    document = 0
    for token in line.tokens:
        yield token.document != document, token
        document = token.document


def _style(gradient: float, share: float) -> str:
    """White on green or red, the darker the weaker."""
    strength = PALE + (1 - PALE) * math.sqrt(share)
    red, green, blue = (round(strength * c) for c in (UP if gradient < 0 else DOWN))
    return f"white on rgb({red},{green},{blue})"


def numbers(line: Line, is_pair: bool) -> str:
    """The table of the tokens that count, under a line about those that do not."""
    silent = [t for t in line.tokens if not t.counts]
    largest = max((t.norm for t in silent), default=0.0)
    head = (
        f"{line.name}: {len(silent)} of {len(line.tokens)} tokens do not count; their |dL/dz| is "
        f"{largest:g}, |dL/dx| up to {max((t.reach or 0.0 for t in silent), default=0.0):.3g}"
    )
    headers = ["token", ">log p", *[">reference"] * is_pair, ">dL/dz", *[">of both"] * is_pair]
    headers += [">|dL/dz|", ">|dL/dx|", "others that are pushed most"]
    rows = [_numbers_of(t, is_pair) for t in line.tokens if t.counts]
    return f"{head}\n\n{table(headers, rows)}"


def _numbers_of(token: TokenPush, is_pair: bool) -> list[str]:
    others = ", ".join(f"{other.text!r} {other.gradient:+.4f}" for other in token.others[:2])
    cells: list[Any] = [repr(token.text), _number(token.logp, ".3f")]
    cells += [_number(token.reference_logp, ".3f")] * is_pair
    cells += [_number(token.gradient, "+.4f")]
    cells += [_number(token.both, "+.4f")] * is_pair
    return [*cells, _number(token.norm, ".4f"), _number(token.reach, ".3g"), others]


def _number(x: float | None, form: str) -> str:
    return "" if x is None else format(x, form)


def summary(pushes: Pushes) -> Iterator[str]:
    """The loss, what multiplies each push, and how well the closed form agrees."""
    yield f"loss {pushes.loss:.4f} ({pushes.loss_type})"
    for line in pushes.lines:
        yield f"{line.name}: dL/dz = {line.factor:+.4g} (e_y - p) at each token that counts"
    if pushes.rewards is not None:
        chosen, rejected = pushes.rewards
        yield f"rewards: chosen {chosen:+.4f}, rejected {rejected:+.4f}"
    yield (
        f"the engine's dL/dz and this closed form differ by at most {pushes.difference:.1e}; the "
        f"largest number is {pushes.largest:.3g}"
    )
