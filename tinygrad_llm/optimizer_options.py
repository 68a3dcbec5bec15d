"""The options of ``train`` and ``finetune`` that choose an optimizer, and those of its schedule.

This file is imported even for ``--help``, so it imports nothing heavy; ``training/optim/`` and
``training/schedule.py`` do what it says.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from tinygrad_llm.errors import UserError

DEFAULTS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.1},
    "muon": {"weight_decay": 0.1, "momentum": 0.95},
    "sgd": {"weight_decay": 0.0, "momentum": 0.9, "lr": 0.1},
}
"""What None means for each optimizer. A learning rate that is missing here is the recipe's."""

ONLY: dict[str, tuple[str, ...]] = {
    "beta1": ("adamw", "muon"),
    "beta2": ("adamw", "muon"),
    "momentum": ("muon", "sgd"),
    "nesterov": ("muon", "sgd"),
    "muon_factor": ("muon",),
    "adamw_lr_ratio": ("muon",),
}
"""Options that not every optimizer has."""


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice:
    """The rule by which a step moves the weights."""

    optimizer: Literal["adamw", "muon", "sgd"] | None = None
    """adamw, muon (for the matrices of the blocks, and adamw for the rest) or sgd; None means the
    recipe's, which is adamw for OpenAI's sizes and muon for all others."""
    weight_decay: float | None = None
    """Weight decay of tensors of two or more dimensions; None means 0.1, and for sgd 0."""
    beta1: float = 0.9
    """adamw and muon: AdamW's decay of the mean of the gradients."""
    beta2: float = 0.95
    """adamw and muon: AdamW's decay of the mean of their squares."""
    momentum: float | None = None
    """How much of the earlier gradients muon and sgd keep; None means 0.95 for muon, 0.9 for
    sgd."""
    nesterov: bool = True
    """muon and sgd: whether to look ahead by one step of momentum."""
    muon_factor: Literal["adamw", "spectral"] = "adamw"
    """muon: steps as large as AdamW's, or of the same effect on outputs (try an lr of 0.02)."""
    adamw_lr_ratio: float = 1.0
    """muon: the learning rate of what AdamW trains, as a multiple of lr."""

    def __post_init__(self) -> None:
        if self.weight_decay is not None and not 0 <= self.weight_decay <= 10:
            raise UserError(f"weight_decay is {self.weight_decay}, but must be between 0 and 10")
        if not 0 <= self.adamw_lr_ratio <= 1000:
            raise UserError(
                f"adamw_lr_ratio is {self.adamw_lr_ratio}, but must be between 0 and 1000"
            )
        for name in ("beta1", "beta2", "momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"{name} is {value}, but must be at least 0 and below 1")
        for name, optimizers in ONLY.items():
            value = getattr(self, name)
            changed = value != type(self).__dataclass_fields__[name].default
            if changed and self.optimizer not in (None, *optimizers):
                raise UserError(
                    f"{name} is {value} and the optimizer {self.optimizer}: only "
                    f"{' and '.join(optimizers)} {'have' if len(optimizers) > 1 else 'has'} this "
                    "option; leave it out, or choose another optimizer"
                )

    def with_defaults(self) -> Self:
        """The same options, with this optimizer's defaults in place of None.

        The optimizer itself has to be chosen.
        """
        assert self.optimizer is not None
        defaults = DEFAULTS[self.optimizer]
        return replace(self, **{k: v for k, v in defaults.items() if getattr(self, k) is None})


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(OptimizerChoice):
    """An optimizer, and how the learning rate changes."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls from its highest to its final value after the warm-up."""
