"""The folder that tests of ``train`` work in."""

import pytest
from caches import new_cache
from small_corpus import small_corpus


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a corpus and a cache of its own."""
    (tmp_path / "corpus.txt").write_text(small_corpus())
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
