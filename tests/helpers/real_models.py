"""GGUF files of published models, in the folder that TINYGRAD_LLM_TEST_MODELS names."""

import os
from functools import lru_cache
from pathlib import Path

import pytest

FOLDER = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
MODELS = sorted(Path(FOLDER).glob("**/*.gguf")) if FOLDER else []
needs_models = pytest.mark.skipif(
    not MODELS, reason="TINYGRAD_LLM_TEST_MODELS names no folder with .gguf files"
)


@lru_cache(maxsize=1)
def their_reader(path):
    """A file as the gguf library opens it, in seconds: it makes arrays for every token."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    return gguf.gguf_reader.GGUFReader(path)
