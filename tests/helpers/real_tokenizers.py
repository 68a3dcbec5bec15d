"""Tokenizers of published models, in the folder that TINYGRAD_LLM_TEST_MODELS names.

Each has a subfolder with its tokenizer.json (at any depth): tokenizer-llama3, tokenizer-qwen3,
tokenizer-llama2, tokenizer-gemma3.
"""

import os
from pathlib import Path

import pytest

NAMES = ["llama3", "qwen3", "llama2", "gemma3"]


def folder_of(name):
    """The folder with the tokenizer.json of a model; skips the test where there is none."""
    root = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
    if not root:
        pytest.skip("TINYGRAD_LLM_TEST_MODELS is not set")
    files = sorted(Path(root, f"tokenizer-{name}").rglob("tokenizer.json"))
    if not files:
        pytest.skip(f"there is no tokenizer.json in {root}/tokenizer-{name}")
    return files[0].parent
