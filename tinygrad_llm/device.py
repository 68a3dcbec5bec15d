"""Where a model computes: the devices of ``autograd.device``, with errors for the user."""

from autograd.device import DeviceError, Namespace, namespace_on
from tinygrad_llm.errors import UserError


def arrays_on(device: str) -> Namespace:
    """The array library of "cpu" or "cuda".

    Raises UserError, which says what is missing and how to get it, if this machine has no such
    device. Call it before any work that would be lost.
    """
    try:
        return namespace_on(device)
    except DeviceError as error:
        raise UserError(str(error)) from None


def check_bf16(device: str) -> None:
    """Raise UserError for a GPU that has no bf16: one of compute capability below 8.0."""
    if device != "cuda":
        return
    capability = int(arrays_on(device).cuda.Device().compute_capability)
    if capability < 80:
        raise UserError(
            f"this GPU has compute capability {capability / 10}, and bf16 products need 8.0 or "
            "more: leave out --precision bf16, or compute on the device cpu"
        )
