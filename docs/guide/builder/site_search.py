"""The index that search reads: what can be found, and in which of it each word stands.

The site has no server, so the page's own script searches. What is slow is done here, once:

    documents   [kind, number, title, address, text], one for each section, page, name and term
    lengths     how many words each document has
    words       word -> "document,count document,count": where it stands, and how often

A word of a title counts as if the text said it TITLE times: a section called "Newest first" is
more about newest first than one that mentions it. search.js ranks by BM25 (Robertson and Zaragoza
2009), and says there what that is.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from builder.site_page import Record

TITLE = {"term": 12, "section": 8, "page": 8, "name": 6}
"""How many times a word of the title counts, by kind of what is found."""
_WORD = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text as search compares them: small, without a plural's s.

    A name such as layer_norm is found by its parts as well as whole. search.js does the same.
    """
    found = []
    for word in _WORD.findall(text.lower()):
        parts = word.split("_") if "_" in word else []
        found += [stem(word), *(stem(part) for part in parts if part)]
    return found


def stem(word: str) -> str:
    """gradients -> gradient, but loss stays loss, and was stays was."""
    is_plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural else word


def search_script(records: Iterable[Record]) -> str:
    """The index as a script: one that a page can load from a file, where fetch is forbidden."""
    documents, lengths = [], []
    places: dict[str, list[str]] = defaultdict(list)
    for index, record in enumerate(records):
        counts = Counter(words_of(record.text))
        for word in words_of(f"{record.number} {record.title}"):
            counts[word] += TITLE[record.kind]
        for word, count in counts.items():
            places[word].append(f"{index},{count}" if count > 1 else f"{index}")
        documents.append([record.kind, record.number, record.title, record.address, record.text])
        lengths.append(counts.total())
    words = {word: " ".join(places[word]) for word in sorted(places)}
    content = {"documents": documents, "lengths": lengths, "words": words}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f"window.INDEX = {text};\n".replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
