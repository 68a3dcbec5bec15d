"""Solutions of chapter 1: what a language model is."""

import math
import re
from collections import Counter, defaultdict

from stories import COLOURS, DAYS, ENTROPY, NAMES, PLACES, THINGS, stories


def words(text):
    """The words, commas and full stops of a text."""
    return re.findall(r"\w+|[.,]", text)


class Counts:
    """The chapter's model: what followed each k tokens."""

    def __init__(self, texts, k, alpha=0.01):
        self.k, self.alpha, self.counts = k, alpha, defaultdict(Counter)
        self.vocabulary = sorted({w for text in texts for w in words(text)} | {"END"})
        for text in texts:
            for context, word in self.pairs(text):
                self.counts[context][word] += 1

    def pairs(self, text):
        row = ["END"] * self.k + words(text) + ["END"]
        for i in range(self.k, len(row)):
            yield tuple(row[i - self.k : i]), row[i]

    def p(self, context, word):
        seen = self.counts.get(context, Counter())
        everything = seen.total() + self.alpha * len(self.vocabulary)
        return (seen[word] + self.alpha) / everything

    def surprises(self, text):
        return [-math.log(self.p(context, word)) for context, word in self.pairs(text)]

    def loss(self, texts):
        rows = [self.surprises(text) for text in texts]
        return sum(map(sum, rows)) / sum(map(len, rows))


# --- 1.1: bits per character ------------------------------------------------------------


def bits_per_character(model, texts):
    """The whole surprise in bits over the number of characters: no token in sight."""
    nats = sum(sum(model.surprises(text)) for text in texts)
    return nats / math.log(2) / sum(len(text) for text in texts)


def test_exercise_1_1():
    texts, held_out = stories(400), stories(100, seed=1)
    bigram = bits_per_character(Counts(texts, 1), held_out)
    n = sum(len(text) for text in held_out)
    floor = len(held_out) * ENTROPY / math.log(2) / n
    assert 0.10 < floor < 0.13  # a story is about 220 characters and 24.3 bits
    assert 4 < bigram / floor < 6

    # It can be compared across tokens. A model of single letters has 4 to 5 times as many
    # tokens as one of words: its loss per token is lower, and its bits per character,
    # which are fair, are higher.
    class Letters(Counts):
        def pairs(self, text):
            row = ["END", *text, "END"]
            return (((row[i - 1],), row[i]) for i in range(1, len(row)))

    letters = Letters(texts, 1)
    letters.vocabulary = sorted({c for text in texts for c in text} | {"END"})
    rows = [letters.surprises(text) for text in held_out]
    nats_per_letter = sum(map(sum, rows)) / sum(map(len, rows))
    assert nats_per_letter > 1.5
    assert bits_per_character(letters, held_out) > 4 * bigram


# --- 1.2: mixing long and short contexts ------------------------------------------------


class Mixed:
    """p = w p_k + (1 - w) p_shorter, where w grows with how often the context was seen.

    With n the times a context was seen and u how many different tokens followed it,
    w = n / (n + u): a context with few followers is to be trusted, and one never seen
    (n = 0) has no say. This choice of w is Witten and Bell's (1991).
    """

    def __init__(self, texts, k):
        self.tables = [Counts(texts, i) for i in range(k + 1)]
        self.k, self.size = k, len(self.tables[0].vocabulary)

    def p(self, context, word):
        p = 1 / self.size  # below k = 0: all tokens alike
        for i, table in enumerate(self.tables):
            seen = table.counts.get(context[self.k - i :], Counter())
            if n := seen.total():
                w = n / (n + len(seen))
                p = w * seen[word] / n + (1 - w) * p
        return p

    def loss(self, texts):
        surprises = [
            -math.log(self.p(context, word))
            for text in texts
            for context, word in self.tables[self.k].pairs(text)
        ]
        return sum(surprises) / len(surprises)


def test_exercise_1_2():
    texts, held_out = stories(1000), stories(100, seed=1)
    mixed = Mixed(texts, 6)
    alone = min(Counts(texts, k).loss(held_out) for k in range(7))
    assert mixed.loss(held_out) < alone  # better than the best of its parts
    context = tuple(words("liked the book , but Max"))
    total = sum(mixed.p(context, word) for word in mixed.tables[0].vocabulary)
    assert abs(total - 1) < 1e-9  # it is a distribution
    assert mixed.loss(held_out) > 0.6  # and still far above the floor of 0.31


# --- 1.3: the model that pays attention -------------------------------------------------


def ideal(text):
    """The true surprise at each token of a story: (token, nats) pairs, END included.

    We follow the story with a pointer. `free` takes a token that one of some choices had
    to be; `fixed` takes tokens that could not have been others.
    """
    row, at, found = [*words(text), "END"], 0, []

    def free(choices, nats=None):
        nonlocal at
        token, at = row[at], at + 1
        assert token in choices, (token, choices)
        found.append((token, math.log(len(choices)) if nats is None else nats))
        return token

    def fixed(phrase):
        for token in words(phrase):
            free([token])

    fixed("One")
    free(DAYS)
    a = free(NAMES)
    fixed("went to the")
    free(PLACES)
    fixed("with a")
    c, x = free(COLOURS), free(THINGS)
    fixed(f". There {a} met")
    b = free([name for name in NAMES if name != a])
    fixed(", who had a")
    d, y = free(COLOURS), free([thing for thing in THINGS if thing != x])
    fixed(".")
    # Three of the four things that can happen begin with a, one with b.
    first = free([a, b], math.log(4 / 3) if row[at] == a else math.log(4))
    if first == b:
        fixed(f"liked the {x}, so {a} gave it to {b}.")
        p, q = b, b
    else:
        fixed(f"liked the {y}")
        if free(["and", ","], math.log(3) if row[at] == "and" else math.log(3 / 2)) == "and":
            fixed(f"{b} liked the {x}, so they swapped.")
            p, q = b, a
        elif free(["so", "but"]) == "so":
            fixed(f"{b} gave it to {a}.")
            p, q = a, a
        else:
            fixed(f"{b} wanted to keep it.")
            p, q = a, b
    fixed(f"When they went home, {p} had the {c} {x} and {q} had the {d} {y}.")
    free(["END"])
    assert at == len(row)
    return found


def test_exercise_1_3():
    for text in stories(200, seed=3):
        found = ideal(text)
        # Whatever happened, the choices multiply to the same number: all stories are
        # equally likely, so each has the same surprise, and that is the entropy.
        assert abs(sum(nats for _, nats in found) - ENTROPY) < 1e-9
        assert all(nats == 0 for _, nats in found[29:])  # from here on nothing is open
