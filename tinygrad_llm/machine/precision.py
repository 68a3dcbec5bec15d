"""What ``--precision`` and ``--activations`` mean for a run, and whether bf16 is fast here.

In bf16 the products of the model's layers have operands rounded to bf16 and sums in float32. Three
things stay float32 whatever is chosen: the weights and what the optimizer keeps of them, everything
that is not a product (norms, softmax, the loss), and text that the model writes, such as samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from autograd import matmul_precision, save_activations
from autograd.kernels import product
from tinygrad_llm.device import check_bf16
from tinygrad_llm.errors import UserError
from tinygrad_llm.precision_options import PrecisionOptions


class Precise(Protocol):
    """Options that say how exactly to compute, as ``PrecisionOptions``."""

    @property
    def precision(self) -> str: ...
    @property
    def activations(self) -> str: ...


FLOAT32 = PrecisionOptions()


class Says(Protocol):
    """Where a sentence is shown."""

    def say(self, text: str) -> None: ...


@contextmanager
def computing_in(options: Precise) -> Iterator[None]:
    """Within this, operations compute, and keep what backward needs, as the options say."""
    with matmul_precision(options.precision), save_activations(options.activations):
        yield


def check_precision(
    console: Says, options: PrecisionOptions, device: str = "cpu", run_file: Path | None = None
) -> None:
    """Say so if this machine has no fast bf16 products.

    ``run_file`` is the run.json that the options are from, if a run is continued. Raises UserError
    with ``require_fast``, and for a GPU without bf16.
    """
    if options.precision == "float32":
        return
    check_bf16(device)
    if (reason := why_slow(device)) is None:
        return
    sentence = (
        "bf16 products are computed in float32 with rounded operands, which is slower than "
        f"--precision float32, because {reason}"
    )
    if options.require_fast:
        advice = "leave out --require-fast, or choose --precision float32"
        if run_file is not None:
            advice = f"go on where they are fast, or set require_fast to false in {run_file}"
        raise UserError(f"{sentence}: {advice}")
    console.say(f"note: {sentence}")


def why_slow(device: str = "cpu") -> str | None:
    """Why there are no fast bf16 products here, as the second half of a sentence, or None."""
    if device != "cpu":
        return "there is no kernel of them for GPUs"
    return product.why_not()
