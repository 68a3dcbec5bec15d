"""Prepare the corpus argv[1] with the cache argv[2]; SIGKILL comes in the stage argv[3], if any.

The bounds are low, so that a small corpus goes through everything that a long one does.
"""

import os
import signal
import sys

from tinygrad_llm.data import (
    cached_tokenizer,
    clean,
    encode_corpus,
    read_corpus,
    shards,
    split,
    spool,
    token_writer,
)
from tinygrad_llm.tokenizer import counting

spool.MEMORY = 1000
counting.LARGE = counting.JOB = 2000
shards.SHARD, shards._BATCH = 5000, 1000
token_writer.NOTED = 1

corpus, cache, stage = sys.argv[1:]
KILLED_AT = {
    "cleaning": (clean._Cleaner, "clean"),
    "counting": (counting.ChunkTable, "add"),
    "encoding": (token_writer.TokenWriter, "write"),
}
if stage in KILLED_AT:
    owner, name = KILLED_AT[stage]
    usual, calls = getattr(owner, name), []

    def counted(*arguments):
        calls.append(1)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(*arguments)

    setattr(owner, name, counted)

cleaned = read_corpus(corpus, cache_dir=cache)
train, validation = split(cleaned)
tokenizer = cached_tokenizer(train, 300, cache_dir=cache)
prepared = encode_corpus(train, validation, tokenizer, cache, about=cleaned.about())
print(prepared.folder)
