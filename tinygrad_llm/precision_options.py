"""The options of ``train``, ``finetune`` and ``pipeline`` that say how exactly a step computes.

This file is imported even for ``--help``, so it imports nothing heavy; ``machine/precision.py``
does what it says.
"""

from dataclasses import dataclass
from typing import Literal

from tinygrad_llm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions:
    """The types that products and kept activations have; everything else is float32."""

    precision: Literal["float32", "bf16"] = "float32"
    """What the operands of matrix products are rounded to. Sums, weights, gradients and the
    optimizer stay float32. bf16 is faster where the processor has instructions for it
    (`tinygrad-llm info`)."""
    activations: Literal["float32", "bf16"] = "float32"
    """How what backward needs is kept: bf16 takes about half the memory."""
    require_fast: bool = False
    """With --precision bf16: end with an error where the processor has no such instructions,
    instead of computing the same products slowly."""

    def __post_init__(self) -> None:
        resumes = getattr(self, "resume", None) is not None  # the run's precision is not known yet
        if self.require_fast and self.precision == "float32" and not resumes:
            raise UserError(
                "--require-fast does nothing without --precision bf16: add this, or leave it out"
            )
