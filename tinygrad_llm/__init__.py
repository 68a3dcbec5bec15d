"""A large language model from scratch, on NumPy arrays and a hand-written autograd engine."""

__version__ = "0.1.0"


def _check_autograd():
    """Refuse to start on the other package that is imported as ``autograd``."""
    import autograd

    if not getattr(autograd, "IS_TINYGRAD_LLM", False):
        raise ImportError(
            "the `autograd` that Python finds is another project's (HIPS autograd has the same "
            "import name): run `pip uninstall autograd`, then `pip install --force-reinstall "
            "--no-deps tinygrad-llm` (or `-e .` in a clone)"
        )
