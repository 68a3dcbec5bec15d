"""The types that the annotations of public functions name.

Annotations are evaluated when a module is imported, so they name only what is loaded anyway:
``"np.random.Generator"`` is written as text, because numpy.random takes 10 ms to import.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
else:
    DTypeLike = Any  # numpy.typing is for type checkers, and takes time to import


class SupportsArray(Protocol):
    """What NumPy makes an array of: np.float32(1), a pandas column, another library's tensor."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


Array: TypeAlias = Any
"""A raw array: NumPy's, CuPy's, or that of another registered library."""

ArrayLike: TypeAlias = (
    np.ndarray | np.generic | float | list[Any] | tuple[Any, ...] | range | SupportsArray
)
"""A constant: an array, or something of which NumPy can make one."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""One axis, several, or None for all."""

Integers: TypeAlias = int | Sequence[int]
"""A shape, or something for each axis: one integer or several."""
