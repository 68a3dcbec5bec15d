"""What else is found out about a tape: one function for each view that needs more than the tape.

Each takes the Tape and the Builder that numbered it, and returns a dict of JSON values and arrays,
which is ``graph.<name>`` on the page, or None where it has nothing to say.
"""

from collections.abc import Callable
from typing import Any

from autograd.debug.explorer import (
    cards,
    drawing,
    heads,
    loss_paths,
    memory_parts,
    optimizer,
    planted,
    proof,
    saved,
    walks,
)

PARTS: dict[str, Callable[..., dict[str, Any] | None]] = {
    "drawing": drawing.part,
    "cards": cards.part,
    "kept": saved.part,
    "loss_paths": loss_paths.part,
    "proof": proof.part,
    "walks": walks.part,
    "heads": heads.part,
    "memory": memory_parts.part,
    "bugs": planted.part,
    "optimizer": optimizer.part,
}
