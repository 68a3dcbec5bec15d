"""A large language model from scratch, on NumPy arrays and a hand-written autograd engine."""

import importlib.util
from pathlib import Path

__version__ = "0.1.0"


def _check_autograd() -> None:
    """Raise ImportError if the package imported as ``autograd`` is another project's.

    Its file is only read, not run: this costs next to nothing, and loading it would be slow.
    """
    spec = importlib.util.find_spec("autograd")
    if spec is None or spec.origin is None:
        raise ImportError("the package autograd, which comes with tinygrad-llm, is not installed")
    if "IS_TINYGRAD_LLM = True" not in Path(spec.origin).read_text(encoding="utf-8"):
        raise ImportError(
            f"the `autograd` that Python finds ({spec.origin}) is another project's (HIPS autograd "
            "has the same import name): run `pip uninstall autograd`, then `pip install "
            "--force-reinstall --no-deps tinygrad-llm` (or `-e .` in a clone)"
        )


_check_autograd()
