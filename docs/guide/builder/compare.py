"""Whether what a snippet printed is what the guide shows."""

import re

NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that move the cursor, ring or colour; tabs and newlines may stay."""
LINES, LENGTH = 60, 400
"""How many lines a message shows of a text, and how much of each."""
APPROXIMATELY = 0.02
"""The relative difference that ``output approx`` allows."""


def difference(shown: str, printed: str, words: tuple[str, ...]) -> str | None:
    """How a printed text differs from the shown one, in a sentence; None where it does not.

    ``words`` are the output block's: with ``approx`` numbers may differ by 2 %, with ``measured``
    they are free; all else has to be equal. Spaces at the ends of lines never count.
    """
    expected, found = lines(shown), lines(printed)
    if expected == found:
        return None
    for number, (line, other) in enumerate(zip(expected, found, strict=False), 1):
        if not same_line(line, other, words):
            wrong = f"expected {brief(repr(line))}, found {brief(repr(other))}"
            return f"its output differs in line {number}: {wrong}"
    if len(expected) == len(found):
        return None
    if len(expected) < len(found):
        return f"it printed more than is shown, from line {len(expected) + 1}: " + brief(
            repr(found[len(expected)])
        )
    return f"it printed less than is shown; missing from line {len(found) + 1}: " + brief(
        repr(expected[len(found)])
    )


def brief(text: str) -> str:
    """A text as a message shows it: not too long, and without what steers a terminal."""
    rows = text.split("\n")
    if len(rows) > LINES:
        left_out = f"... ({len(rows) - LINES} lines more) ..."
        rows = [*rows[: LINES // 2], left_out, *rows[-LINES // 2 :]]
    rows = [row if len(row) <= LENGTH else row[:LENGTH] + "..." for row in rows]
    return STEERING.sub(lambda match: ascii(match[0])[1:-1], "\n".join(rows))


def lines(text: str) -> list[str]:
    """A text's lines without spaces at their ends and without empty ones at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []


def same_line(line: str, other: str, words: tuple[str, ...]) -> bool:
    """Whether two lines agree under an output block's words."""
    if line == other:
        return True
    if not {"approx", "measured"} & set(words):
        return False
    # Columns that are as wide as their numbers shift with them.
    if NUMBER.sub("0", line).split() != NUMBER.sub("0", other).split():
        return False
    if "measured" in words:
        return True
    pairs = zip(NUMBER.findall(line), NUMBER.findall(other), strict=True)
    return all(close(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs)


def close(a: float, b: float) -> bool:
    """Whether two numbers agree to 2 %."""
    return abs(a - b) <= APPROXIMATELY * max(abs(a), abs(b))
