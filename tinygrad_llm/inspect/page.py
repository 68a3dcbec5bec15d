"""``Pushes`` as a page: one file, no outside links, readable without a server or a network.

The markup is made here, so that the colours are there without a script; the page's script only
shows the details of a token and switches between three views of the same tokens:

    own      dL/dz of the token's own logit
    both     of a pair: the same, but where both answers have read the same, the sum over both
    inputs   the length of dL/dx, what the loss tells each token as an input

Text of the data is data: escaped in the markup, and passed to the script as JSON in which no tag
can begin.
"""

import difflib
import math
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from autograd.debug.explorer.page import as_script_data, fill
from tinygrad_llm.inspect.pushes import Line, Pushes, TokenPush
from tinygrad_llm.terminal import one_line, printable

_TEMPLATE = Path(__file__).with_name("pushes.html")
Place = tuple[int, int]
"""The numbers of a line and of a token in it."""


def page(pushes: Pushes, title: str) -> str:
    """The page; ``title`` says what was inspected."""
    scale = _Scale(pushes)
    body = _pair(pushes, scale) if pushes.is_pair else _row(pushes.lines[0], scale)
    fields = {
        "TITLE": escape(one_line(title)),
        "MODE": "both" if pushes.is_pair else "own",
        "KIND": "pair" if pushes.is_pair else "row",
        "CARDS": "\n".join(_cards(pushes)),
        "STORY": _story(pushes),
        "TOKENS": "\n".join(body),
        "NUMBERS": "\n".join(_numbers(pushes)),
        "DATA": as_script_data(
            [
                {
                    "name": line.name,
                    "factor": line.factor,
                    "tokens": [_details(token, scale) for token in line.tokens],
                }
                for line in pushes.lines
            ]
        ),
    }
    return fill(_TEMPLATE.read_text(encoding="utf-8"), fields)


def _details(token: TokenPush, scale: "_Scale") -> dict[str, Any]:
    others = [{**asdict(other), "text": shown(other.text)} for other in token.others]
    seen = {"text": shown(token.text), "others": others, "cancels": scale.cancels(token)}
    return {**asdict(token), **seen}


def shown(text: str) -> str:
    """A token's text with its line ends and control codes made visible."""
    return printable(text.replace("\r", "\\r").replace("\n", "\u21b5").replace("\t", "\u21e5"))


# --- the tokens -----------------------------------------------------------------------------------


class _Scale:
    """How strong the colour of a token is in each view, from 0 to 1."""

    def __init__(self, pushes: Pushes) -> None:
        tokens = [token for line in pushes.lines for token in line.tokens]
        self.gradient = max((abs(token.gradient) for token in tokens), default=0.0)
        self.reach = max((token.reach or 0.0 for token in tokens), default=0.0)
        self.noise = 10 * pushes.difference  # a sum that is smaller is rounding: it is drawn as 0

    def style(self, token: TokenPush) -> str:
        both = token.gradient if token.both is None else token.both
        both = 0.0 if abs(both) <= self.noise else both
        values = {
            "own": _strength(token.gradient, self.gradient),
            "both": _strength(both, self.gradient),
            "inputs": _strength(token.reach or 0.0, self.reach),
        }
        return ";".join(f"--{name}:{value:.3g}" for name, value in values.items())

    def cancels(self, token: TokenPush) -> bool:
        """Whether nothing is left of the pushes of both answers."""
        return token.both is not None and abs(token.both) <= self.noise < abs(token.gradient)


def _strength(x: float, largest: float) -> float:
    """The square root of the share, so that small pushes can be seen; 0 only for 0."""
    return 0.1 + 0.8 * math.sqrt(abs(x) / largest) if x and largest else 0.0


def _token(place: Place, token: TokenPush, scale: _Scale) -> str:
    kind = ("up" if token.gradient < 0 else "down") if token.counts else "silent"
    kind += " cancels" if scale.cancels(token) else ""
    key = "{}.{}".format(*place)
    return (
        f'<span class="t {kind}" data-k="{key}" tabindex="-1" role="button" '
        f'style="{scale.style(token)}">{escape(shown(token.text)) or "&#8203;"}</span>'
    )


def _run(line: Line, number: int, places: range, scale: _Scale) -> str:
    """Tokens as running text."""
    parts = []
    for i in places:
        parts.append(_token((number, i), line.tokens[i], scale))
        parts += ["<br>"] * line.tokens[i].text.count("\n")
    return f'<p class="run">{"".join(parts)}</p>'


def _row(line: Line, scale: _Scale) -> Iterator[str]:
    """The texts of a row, one below the other."""
    last = max(token.document for token in line.tokens)
    for document in range(last + 1):
        places = [i for i, token in enumerate(line.tokens) if token.document == document]
        if last:
            counts = any(line.tokens[i].counts for i in places)
            what = "the labels of this text count" if counts else "a neighbour: no label counts"
            yield f"<h2>Text {document + 1} of the packed row <small>{what}</small></h2>"
        yield _run(line, 0, range(places[0], places[-1] + 1), scale)


