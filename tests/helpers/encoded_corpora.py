"""A small corpus, and a tokenizer of bytes that may be killed while it encodes."""

import hashlib

import numpy as np

from tinygrad_llm.data import Document, shards, token_writer


class ByteTokenizer:
    """Bytes as ids and 256 for end of text; counts how often it is asked to encode."""

    def __init__(self, vocab_size=257, name="bytes"):
        self.vocab_size = vocab_size
        self.eot_id = 256
        self.name = name
        self.encoded = 0

    def encode_batch(self, texts):
        self.encoded += len(texts)
        return [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]

    def fingerprint(self):
        return hashlib.sha256(self.name.encode()).hexdigest()


TRAIN = [Document("a", "hello"), Document("b", "w\u00f6rld")]
VAL = [Document("c", "bye")]


def ids(*documents):
    return [i for document in documents for i in [*document.text.encode(), 256]]


class Killed(Exception):
    """Stands for the end of the process."""


class KilledAt(ByteTokenizer):
    """Encodes until a text is asked for; remembers which it has encoded."""

    def __init__(self, text=None):
        super().__init__()
        self.text, self.seen = text, []

    def encode_batch(self, texts):
        if self.text in texts:
            raise Killed
        self.seen += texts
        return super().encode_batch(texts)


MANY = [Document(f"m{i}", f"text {i}, " * (i + 1)) for i in range(9)]


def several_batches(monkeypatch, noted=1):
    monkeypatch.setattr(shards, "_BATCH", 1)
    monkeypatch.setattr(token_writer, "NOTED", noted)
