"""The gradient ledger: where each part of a gradient came from.

The gradient of a tensor is a sum with one term for each time the tensor was used:

    dL/dx = sum over the ops that used x of (dL/d output) (d output/dx)

``backward`` shows only the sum. The ledger keeps the terms: which op handed each one back, which
line of code called that op, how large the term is, and how far it agrees in direction with the
sum. It also checks that the terms add up to what the engine hands on.
"""

import math
from dataclasses import dataclass
from typing import Any

from autograd import backward
from autograd._notebook import table_html
from autograd._tensor import Tensor
from autograd.call_site import describe
from autograd.debug.format import Place, place_of, raw, shortened, table
from autograd.device import namespace
from autograd.observe import Observer


class LedgerError(RuntimeError):
    """The contributions to a gradient do not add up to it."""


@dataclass(frozen=True)
class Contribution:
    """One term of a gradient: what one use of the tensor handed back.

    ``op`` and ``input`` name the use ("backward()" is the start of the pass), ``place`` the line
    that called it. ``share`` is the part of the total that lies along this term, <term, total> /
    |total|^2: the shares of a gradient sum to 1. ``gradient`` is None unless arrays are kept.
    """

    op: str
    input: int | None
    place: Place | None
    shape: tuple[int, ...]
    norm: float
    cosine: float
    share: float
    gradient: Any = None


HEADERS = ["used by", ">norm", ">cosine", ">share", "shape", "called at"]


@dataclass(frozen=True)
class Explanation:
    """All contributions to one gradient; ``print`` shows them as a table."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float
    contributions: tuple[Contribution, ...]
    hooked: bool = False

    def _title(self) -> str:
        n = len(self.contributions)
        return (
            f"gradient of {self.name}, shape {self.shape} {self.dtype}, norm {self.norm:.4g}: "
            f"the sum of {n} contribution{'s' if n != 1 else ''}"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the table, with the user's lines in a column."""
        sources = (c.place.source if c.place is not None else "" for c in self.contributions)
        rows = [[*self._row(c), s] for c, s in zip(self.contributions, sources, strict=True)]
        return table_html(self._title(), [*HEADERS, "line"], rows)

    def __str__(self) -> str:
        head, rule, *rows = table(HEADERS, [self._row(c) for c in self.contributions]).splitlines()
        lines = [self._title(), head, rule]
        for row, c in zip(rows, self.contributions, strict=True):
            lines.append(row)
            if c.place is not None and c.place.source:
                lines.append("    " + shortened(c.place.source))
        if self.hooked:
            lines.append("hooks of this tensor saw, and may have replaced, the sum afterwards")
        if not math.isfinite(self.norm):
            lines.append("it is not finite: detect_anomaly finds the op where that began")
        return "\n".join(lines)

    @staticmethod
    def _row(c):
        use = c.op if c.input is None else f"{c.op}, input {c.input}"
        place = "" if c.place is None else c.place.short
        norm = f"{c.norm:.4g}"
        return [use, norm, _ratio(c.cosine, "+.3f"), _ratio(c.share, ".1%"), c.shape, place]


def _ratio(x, form):
    return "-" if math.isnan(x) else format(x, form)


class Ledger(Observer):
    """Every contribution to every gradient of one backward pass; see ``record_gradients``."""

    needs_every_contribution = True

    def __init__(self, keep_arrays: bool = False) -> None:
        self._keep = keep_arrays
        self._open: dict[int, list] = {}
        self._closed: dict[int, dict] = {}

    def on_contribution(self, op, i, node, gradient):
        self._open.setdefault(node.order, []).append((op, i, raw(gradient)))

    def on_gradient(self, node, gradient):
        """Close the account of one tensor: its terms are known, and so is their sum."""
        parts, total = self._open.pop(node.order), raw(gradient)
        xp = namespace(total)
        wide = "float64"
        total64 = total.astype(wide)
        norm = float(xp.sqrt(xp.sum(total64 * total64)))
        rows, added, size = [], xp.zeros(total.shape, dtype=wide), 0.0
        for op, i, part in parts:
            part64 = part.astype(wide)
            added = added + part64
            length = float(xp.sqrt(xp.sum(part64 * part64)))
            size += length
            along = float(xp.sum(part64 * total64))
            rows.append(
                Contribution(
                    op="backward()" if op is None else type(op).__name__,
                    input=i,
                    place=None if op is None else place_of(op),
                    shape=tuple(part.shape),
                    norm=length,
                    cosine=along / (length * norm) if length * norm > 0 else math.nan,
                    share=along / norm**2 if norm > 0 else math.nan,
                    gradient=xp.array(part) if self._keep else None,
                )
            )
        missing = float(xp.sqrt(xp.sum((added - total64) ** 2)))
        allowed = len(parts) * float(xp.finfo(total.dtype).eps) * size
        if missing > allowed:  # False where a NaN is among them: nothing can be said then
            what = describe(node) if hasattr(node, "site") else "a leaf tensor"
            raise LedgerError(
                f"the {len(parts)} contributions to the gradient of {what}, shape {node.shape}, do "
                f"not add up to it: they miss it by {missing:.3g}, where rounding explains "
                f"{allowed:.3g}. The engine lost or added a term"
            )
        self._closed[node.order] = {
            "shape": tuple(total.shape),
            "dtype": str(total.dtype),
            "norm": norm,
            "contributions": tuple(rows),
            "hooked": bool(node.hooks),
        }

    def explain(self, tensor: Tensor, name: str | None = None) -> Explanation:
        """The Explanation of one tensor's gradient: of a parameter or of any computed tensor.

        ``name`` is what the table calls it. Raises ValueError when the tensor requires no
        gradient, or when none reached it in the recorded pass.
        """
        node = tensor._node
        if node is None:
            raise ValueError(
                f"this tensor, of shape {tensor.shape}, requires no gradient: there is none to "
                "explain"
            )
        if node.order not in self._closed:
            raise ValueError(
                f"no gradient reached this tensor, of shape {tensor.shape}, in the recorded pass: "
                "the loss does not depend on it"
            )
        if name is None:
            name = f"the output of {describe(node)}" if hasattr(node, "site") else "a leaf tensor"
        return Explanation(name=name, **self._closed[node.order])

    def __len__(self) -> int:
        return len(self._closed)


def record_gradients(
    loss: Tensor, gradient: Any = None, retain_graph: bool = False, keep_arrays: bool = False
) -> Ledger:
    """Run ``loss.backward(gradient)`` and return the Ledger of what it added up.

    Gradients land in ``.grad`` as always. The ledger holds norms and directions; with
    ``keep_arrays`` also a copy of every contribution, as much memory as all gradients of the pass
    together. Raises LedgerError when the contributions to some tensor do not sum to its gradient.
    """
    ledger = Ledger(keep_arrays)
    with ledger:
        backward.backward([loss], [gradient], retain_graph)
    return ledger
