"""Which parameters of a model are trained, and what training them takes.

A parameter is frozen if it does not require a gradient. Backward computes none for it, and an
optimizer is given those that are left:

    freeze(model)
    unfreeze(model, ["layers.29", "norm"])
    optimizer = AdamW(trainable_parameters(model))
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.quantize import stored_matrices
from tinygrad_llm.model.summary import ADAMW

Pattern = str | Iterable[str]
"""Which dotted names are meant: the end of a name ("q_proj" is the q_proj of every layer), a
regular expression for the whole of one, or several ends."""


def matches(name: str, pattern: Pattern) -> bool:
    """Whether a dotted name is meant by a pattern.

    Raises UserError for text that is not a regular expression.
    """
    ends = [pattern] if isinstance(pattern, str) else pattern
    if any(name == end or name.endswith(f".{end}") for end in ends):
        return True
    try:
        return isinstance(pattern, str) and re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise UserError(f"{pattern!r} is not a regular expression ({error})") from None


def freeze(model: Module, pattern: Pattern = ".*") -> list[str]:
    """Train the parameters no more that ``pattern`` means; returns their names.

    A parameter is meant if its own name matches, or that of a module that it belongs to: the names
    ["layers.0"] mean all of a block. Without a pattern all are frozen. Their gradients are
    forgotten. Raises UserError if the pattern means none.
    """
    return _set(model, pattern, False)


def unfreeze(model: Module, pattern: Pattern = ".*") -> list[str]:
    """Train the parameters again that ``pattern`` means, as in ``freeze``; returns their names."""
    return _set(model, pattern, True)


def _set(model: Module, pattern: Pattern, trained: bool) -> list[str]:
    pattern = pattern if isinstance(pattern, str) else tuple(pattern)
    meant = {name: p for name, p in model.named_parameters() if _is_meant(name, pattern)}
    if not meant:
        layers = sorted({name.rpartition(".")[0] for name, _ in model.named_parameters()})
        raise UserError(
            f"no parameter of this {type(model).__name__} is meant by {show(pattern)}: its layers "
            f"are {', '.join(kinds(layers))}"
        )
    for parameter in meant.values():
        if not trained:
            parameter.zero_grad()
        parameter.requires_grad = trained
    return list(meant)


def _is_meant(name: str, pattern: Pattern) -> bool:
    parts = name.split(".")
    return any(matches(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def kinds(names: Iterable[str]) -> list[str]:
    """Names with a * for the number of a layer, each once, in order."""
    return list(dict.fromkeys(re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in names))


def show(pattern: Pattern) -> str:
    """A pattern as a sentence quotes it."""
    return repr(pattern) if isinstance(pattern, str) else ", ".join(map(repr, pattern)) or "no name"


def trainable_parameters(model: Module) -> list[tuple[str, Parameter]]:
    """Pairs (name, Parameter) of those that are not frozen, for an optimizer."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


class TrainingCost(NamedTuple):
    """What is trained of a model, and the memory for it, without activations."""

    trained: int
    """Parameters that are trained."""
    total: int
    """All numbers of the model, those of quantized matrices included."""
    weight_bytes: int
    """Memory of the weights, trained or not."""
    training_bytes: int
    """Memory of gradients and of what the optimizer remembers."""
    state: str = ADAMW
    """What that is."""

    @property
    def share(self) -> float:
        """The share of the numbers that is trained."""
        return self.trained / max(1, self.total)

    def __str__(self) -> str:
        return (
            f"{self.trained:,} of {self.total:,} parameters are trained ({self.share:.2%}); "
            f"weights {self.weight_bytes / 1e6:,.1f} MB, gradients and {self.state} "
            f"{self.training_bytes / 1e6:,.1f} MB"
        )


def training_cost(
    model: Module, state: str = ADAMW, state_floats: int | None = None
) -> TrainingCost:
    """How much of a model is trained, and the memory that its weights and their training take.

    ``state`` names what an optimizer remembers, ``state_floats`` numbers in all; None means two for
    each parameter that is trained.
    """
    parameters, matrices = model.parameters(), stored_matrices(model)
    trained = [p for p in parameters if p.requires_grad]
    state_bytes = 2 * sum(p.nbytes for p in trained) if state_floats is None else 4 * state_floats
    return TrainingCost(
        trained=sum(p.size for p in trained),
        total=sum(p.size for p in parameters) + sum(m.size for m in matrices),
        weight_bytes=sum(p.nbytes for p in parameters) + sum(m.nbytes for m in matrices),
        training_bytes=sum(p.nbytes for p in trained) + state_bytes,
        state=state,
    )
