"""Formulas as pandoc writes them for Typst, put right where the two differ.

Pandoc 3.9 uses names of symbols that Typst 0.15 has renamed, rounds spaces down to whole em, and
separates the name of a function from its argument: "softmax" (x). The tests try every symbol that
a chapter may use.
"""

import re

CORRECTIONS = {
    r"(dot|minus|times|plus|div|ast|slash)\.circle": r"\1.o",
    r"sect": "inter",
    r"#h\(-1em\)": "#h(-0.1667em)",  # for \!
    r"#h\(0em\)": "#h(0.2778em)",  # for \;
    r"(lt|gt)\.tri": r"\1.closed",
    r"tack\.r\.double": "tack.rr",
}
"""Patterns of what Typst has no longer, or pandoc gets wrong, and what it should be."""


def corrected(source: str) -> str:
    """Typst source with its formulas, each between [$ and $]; put right."""
    return re.sub(r"\[\$.*?\$\];", lambda match: _formula(match[0]), source, flags=re.DOTALL)


def _formula(text: str) -> str:
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)  # what stands in quotes is text, not symbols
    for index in range(0, len(parts), 2):
        for old, new in CORRECTIONS.items():
            parts[index] = re.sub(rf"(?<![\w.]){old}(?![\w])", new, parts[index])
        if index and re.search(r'\w"$', parts[index - 1]):
            parts[index] = re.sub(r"^ (?=\\?\()", "", parts[index])
    return "".join(parts)
