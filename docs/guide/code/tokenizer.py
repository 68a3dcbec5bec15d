"""Text into tokens: byte-pair encoding, learned from a text and applied to others."""

import re
from collections import Counter

import tiktoken

# GPT-2 cuts text into words, numbers, signs and white space: merges never cross a cut
PIECE = re.compile(
    r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)

def merge(word, pair, new):
    """Replace each pair of neighbours in a word, from the left, by the new id."""
    merged, i = [], 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)

def train(texts, vocab_size):
    """A Tokenizer of 256 bytes, as many merges as fit, and the end of text."""
    words = Counter(tuple(w.encode()) for text in texts for w in PIECE.findall(text))
    merges = []
    while 256 + len(merges) + 1 < vocab_size:
        pairs = Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        if not pairs:
            break  # every word is one token already
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))  # ties: the lowest ids
        new = 256 + len(merges)
        words = Counter({merge(word, best, new): n for word, n in words.items()})
        merges.append(best)
    return Tokenizer(merges)

class Tokenizer:
    """What was learned: merge i makes the id 256 + i of two earlier ids."""

    def __init__(self, merges):
        self.merges = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
        self.bytes = [bytes([i]) for i in range(256)]
        for a, b in self.merges:
            self.bytes.append(self.bytes[a] + self.bytes[b])
        self.end = len(self.bytes)  # the end of a text: an id that no text contains
        self.bytes.append(b"")
        self.known = {}

    def encode(self, text):
        return [i for piece in PIECE.findall(text) for i in self.encode_piece(piece)]

    def encode_piece(self, piece):
        if piece not in self.known:
            word = tuple(piece.encode())
            while pairs := [p for p in zip(word, word[1:]) if p in self.merges]:
                pair = min(pairs, key=self.merges.get)  # the merge that was learned first
                word = merge(word, pair, self.merges[pair])
            self.known[piece] = word
        return self.known[piece]

    def decode(self, ids):
        return b"".join(self.bytes[i] for i in ids).decode(errors="replace")

def gpt2():
    """GPT-2's own tokenizer, of 50,000 merges; tiktoken downloads it once."""
    return tiktoken.get_encoding("gpt2")

if __name__ == "__main__":
    from stories import stories

    tokenizer = train(stories(500), vocab_size=400)
    ids = tokenizer.encode(stories(1, seed=1)[0])
    print(len(tokenizer.bytes), "tokens;", [tokenizer.decode([i]) for i in ids])
