"""Does a text look like prose? The heuristics of Gopher, FineWeb and C4.

They were made for pages of the web in English. Source code, poems and lists fail them, which is
right for a corpus of prose and wrong for one of code.

Gopher: Rae et al. 2021 (arXiv:2112.11446), appendix A.1.1. FineWeb: Penedo et al. 2024
(arXiv:2406.17557), section 3.6. C4: Raffel et al. 2020 (arXiv:1910.10683), section 2.2.
"""

import re
from collections import Counter

STOP_WORDS = frozenset("the be to of and that have with".split())
TERMINAL = ("?", "!", '"', ".", "'", "\u201d", "\u2026")
C4_LINES = "lines of boilerplate removed (C4)"
_C4_LINE = re.compile(
    r"javascript|lorem ipsum|terms of use|privacy policy|cookie policy|(?:uses?|use of) cookies",
    re.IGNORECASE,
)


def gopher_quality(text: str) -> str | None:
    """The first of Gopher's rules of quality that a text fails, in words; None if it passes."""
    words = text.split()
    lines = text.splitlines()
    n = len(words)
    if n < 50 or n > 100_000:
        return "Gopher: fewer than 50 words" if n < 50 else "Gopher: more than 100,000 words"
    if not 3 <= sum(map(len, words)) / n <= 10:
        return "Gopher: mean length of a word not between 3 and 10"
    if text.count("#") > 0.1 * n or text.count("...") + text.count("\u2026") > 0.1 * n:
        return "Gopher: more than one # or ellipsis for ten words"
    if _share(lines, lambda line: line.lstrip().startswith(("-", "\u2022", "*"))) > 0.9:
        return "Gopher: more than 90 % of the lines are bullets"
    if _share(lines, lambda line: line.rstrip().endswith(("...", "\u2026"))) > 0.3:
        return "Gopher: more than 30 % of the lines end with an ellipsis"
    if _share(words, lambda word: any(map(str.isalpha, word))) < 0.8:
        return "Gopher: less than 80 % of the words have a letter"
    if len(STOP_WORDS.intersection(map(str.lower, words))) < 2:
        return "Gopher: fewer than two of the words the, be, to, of, and, that, have, with"
    return None


def fineweb_quality(text: str) -> str | None:
    """The first of FineWeb's rules that a text fails, in words; None if it passes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _share(lines, lambda line: line.endswith(TERMINAL)) <= 0.12:
        return "FineWeb: at most 12 % of the lines end with punctuation"
    if _share(lines, lambda line: len(line) < 30) >= 0.67:
        return "FineWeb: at least 67 % of the lines are shorter than 30 characters"
    counts = Counter(lines)
    repeated = sum(len(line) * (count - 1) for line, count in counts.items())
    if repeated >= 0.1 * sum(map(len, lines)):
        return "FineWeb: at least 10 % of the characters are in repeated lines"
    return None


def without_c4_lines(text: str) -> str:
    """The text without the lines that mention JavaScript, cookies in use, terms or policies."""
    if _C4_LINE.search(text) is None:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not _C4_LINE.search(line))


def _share(items: list[str], test) -> float:
    """The share of the items that pass a test; 0 for none."""
    return sum(map(bool, map(test, items))) / max(1, len(items))
