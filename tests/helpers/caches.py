"""A cache folder for one test, which shares the slow parts with other tests."""

import contextlib
from pathlib import Path

from autograd._cache_folder import cache_folder

COMPILED = cache_folder() / "kernels"


def new_cache(folder: Path) -> str:
    """``folder``/cache, empty except for the compiled kernels, which all tests share."""
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    COMPILED.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # it is there, or this system makes no links
        (cache / "kernels").symlink_to(COMPILED, target_is_directory=True)
    return str(cache)
