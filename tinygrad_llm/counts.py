"""Counts: the check of options that are one, and how sentences say them."""

from tinygrad_llm.errors import UserError

LARGEST = 2**31 - 1
"""The largest count of anything: more is a typing error and would not fit into memory."""


def check_count(name: str, value: int, low: int = 1) -> None:
    """Raise UserError for a count below ``low`` or above LARGEST; ``name`` is the option's."""
    if not low <= value <= LARGEST:
        at_least = f"at least {low}" if value < low else f"at most {LARGEST}"
        raise UserError(f"{name} is {value}, but must be {at_least}")


def counted(n: int, thing: str) -> str:
    """A number of things for a person: 1 row, 2,000 rows."""
    return f"{n:,} {thing}" + ("" if n == 1 else "s")
