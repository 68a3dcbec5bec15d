"""Plain text for what the tools print: tables, sizes, places in the source, summaries of arrays."""

import linecache
import math
import os
from dataclasses import dataclass

from autograd._tensor import Tensor
from autograd.accumulate import Scatter
from autograd.call_site import find_line
from autograd.device import namespace


@dataclass(frozen=True)
class Place:
    """A call in the user's code; ``file`` is relative if it lies below the current folder.

    ``line`` is where the call begins; ``source`` is the text of its lines, joined.
    """

    file: str
    line: int
    source: str

    def __str__(self):
        return f"{self.file}:{self.line}"

    @property
    def short(self):
        """The file and its folder, for tables."""
        return "/".join(self.file.replace(os.sep, "/").split("/")[-2:]) + f":{self.line}"


def place_of(node):
    """The call that made a node, or None for a tensor that was not computed."""
    return place_at(node.site) if hasattr(node, "site") else None


def place_at(site):
    """The Place of a site: a code object and the offset of an instruction."""
    file, line, last = find_line(site)
    source = " ".join(linecache.getline(file, n).strip() for n in range(line, last + 1))
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return Place(file if relative.startswith("..") else relative, line, source)


def raw(gradient):
    """An array, Tensor, Scatter or number as a raw array."""
    if isinstance(gradient, Tensor):
        return gradient.data
    if isinstance(gradient, Scatter):
        return gradient.densify()
    return namespace(gradient).asarray(gradient)


@dataclass(frozen=True)
class Summary:
    """An array in numbers: the range and moments are those of its finite elements."""

    shape: tuple[int, ...]
    dtype: str
    nans: int
    infinities: int
    low: float
    high: float
    mean: float
    std: float

    def __str__(self):
        text = f"shape {self.shape} {self.dtype}"
        if not math.isnan(self.low):
            text += f" in [{self.low:.4g}, {self.high:.4g}]"
        if self.nans:
            text += f", {self.nans} NaN"
        if self.infinities:
            text += f", {self.infinities} infinite"
        return text


def summarize(array):
    """The Summary of an array, a Tensor or a number; an integer array has no NaN."""
    array = raw(array)
    xp = namespace(array)
    if array.dtype.kind == "f":
        nans = int(xp.sum(xp.isnan(array)))
        infinities = int(xp.sum(xp.isinf(array)))
        finite = array[xp.isfinite(array)] if nans or infinities else array
    else:
        nans, infinities, finite = 0, 0, array
    low = high = mean = std = math.nan
    if finite.size:
        low, high = float(xp.min(finite)), float(xp.max(finite))
        finite = finite.astype("float64")
        mean, std = float(xp.mean(finite)), float(xp.std(finite))
    return Summary(tuple(array.shape), str(array.dtype), nans, infinities, low, high, mean, std)


def shortened(text, length=80):
    """A text cut to a length."""
    return text if len(text) <= length else text[: length - 3] + "..."


def bytes_text(n):
    """1536 -> "1.5 KiB"."""
    if abs(n) < 1024:
        return f"{n:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        n /= 1024
        if abs(n) < 1024 or unit == "GiB":
            break
    return f"{n:.1f} {unit}"


def count_text(n):
    """12345 -> "12.3 k"."""
    for unit in ("", " k", " M", " G"):
        if abs(n) < 1000:
            return f"{n:.3g}{unit}"
        n /= 1000
    return f"{n:.3g} T"


def table(headers, rows):
    """Lines of aligned columns; a header that starts with ">" aligns its column to the right.

    There are two spaces between columns, or one if two would make a line longer than 80.
    """
    right = [h.startswith(">") for h in headers]
    cells = [[h.lstrip(">") for h in headers], *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    between = "  " if sum(widths) + 2 * (len(widths) - 1) <= 80 else " "
    lines = [
        between.join(
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
