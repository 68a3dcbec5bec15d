"""Where this project keeps what it can make again: compiled kernels, token files, downloads."""

import os
from pathlib import Path

VARIABLE = "TINYGRAD_LLM_CACHE"


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """The given folder, else the variable TINYGRAD_LLM_CACHE, else the user's cache folder.

    Raises ValueError where that is below the home folder of a user who has none.
    """
    if cache_dir is None:
        cache_dir = os.environ.get(VARIABLE)
    if not cache_dir:
        import platformdirs

        cache_dir = platformdirs.user_cache_dir("tinygrad-llm", appauthor=False)
    path = Path(os.path.expanduser(cache_dir))
    if path.parts and path.parts[0].startswith("~"):
        raise ValueError(
            f"there is no cache folder {path}, as the user has no home folder; set {VARIABLE} to a "
            "folder that can be written"
        )
    return path
