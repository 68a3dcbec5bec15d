"""Tools with which a gradient explains itself.

    record_gradients     the ledger: every contribution to a gradient, and the line it came from
    detect_anomaly       stops at the first NaN or infinity, in forward or backward
    detect_changes       what was written into between forward and backward
    register_op_hook     a function that sees what ops compute (for tensors: Tensor.register_hook)
    keep_outputs         tensors inside a model, whose gradients can then be asked for
    profile              time, memory and arithmetic per op and per line
    draw_graph           the graph as Mermaid, DOT or a page to click through
    record_graph         the same, with the values and gradients that passed

All of them watch the engine from one point, ``autograd/observe.py``, and see only the thread or
task that they were started in. See docs/debugging.md.
"""

from autograd.debug.anomaly import AnomalyError, detect_anomaly
from autograd.debug.changes import ChangedError, detect_changes
from autograd.debug.graph import Graph, draw_graph, record_graph
from autograd.debug.ledger import Ledger, LedgerError, record_gradients
from autograd.debug.op_hooks import keep_outputs, register_op_hook
from autograd.debug.profiler import profile

__all__ = [
    "AnomalyError",
    "ChangedError",
    "Graph",
    "Ledger",
    "LedgerError",
    "detect_anomaly",
    "detect_changes",
    "draw_graph",
    "keep_outputs",
    "profile",
    "record_gradients",
    "record_graph",
    "register_op_hook",
]
