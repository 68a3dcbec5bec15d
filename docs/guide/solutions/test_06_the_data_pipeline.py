"""Solutions of chapter 6: near copies, a split that stays, epochs."""

import hashlib
import random
import re
from collections import defaultdict
from itertools import combinations

import numpy as np
from stories import stories


def shingles(text, n=5):
    """Each run of n words, as a number that is the same in every run of Python."""
    words = re.findall(r"\w+", text.lower())
    runs = {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}
    digests = (hashlib.sha256(run.encode()).digest()[:8] for run in runs)
    return np.array(sorted(int.from_bytes(d, "little") for d in digests), dtype=np.uint64)


def jaccard(a, b):
    both = len(np.intersect1d(a, b))
    return both / (len(a) + len(b) - both)


def near_copies(texts, threshold=0.8, bands=24, rows=5, seed=0):
    """The pairs (i, j), i < j, that are alike, and how many pairs were compared."""
    rng = np.random.default_rng(seed)
    # An odd number times a hash, modulo 2^64, is another hash: one multiplication a function.
    factors = rng.integers(0, 2**63, bands * rows, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    shift = rng.integers(0, 2**63, bands * rows, dtype=np.uint64)
    sets = [shingles(text) for text in texts]
    buckets = defaultdict(list)
    for i, hashes in enumerate(sets):
        # The high half of the product: its low bits depend on the low bits of the hash alone.
        table = (hashes[:, None] * factors + shift) >> np.uint64(32)  # (shingles, functions)
        minima = table.min(axis=0).reshape(bands, rows)
        for band, values in enumerate(minima.tolist()):
            buckets[band, *values].append(i)
    candidates = {pair for members in buckets.values() for pair in combinations(members, 2)}
    alike = {(i, j) for i, j in candidates if jaccard(sets[i], sets[j]) >= threshold}
    return alike, len(candidates)


def test_exercise_6_1():
    rng = random.Random(0)
    # Texts of ten stories, some of them copied with one or two words changed.
    every = stories(1000)
    texts = [" ".join(every[i : i + 10]) for i in range(0, 1000, 10)]
    for original in texts[:30]:
        words = original.split()
        for _ in range(rng.choice([1, 2, 20])):
            words[rng.randrange(len(words))] = "otherwise"
        texts.append(" ".join(words))
    sets = [shingles(text) for text in texts]
    pairs = list(combinations(range(len(texts)), 2))
    expected = {(i, j) for i, j in pairs if jaccard(sets[i], sets[j]) >= 0.8}
    found, compared = near_copies(texts)
    # A pair with J = 0.8 shares a band of 5 with probability 1 - (1 - 0.8^5)^24 = 0.9999.
    assert found == expected
    assert 10 < len(found) < 30  # a text with twenty changed words is no near copy
    assert compared < 0.05 * len(pairs)  # and few pairs had to be compared


def split_by_hash(texts, modulus=20, group=lambda text: text):
    """(training, validation): a group is on one side as a whole, by the hash of its name."""
    sides = [], []
    for text in texts:
        digest = hashlib.sha256(group(text).encode()).digest()
        sides[int.from_bytes(digest, "big") % modulus == 0].append(text)
    return sides


def test_exercise_6_2():
    rng = random.Random(0)
    authors = [f"author {i}" for i in range(400)]
    texts = [f"{rng.choice(authors)}: {text}" for text in stories(3000)]

    def author(text):
        return text.split(":")[0]

    training, validation = split_by_hash(texts, group=author)
    assert sorted(training + validation) == sorted(texts)
    assert not {author(t) for t in training} & {author(t) for t in validation}
    assert 0.02 < len(validation) / len(texts) < 0.1  # about one in twenty, not exactly
    # Added texts move no others, whoever wrote them; the order does not matter.
    more = [f"author 7: {text}" for text in stories(50, seed=1)] + ["somebody new: a text"]
    grown = split_by_hash(more + texts, group=author)
    assert set(training) <= set(grown[0]) and set(validation) <= set(grown[1])
    shuffled = split_by_hash(rng.sample(texts, len(texts)), group=author)
    assert sorted(shuffled[1]) == sorted(validation)
    # Split by text instead, nearly every author of a held-out text is known from training.
    training, validation = split_by_hash(texts)
    known = {author(t) for t in training}
    assert sum(author(t) in known for t in validation) > 0.95 * len(validation)


def epochs(ids, batch_size, block_size, rng):
    """Batches (x, y) without end; within an epoch each target comes exactly once.

    An epoch is cut from a random offset on, so windows begin at other places each time. What lies
    before the offset and behind the last whole window is cut into windows as well: these are
    shorter, and filled up with targets of -100, which the loss leaves out.
    """
    while True:
        offset = int(rng.integers(0, block_size))
        targets = len(ids) - 1  # every id but the first is a target
        cuts = [0, *range(offset or block_size, targets, block_size), targets]
        spans = [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]
        order = rng.permutation(len(spans))
        for first in range(0, len(spans), batch_size):
            chosen = [spans[i] for i in order[first : first + batch_size]]
            x = np.zeros((len(chosen), block_size), np.int64)
            y = np.full((len(chosen), block_size), -100, np.int64)
            for i, (start, stop) in enumerate(chosen):
                x[i, : stop - start] = ids[start:stop]
                y[i, : stop - start] = ids[start + 1 : stop + 1]
            yield x, y


def test_exercise_6_3():
    for n, T, B in ((100, 8, 4), (97, 8, 3), (9, 8, 4), (64, 16, 64)):
        ids = np.arange(n)
        loader = epochs(ids, B, T, np.random.default_rng(0))
        starts = []
        for _ in range(6):  # epochs
            seen = []
            while len(seen) < n - 1:
                x, y = next(loader)
                assert x.shape == y.shape and x.shape[1] == T and len(x) <= B
                counted = y != -100
                assert (y[counted] == x[counted] + 1).all()
                seen += y[counted].tolist()
                starts += x[:, 0].tolist()
            # Each target once, the last id too; the first is an input only.
            assert sorted(seen) == list(range(1, n))
            assert seen != sorted(seen) or n < 3 * T
        assert len(set(starts)) > -(-n // T)  # cut at other places in other epochs
