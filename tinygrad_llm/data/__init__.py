"""Text in, batches of token ids out. The steps, in order, each usable alone:

sources.py   a corpus by name       mixture.py   several, by weights
folders.py   find the files         files.py, formats/: read them, of any format
download.py  fetch a text by name   transfer.py  one request of it
hub.py       data sets of the Hugging Face hub
decoding.py  bytes to text          scripts.py   the writing systems of a text
clean.py     what is worth keeping  gutenberg.py, personal.py, near_duplicates.py
                                    quality.py, repetition.py, contamination.py,
                                    languages.py, samples.py (what was dropped)
                                    digests.py, hash_table.py: what was seen before
spool.py     more than memory holds
splitting.py training, validation   tokenizer_cache.py  a tokenizer of its own
prepare.py   encode into the cache  shards.py    in parts, each by itself
token_writer.py, token_file.py, token_row.py: ids on disk
loader.py    batches of ids

All in one: ``tinygrad_llm.data.prepare.prepare``. It is not exported here, nor is ``download``,
because the function would hide the module of the same name.
"""

from tinygrad_llm.data.cache import cache_folder
from tinygrad_llm.data.clean import clean_corpus, clean_documents, clean_stream, read_corpus
from tinygrad_llm.data.corpus import CleanReport, Corpus, Document, text_bytes
from tinygrad_llm.data.decoding import decode_bytes
from tinygrad_llm.data.download import DATASETS, fetch
from tinygrad_llm.data.loader import (
    IGNORE,
    DataLoader,
    Loader,
    evaluation_windows,
    scored_bytes,
)
from tinygrad_llm.data.mixture import absolute_sources
from tinygrad_llm.data.prepare import Prepared, encode_corpus, open_prepared
from tinygrad_llm.data.sources import Source, load_corpus, open_source
from tinygrad_llm.data.splitting import split, train_texts
from tinygrad_llm.data.token_file import check_tokens, open_tokens
from tinygrad_llm.data.tokenizer_cache import cached_tokenizer
from tinygrad_llm.data_options import CleanOptions, DataOptions, ReadOptions

__all__ = [
    "DATASETS",
    "IGNORE",
    "CleanOptions",
    "CleanReport",
    "Corpus",
    "DataLoader",
    "DataOptions",
    "Document",
    "Loader",
    "Prepared",
    "ReadOptions",
    "Source",
    "absolute_sources",
    "cache_folder",
    "cached_tokenizer",
    "check_tokens",
    "clean_corpus",
    "clean_documents",
    "clean_stream",
    "decode_bytes",
    "encode_corpus",
    "evaluation_windows",
    "fetch",
    "load_corpus",
    "open_prepared",
    "open_source",
    "open_tokens",
    "read_corpus",
    "scored_bytes",
    "split",
    "text_bytes",
    "train_texts",
]
