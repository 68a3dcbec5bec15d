"""Nothing runs out of a page: the pages are looked at, and the margins have to be empty.

A formula, a table or a name in `code` that is too wide is set all the same, over the margin and
off the paper. What is there is seen best in a picture of the page.
"""

import io

from PIL import Image

from builder.press import Press
from builder.problems import Problem

PPI = 36
"""Pixels an inch: a letter is a few pixels wide, which is enough to see that one is there."""
PAPER = (210.0, 297.0)
"""Width and height of a page, in millimetres. These lengths are those of template/guide.typ."""
INSIDE, OUTSIDE = 27.0, 23.0
"""The margins at the spine and at the other edge."""
NUMBERS = 11.0
"""How far line numbers reach into the left margin."""
FOOT = 12.0
"""What is empty below the page's number."""
SLACK = 1.5
"""What an accent or a slanted letter may reach out."""


def margin_problems(press: Press) -> list[Problem]:
    """A problem for each page with something in its margins."""
    problems = []
    for number, picture in enumerate(press.pictures(PPI), 1):
        if has_ink_outside(picture, number):
            problems.append(_problem(press, number))
    return problems


def has_ink_outside(picture: bytes, number: int) -> bool:
    """Whether a page has anything beside its text or below its foot."""
    page = Image.open(io.BytesIO(picture)).convert("L")
    left, right = (INSIDE, OUTSIDE) if number % 2 else (OUTSIDE, INSIDE)
    bounds = (
        (0.0, 0.0, left - NUMBERS, PAPER[1]),
        (PAPER[0] - right + SLACK, 0.0, PAPER[0], PAPER[1]),
        (0.0, PAPER[1] - FOOT, PAPER[0], PAPER[1]),
    )
    return any(_has_ink(page, area) for area in bounds)


def _has_ink(page: Image.Image, area: tuple[float, float, float, float]) -> bool:
    scale = page.width / PAPER[0], page.height / PAPER[1]
    x, y, end, bottom = area
    box = round(x * scale[0]), round(y * scale[1]), round(end * scale[0]), round(bottom * scale[1])
    darkest, _ = page.crop(box).getextrema()
    return bool(darkest < 250)


def _problem(press: Press, number: int) -> Problem:
    """The page by the last heading that stands on it or before it."""
    what = "runs out of the page: a formula, a table or a name in `code` is too wide"
    before = [place for place in press.headings() if place[2] <= number]
    if before:
        name, anchor, page = before[-1]
        part = press.book.part(name)
        section = part.section(anchor) if part else None
        if part is not None and section is not None:
            where = "after" if page == number else "below"
            message = f"something {where} this heading, on page {number} of the PDF, {what}"
            return part.problem(section.line, message)
    return Problem("docs/guide", 0, f"something on page {number} of the PDF {what}")
