"""Where this project keeps what it can make again: compiled kernels, token files, downloads."""

import os
from pathlib import Path

VARIABLE = "TINYGRAD_LLM_CACHE"


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """The given folder, else the variable TINYGRAD_LLM_CACHE, else the user's cache folder."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tinygrad-llm", appauthor=False))
