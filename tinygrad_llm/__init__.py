"""A large language model from scratch, on NumPy arrays and a hand-written autograd engine.

    from tinygrad_llm import GPT, GPTConfig, AdamW

The names below are all that one needs to build, train, save and load a model in Python
(docs/language_model.md). Each is imported when it is first used, so ``import tinygrad_llm`` loads
nothing, not even NumPy.
"""

import importlib.util
from pathlib import Path

from tinygrad_llm.version import __version__

TYPE_CHECKING = False  # type checkers know the name; typing itself takes longer than this file
if TYPE_CHECKING:
    from tinygrad_llm.config import GPTConfig, LlamaConfig
    from tinygrad_llm.data.loader import DataLoader
    from tinygrad_llm.model.containers import ModuleDict, ModuleList, Sequential
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.model.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
    from tinygrad_llm.model.llama import Llama
    from tinygrad_llm.model.module import Module, functional_call
    from tinygrad_llm.pretrained.load import load_pretrained
    from tinygrad_llm.tokenizer.base import Tokenizer
    from tinygrad_llm.training.optim import SGD, AdamW, Muon
    from tinygrad_llm.training.saved_run import load_run
    from tinygrad_llm.training.trainer import Trainer

__all__ = [
    "GPT",
    "SGD",
    "AdamW",
    "DataLoader",
    "Dropout",
    "Embedding",
    "GPTConfig",
    "LayerNorm",
    "Linear",
    "Llama",
    "LlamaConfig",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Muon",
    "RMSNorm",
    "Sequential",
    "Tokenizer",
    "Trainer",
    "__version__",
    "functional_call",
    "load_pretrained",
    "load_run",
]

_HOMES = {
    "config": "GPTConfig LlamaConfig",
    "data.loader": "DataLoader",
    "model.containers": "ModuleDict ModuleList Sequential",
    "model.gpt": "GPT",
    "model.layers": "Dropout Embedding LayerNorm Linear RMSNorm",
    "model.llama": "Llama",
    "model.module": "Module functional_call",
    "pretrained.load": "load_pretrained",
    "tokenizer.base": "Tokenizer",
    "training.optim": "AdamW Muon SGD",
    "training.saved_run": "load_run",
    "training.trainer": "Trainer",
}
"""Module -> the names that come from it; a test compares this with the imports above."""

_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


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


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # the next time Python finds it without asking
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
