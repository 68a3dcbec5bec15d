"""A finished run of a tiny model, made once, and copies of it that tests may change."""

import json
import shutil
from pathlib import Path

import pytest
from caches import new_cache
from small_corpus import small_corpus

from tinygrad_llm.commands import session


def make_run(folder, train):
    """Call ``train()``, which returns an exit code, in ``folder`` with corpus.txt and a cache."""
    (folder / "corpus.txt").write_text(small_corpus(60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_LLM_CACHE", new_cache(folder))
        patch.setattr(session, "gemm_limit", lambda: 1e9)
        patch.chdir(folder)
        assert train() == 0
    return folder


def copy_run(kept, tmp_path, monkeypatch):
    """A copy of the folder ``kept``, whose run is called run, as the working folder."""
    folder = Path(shutil.copytree(kept, tmp_path / "copy", symlinks=True))
    content = json.loads((folder / "run/run.json").read_text())
    content["options"]["data"] = str(folder / "corpus.txt")
    (folder / "run/run.json").write_text(json.dumps(content))
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(folder / "cache"))
    monkeypatch.setattr(session, "gemm_limit", lambda: 1e9)
    monkeypatch.chdir(folder)
    return folder
