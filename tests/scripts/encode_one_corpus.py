"""Wait for a line, then encode a corpus in the cache folder argv[1] and print its length."""

import sys

from tinygrad_llm.data import Document, encode_corpus
from tinygrad_llm.tokenizer import Tokenizer

tokenizer = Tokenizer([(97, 98)])
train, val = [Document("a", "abba " * 20)], [Document("c", "bye")]
print("ready", flush=True)
input()
print(len(encode_corpus(train, val, tokenizer, sys.argv[1]).train))
