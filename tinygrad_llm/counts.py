"""The check of options that count something."""

from tinygrad_llm.errors import UserError

LARGEST = 2**31 - 1
"""The largest count of anything: more is a typing error and would not fit into memory."""


def check_count(name: str, value: int, low: int = 1) -> None:
    """Raise UserError for a count below ``low`` or above LARGEST; ``name`` is the option's."""
    if not low <= value <= LARGEST:
        at_least = f"at least {low}" if value < low else f"at most {LARGEST}"
        raise UserError(f"{name} is {value}, but must be {at_least}")
