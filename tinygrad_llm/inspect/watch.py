"""Seeing what a model computes on its way, without computing it a second time.

A module is watched: a function sees what it is given and what it returns. So the numbers that
lens.py shows are those of the model's own forward pass, of whatever family it is, with whatever
options and however its weights are stored.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autograd import Tensor
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.model.module import Module


@dataclass(frozen=True)
class Parts:
    """Where the residual stream of a model begins, what adds to it, and what reads it at last."""

    table: Module
    """The token table: ids (B, T) -> (B, T, C)."""
    blocks: tuple[Module, ...]
    names: tuple[str, ...]
    """The blocks' names in the model: h.0, h.1, ..."""
    norm: Module
    """The last normalization, before ``model.logits``."""


def parts_of(model: Any) -> Parts:
    """The parts of a GPT or a Llama. Raises UserError for anything else."""
    if isinstance(model, GPT):
        table, name, norm = model.wte, "h", model.ln_f
    elif isinstance(model, Llama):
        table, name, norm = model.embed_tokens, "layers", model.norm
    else:
        raise UserError(
            f"a {type(model).__name__} has no residual stream that is known here: expected a GPT "
            "or a Llama"
        )
    blocks = tuple(getattr(model, name))
    return Parts(table, blocks, tuple(f"{name}.{i}" for i in range(len(blocks))), norm)


@contextlib.contextmanager
def watched(module: Module, see: Callable[[Any, Tensor], Any]) -> Iterator[None]:
    """Within this, ``see(x, y)`` follows each call of the module: its first argument, its result.

    What ``see`` returns is ignored. Two threads must not do this to one module at the same time.
    """
    attributes = vars(module)
    before, forward = attributes.get("forward"), module.forward

    def seen(*args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        see(args[0], result)
        return result

    attributes["forward"] = seen
    try:
        yield
    finally:
        if before is None:
            del attributes["forward"]
        else:
            attributes["forward"] = before
