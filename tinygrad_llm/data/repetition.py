"""Does a text repeat itself? Gopher's rules: lines, paragraphs and n-grams that occur again.

Rae et al. 2021 (arXiv:2112.11446), table A1. For short n-grams the most frequent one counts, for
longer ones all that occur again; both as a share of the characters of all words. Some 170 bytes of
memory for each word of the text.
"""

from collections import Counter

LINES, LINE_CHARACTERS = 0.30, 0.20
TOP = {2: 0.20, 3: 0.18, 4: 0.16}
DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def gopher_repetition(text: str) -> str | None:
    """The first of Gopher's rules of repetition that a text fails, in words; None if it passes."""
    for what, parts in (("lines", text.split("\n")), ("paragraphs", text.split("\n\n"))):
        parts = [part.strip() for part in parts if part.strip()]
        again, characters = repeated(parts)
        if again > LINES * len(parts):
            return f"Gopher: more than {100 * LINES:.0f} % of the {what} are repeated"
        if characters > LINE_CHARACTERS * len(text):
            return f"Gopher: more than {100 * LINE_CHARACTERS:.0f} % of the text is repeated {what}"
    words = text.split()
    size = max(1, sum(map(len, words)))
    for n, share in TOP.items():
        if top_ngram(words, n) > share * size:
            return f"Gopher: one run of {n} words is more than {100 * share:.0f} % of the text"
    for n, share in DUPLICATE.items():
        if repeated_ngrams(words, n) > share * size:
            return (
                f"Gopher: repeated runs of {n} words are more than {100 * share:.0f} % of the text"
            )
    return None


def repeated(parts: list[str]) -> tuple[int, int]:
    """(how many parts have occurred before, their characters)."""
    again = {part: count - 1 for part, count in Counter(parts).items()}
    return sum(again.values()), sum(len(part) * count for part, count in again.items())


def top_ngram(words: list[str], n: int) -> int:
    """Characters in the occurrences of the most frequent n-gram, if it occurs more than once."""
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    if not counts:
        return 0
    most = max(counts.values())
    if most == 1:
        return 0
    return most * max(sum(map(len, gram)) for gram, count in counts.items() if count == most)


def repeated_ngrams(words: list[str], n: int) -> int:
    """Characters of the n-grams that have occurred before; no word counts twice."""
    seen: set[tuple[str, ...]] = set()
    characters = at = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            characters += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return characters
