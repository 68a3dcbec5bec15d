"""Solutions of chapter 5: training that counts less, ways to write a word, text as it comes."""

import codecs
import random
from collections import Counter, defaultdict
from pathlib import Path

import tokenizer as bpe
from stories import stories
from tokenizer import PIECE, Tokenizer, merge

TEXTS = [*stories(200), Path(bpe.__file__).read_text(encoding="utf-8")]


def train_faster(texts, vocab_size):
    """The same merges as `train`, and how many words were merged to find them."""
    counted = Counter(tuple(w.encode()) for text in texts for w in PIECE.findall(text))
    words, often = list(counted), list(counted.values())
    pairs, places = Counter(), defaultdict(set)  # of each pair: its count, the words that hold it
    for i, word in enumerate(words):
        for pair in zip(word, word[1:], strict=False):
            pairs[pair] += often[i]
            places[pair].add(i)
    merges, touched = [], 0
    while 256 + len(merges) + 1 < vocab_size and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        new = 256 + len(merges)
        for i in places.pop(best):
            # Take the old word out of the counts, and put the new one in.
            for pair in zip(words[i], words[i][1:], strict=False):
                pairs[pair] -= often[i]
                if not pairs[pair]:
                    del pairs[pair]
                if pair != best:
                    places[pair].discard(i)
            words[i] = merge(words[i], best, new)
            for pair in zip(words[i], words[i][1:], strict=False):
                pairs[pair] += often[i]
                places[pair].add(i)
            touched += 1
        merges.append(best)
    return Tokenizer(merges), touched


def test_exercise_5_1():
    slow = bpe.train(TEXTS, 500)
    fast, touched = train_faster(TEXTS, 500)
    assert list(fast.merges.items()) == list(slow.merges.items())
    # `train` walks through every word at every merge. Most merges concern a few words only.
    words = {w for text in TEXTS for w in PIECE.findall(text)}
    assert touched < 0.05 * len(words) * len(slow.merges)
    # Where a merge has nothing left to do, both stop at the same place.
    assert len(train_faster(["aaaa"], 500)[0].bytes) == len(bpe.train(["aaaa"], 500).bytes)


def ways(tokenizer, text):
    """In how many ways tokens can be put together to make this text."""
    data, known = text.encode(), set(tokenizer.bytes[: tokenizer.end])
    w = [1]  # there is one way to write nothing
    for i in range(1, len(data) + 1):
        # The last token is one that ends here; before it stands any way of writing the rest.
        w.append(sum(w[j] for j in range(i) if data[j:i] in known))
    return w[-1]


def test_exercise_5_2():
    tokenizer = bpe.train(TEXTS, 500)

    def listed(data):
        """All ways, listed, to check the count with; it takes exponential time."""
        if not data:
            return [[]]
        starts = [i for i in range(tokenizer.end) if data.startswith(tokenizer.bytes[i])]
        return [[i, *rest] for i in starts for rest in listed(data[len(tokenizer.bytes[i]) :])]

    for word in ("", "a", " had", " yellow", "é"):
        rows = listed(word.encode())
        assert ways(tokenizer, word) == len(rows)
        assert tokenizer.encode(word) in rows  # one of them is what `encode` gives
        assert all(tokenizer.decode(row) == word for row in rows)
    assert ways(tokenizer, " yellow") > 10
    # Each word of a text can be chosen by itself: the ways multiply, at least.
    assert ways(tokenizer, " yellow yellow") >= ways(tokenizer, " yellow") ** 2


def as_it_comes(tokenizer, ids):
    """Pieces of text as soon as they are certain."""
    # Python has this machine: it keeps the bytes of a character that is not finished.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for i in ids:
        if piece := decoder.decode(tokenizer.bytes[i]):
            yield piece
    if rest := decoder.decode(b"", final=True):  # half a character that was never finished
        yield rest


def test_exercise_5_3():
    tokenizer = bpe.train(TEXTS, 400)
    text = "café 3 € \N{OWL} Anna"
    ids = tokenizer.encode(text)
    assert "".join(as_it_comes(tokenizer, ids)) == text
    assert "".join(tokenizer.decode([i]) for i in ids) != text  # the naive way
    # A character comes when its last byte has come, and not before.
    assert list(as_it_comes(tokenizer, list("é!".encode()))) == ["é", "!"]
    # Rows that are no text, as a model may write them, are treated as `decode` does.
    rng = random.Random(0)
    for _ in range(300):
        ids = rng.choices(range(len(tokenizer.bytes)), k=12)
        assert "".join(as_it_comes(tokenizer, ids)) == tokenizer.decode(ids)
