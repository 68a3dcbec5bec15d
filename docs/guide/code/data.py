"""The data pipeline: collect texts, clean them, convert them to ids, cut batches."""

import re
from pathlib import Path

import numpy as np

from stories import stories

def collect(source=None):
    """The texts of all .txt and .md files in a folder; without one, 4,000 stories."""
    if source is None:
        return stories(4000)
    texts = []
    for path in sorted(Path(source).rglob("*")):
        if path.suffix in (".txt", ".md") and path.is_file():
            data = path.read_bytes()
            try:
                texts.append(data.decode())
            except UnicodeDecodeError:
                print(f"{path} is not UTF-8: read as latin-1")
                texts.append(data.decode("latin-1"))
    if not texts:
        raise SystemExit(f"{source} has no .txt or .md file; name a folder that has")
    return texts

def clean(texts):
    """The texts worth training on, and how many were dropped for which reason."""
    kept, seen, dropped = [], set(), {"binary": 0, "empty": 0, "foreign": 0, "seen": 0}
    for text in texts:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = re.sub(r"\n\s*\n", "\n\n", text)  # one empty line is enough
        if "\0" in text:
            dropped["binary"] += 1
        elif not text.strip():
            dropped["empty"] += 1
        elif len(text.encode("ascii", "ignore")) < 0.9 * len(text):
            dropped["foreign"] += 1
        elif text in seen:
            dropped["seen"] += 1
        else:
            kept.append(text)
            seen.add(text)
    return kept, dropped

def convert(texts, tokenizer):
    """All texts in one row of ids (N,), each followed by the end of text."""
    ids = [i for text in texts for i in [*tokenizer.encode(text), tokenizer.end]]
    return np.array(ids, dtype=np.uint16 if tokenizer.end < 2**16 else np.uint32)

def split(texts, modulus=20):
    """Whole texts: for training, and every twentieth held out for validation."""
    held_out = texts[::modulus]
    return [text for i, text in enumerate(texts) if i % modulus], held_out

def batches(ids, batch_size, block_size, rng, places=None):
    """Without end: x (B, T), random windows of the row, and y (B, T), shifted by one.

    places: where windows may begin; without them, anywhere.
    """
    while True:
        starts = rng.integers(0, len(ids) - block_size, size=batch_size)  # (B,)
        if places is not None:
            starts = rng.choice(places[places < len(ids) - block_size], size=batch_size)
        rows = ids[starts[:, None] + np.arange(block_size + 1)].astype(np.int64)
        yield rows[:, :-1], rows[:, 1:]

if __name__ == "__main__":
    import sys

    import tokenizer as bpe

    texts, dropped = clean(collect(*sys.argv[1:2]))
    training, validation = split(texts)
    tokenizer = bpe.train(training, 400)
    row = convert(training, tokenizer)
    print(f"{len(training)} texts to learn from, {len(validation)} held out, {dropped}")
    x, y = next(batches(row, 2, 12, np.random.default_rng(0)))
    print(f"{len(row)} ids; a batch x:\n{x}\nand y, one further:\n{y}")