def _pair(pushes: Pushes, scale: _Scale) -> Iterator[str]:
    """The prompt, then the chosen answer above the rejected one, equal tokens in one column."""
    lines = pushes.lines
    n = min(i for i, token in enumerate(lines[0].tokens) if token.counts)
    yield f"<h2>Prompt <small>{n} tokens, no label counts</small></h2>"
    yield _run(lines[0], 0, range(n), scale)
    yield "<h2>Answers</h2>"
    yield '<div class="columns">'
    yield '<span class="names"><b>chosen</b><b>rejected</b></span>'
    ids = [[token.id for token in line.tokens[n:]] for line in lines]
    parted = False
    for chosen, rejected in _columns(*ids):
        if chosen is None or rejected is None or ids[0][chosen] != ids[1][rejected]:
            if not parted:
                yield '<span class="fork" title="Here the answers part."></span>'
            parted = True
        cells, ends = [], 0
        for number, i in enumerate((chosen, rejected)):
            token = None if i is None else lines[number].tokens[n + i]
            cells.append(
                '<span class="gap"></span>'
                if token is None or i is None
                else _token((number, n + i), token, scale)
            )
            ends = max(ends, token.text.count("\n") if token else 0)
        yield f'<span class="column">{"".join(cells)}</span>' + '<span class="end"></span>' * ends
    yield "</div>"


def _columns(a: list[int], b: list[int]) -> Iterator[tuple[int | None, int | None]]:
    """Numbers of tokens of two answers that stand above each other; None where one has a gap."""
    for _, i, i_end, j, j_end in difflib.SequenceMatcher(None, a, b, False).get_opcodes():
        for k in range(max(i_end - i, j_end - j)):
            yield (i + k if i + k < i_end else None), (j + k if j + k < j_end else None)


# --- the numbers ----------------------------------------------------------------------------------


def _cards(pushes: Pushes) -> Iterator[str]:
    def card(name: str, value: str, note: str) -> str:
        return f"<div><dt>{name}</dt><dd>{value}</dd><small>{note}</small></div>"

    tokens = [token for line in pushes.lines for token in line.tokens]
    count = sum(token.counts for token in tokens)
    if pushes.rewards is None:
        yield card("loss", f"{pushes.loss:.4f}", "nats per token that counts")
        yield card("tokens that count", f"{count}", f"of {len(tokens)} in the row")
        yield card("factor c", number(pushes.lines[0].factor), "of each of them: &minus;1/N")
    else:
        yield card("loss", f"{pushes.loss:.4f}", escape(pushes.loss_type))
        chosen, rejected = pushes.rewards
        equal = all(token.logp == token.reference_logp for token in tokens)
        note = "chosen / rejected" + "; the policy is still the reference" * equal
        yield card("rewards", f"{number(chosen)} / {number(rejected)}", note)
        factors = " / ".join(number(line.factor) for line in pushes.lines)
        yield card("factor c", factors, "of each token of chosen / rejected")
    yield card(
        "engine and closed form", f"&le; {pushes.difference:.1e}",
        f"apart, at any position and id; the largest number is {number(pushes.largest)}",
    )  # fmt: skip


def _story(pushes: Pushes) -> str:
    push = (
        "Each token is predicted at the position before it, from logits <i>z</i>. There "
        '<span class="math">dL/dz = c (e<sub>y</sub> &minus; p)</span>: the token\'s own logit is '
        "pushed one way, every other id's the other way by its share of the probability <i>p</i>. "
    )
    if not pushes.is_pair:
        return push + (
            '<b class="up">Green</b> tokens are made more likely, the more so the less the model '
            "expected them. What does not count gets exactly 0 at its logits."
        )
    return push + (
        '<b class="up">Green</b> tokens are made more likely, <b class="down">red</b> ones less. '
        "As long as both answers have read the same, their gradients meet at the same position and "
        "add up: with equal factors the beginning that they share cancels, and the loss pushes "
        "where the answers differ."
    )


def _numbers(pushes: Pushes) -> Iterator[str]:
    """The rows of the table of all tokens that count."""
    for line in pushes.lines:
        for token in line.tokens:
            if token.counts:
                cells = [
                    escape(line.name), f"<code>{escape(shown(token.text))}</code>",
                    *map(number, (
                        token.logp, token.reference_logp, token.gradient, token.both, token.norm,
                        token.reach,
                    )),
                ]  # fmt: skip
                yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def number(x: float | None) -> str:
    """Four digits; a dash for None."""
    if x is None:
        return "&ndash;"
    return f"{x:.4g}".replace("-", "&minus;")
