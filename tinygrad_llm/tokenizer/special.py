"""Special tokens: names that stand for one id and are never made from text by accident.

Names may overlap ("<user>" and "<user>\\n"). The rule is that of the tokenizers library: leftmost
first, and of the names that start at the same place the longest. (A regular expression of the
names would take whichever comes first in its list.)
"""

import re
from collections.abc import Iterable, Iterator

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.text import check_encodable

END_OF_TEXT = "<|endoftext|>"

# The time to look for a name grows with the length of the names, and no real one is this long.
MAX_NAME = 1000


def check_special_tokens(names: Iterable[str]) -> list[str]:
    """The names as a list. Raises UserError for one string, an empty, long or repeated name."""
    if isinstance(names, str):
        raise UserError(f"special tokens must be a list of names, not the string {names!r}")
    seen: set[str] = set()
    listed = list(names)
    for name in listed:
        if not isinstance(name, str) or not name:
            raise UserError(f"a special token must be a non-empty string, not {name!r}")
        if len(name) > MAX_NAME:
            raise UserError(
                f"the special token {name[:20]!r}... has {len(name):,} characters, expected at "
                f"most {MAX_NAME:,}"
            )
        if name in seen:
            raise UserError(f"the special token {name!r} is listed twice")
        seen.add(name)
        check_encodable(name)
    return listed


class SpecialSplitter:
    """Finds the names in a text: leftmost first, then longest."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        lengths: dict[str, set[int]] = {}
        for name in names:
            lengths.setdefault(name[0], set()).add(len(name))
        self._lengths = {first: sorted(sizes, reverse=True) for first, sizes in lengths.items()}
        self._begins = re.compile("|".join(map(re.escape, lengths)))

    def split(self, text: str) -> Iterator[tuple[str, str | None]]:
        """(the text before a name, the name), ..., (the text after the last name, None)."""
        done = 0
        for begin in self._begins.finditer(text) if self._names else ():
            at = begin.start()
            if at < done:
                continue  # inside the previous name
            for length in self._lengths[text[at]]:
                name = text[at : at + length]
                if name in self._names:
                    yield text[done:at], name
                    done = at + length
                    break
        yield text[done:], None
