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
