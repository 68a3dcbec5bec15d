"""Tools with which a gradient explains itself.

    record_gradients     the ledger: every contribution to a gradient, and the line it came from
    detect_anomaly       stops at the first NaN or infinity, in forward or backward
    detect_changes       what was written into between forward and backward
    register_op_hook     a function that sees what ops compute (for tensors: Tensor.register_hook)
    keep_outputs         tensors inside a model, whose gradients can then be asked for
    profile              time, memory and arithmetic per op and per line
    draw_graph           the graph as text: Mermaid or DOT
    explore              a page that steps through forward and backward, every number explained

All of them watch the engine from one point, ``autograd/observe.py``, and see only the thread or
task that they were started in. See docs/debugging.md and docs/explorer.md.
"""

import importlib
from typing import TYPE_CHECKING

from autograd.debug.anomaly import AnomalyError, detect_anomaly
from autograd.debug.changes import ChangedError, detect_changes
from autograd.debug.graph import Graph, draw_graph
from autograd.debug.ledger import Ledger, LedgerError, record_gradients
from autograd.debug.op_hooks import keep_outputs, register_op_hook
from autograd.debug.profiler import profile

if TYPE_CHECKING:
    from autograd.debug.explorer import Explored, explore

__all__ = [
    "AnomalyError",
    "ChangedError",
    "Explored",
    "Graph",
    "Ledger",
    "LedgerError",
    "detect_anomaly",
    "detect_changes",
    "draw_graph",
    "explore",
    "keep_outputs",
    "profile",
    "record_gradients",
    "register_op_hook",
]


def __getattr__(name):
    """The explorer, which is larger than all other tools together, when it is first used."""
    if name in ("Explored", "explore"):
        return getattr(importlib.import_module("autograd.debug.explorer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
