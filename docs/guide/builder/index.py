"""The index of terms: which words stand for a term there, and which headings name one.

A term is what the Markdown has in bold, where it is defined. The same term may begin a sentence
there, so its first letter is small in the index when its first word is written small anywhere in
the text (in code it may be, as "gelu" is).
"""

import re

from builder.book import Book


class Index:
    """The terms of a book."""

    def __init__(self, book: Book) -> None:
        texts = [text for part in book.parts for text, _ in part.pieces.texts]
        self._written = {word for text in texts for word in re.findall(r"\w+", text)}
        self._keys: dict[str, str] = {}
        for part in book.parts:
            for term in part.terms:
                self._keys.setdefault(_bare(term.text).casefold(), self._shown(_bare(term.text)))

    def key(self, text: str) -> str:
        """What stands in the index for a term as it is written."""
        return self._keys.get(_bare(text).casefold()) or self._shown(_bare(text))

    def keys_in(self, title: str) -> list[str]:
        """The terms that a heading names."""
        words = f" {_spaced(title)} "
        return [
            key
            for term, key in self._keys.items()
            if re.search(rf" {re.escape(_spaced(term))}s? ", words)
        ]

    def _shown(self, text: str) -> str:
        first = re.match(r"\w+", text)
        if first is None or first[0].lower() not in self._written:
            return text
        return first[0].lower() + text[first.end() :]


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(".,:;?!")


def _spaced(text: str) -> str:
    """The words of a text, small, with a space between."""
    return " ".join(re.findall(r"\w+", text.casefold()))
