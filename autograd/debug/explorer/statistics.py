"""What is said of a tensor that is too large to be shown whole: a grid of it, and exact numbers."""

import math
from typing import Any

import numpy as np

BINS = 24


def sampled(array: Any, largest: int) -> tuple[np.ndarray, list[np.ndarray] | None]:
    """(a grid of the array, the indices of each axis): the whole array and None if it is small.

    The longest axes are thinned out first, evenly and with both ends.
    """
    array = np.asarray(array)
    if array.size <= largest:
        return array, None
    lengths = list(array.shape)
    while math.prod(lengths) > largest:
        longest = int(np.argmax(lengths))
        lengths[longest] = max(1, min(lengths[longest] - 1, lengths[longest] * 3 // 4))
    axes = [
        np.unique(np.linspace(0, n - 1, kept).round().astype(int))
        for n, kept in zip(array.shape, lengths, strict=True)
    ]
    return array[np.ix_(*axes)], axes


def statistics(array: Any) -> dict[str, Any]:
    """Range, moments, norm, zeros and a histogram of all elements; NaN and infinities apart."""
    values = np.asarray(array).reshape(-1)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    nans, infinities = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    finite = values[np.isfinite(values)].astype(np.float64)
    found: dict[str, Any] = {
        "size": int(values.size), "nans": nans, "infinities": infinities,
        "zeros": int((finite == 0).sum()),
    }  # fmt: skip
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        counts, _ = np.histogram(finite, BINS, (low, high) if low < high else (low - 1, high + 1))
        found |= {
            "min": low, "max": high, "mean": float(finite.mean()), "std": float(finite.std()),
            "norm": float(np.sqrt(np.sum(finite * finite))),
            "histogram": [int(n) for n in counts],
        }  # fmt: skip
    return found
