"""For every name of a split pattern that is known here, llama.cpp gives the same ids.

Skipped where the package llama-cpp-python is missing.
"""

import random
import unicodedata

import numpy as np
import pytest

from tinygrad_llm.pretrained.gguf_writer import Draft, write_gguf
from tinygrad_llm.tokenizer import train_bpe
from tinygrad_llm.tokenizer.from_lists import SPLITS, tokenizer_from_lists
from tinygrad_llm.tokenizer.json_format import spell

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

PIECES = (
    "the", " theatre", "  two", "\n\n", "\n  \n", "\t", "\r\n", " ", "   ", "1234567", "12", "3.14",
    "don't", "I'LL", "'s", "_a_b", "HTTPServer", "naïve", "e\u0301", "中文字", "한국어", "Привет",
    "नमस्ते", "١٢٣", "Ⅳ", "ſ", "\u00a0", "a\u200db", "🙂👍🏽", "!!!", "—", "x=y+1;", "{}", "(foo)",
)  # fmt: skip
PAGE = " ".join(PIECES) * 3
TRAINED = train_bpe([PAGE], 400, r"[\s\S]+?(?: |$)", ["<s>", "</s>"])
LISTS = {
    "tokens": [*map(spell, TRAINED.ranks), "<s>", "</s>"],
    "token_types": [*[1] * len(TRAINED.ranks), 3, 3],
    "merges": [f"{spell(left)} {spell(right)}" for left, right in TRAINED.merges()],
}


def texts(n=1000):
    rng = random.Random(0)
    return ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(n)]


def their_tokenizer(pre, path):
    """A GGUF file of a vocabulary alone, opened by llama.cpp."""
    metadata = {
        "general.architecture": "llama", "llama.context_length": 64, "llama.embedding_length": 8,
        "llama.block_count": 1, "llama.feed_forward_length": 8, "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": LISTS["tokens"],
        "tokenizer.ggml.token_type": np.array(LISTS["token_types"], np.int32),
        "tokenizer.ggml.merges": LISTS["merges"],
    }  # fmt: skip
    write_gguf(Draft(path, metadata, {}))
    return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


@pytest.mark.parametrize("pre", SPLITS)
def test_ids(pre, tmp_path):
    """Qwen's own tokenizer composes characters first, llama.cpp does not."""
    ours = tokenizer_from_lists("gpt2", **LISTS, pre=pre)
    theirs = their_tokenizer(pre, tmp_path / "vocabulary.gguf")
    for text in texts():
        if SPLITS[pre][1]:
            text = unicodedata.normalize("NFC", text)
        found = theirs.tokenize(text.encode(), add_bos=False, special=False)
        assert ours.encode(text) == found, text
