"""The one place where tools watch the engine: the gradient ledger, the profiler and others.

An observer is notified of every call of an op and of every step of a backward pass. The observers
are a tuple in a ``ContextVar``. Each thread and asyncio task has its own, which is empty at first:
the engine checks it once per op, and what another thread computes is not observed.
"""

from contextvars import ContextVar
from typing import Any

_observers: ContextVar[tuple["Observer", ...]] = ContextVar("autograd_observers", default=())

current_observers = _observers.get


def notify(observers, event, *details):
    """Notify each observer of an event, one of the methods of Observer."""
    for observer in observers:
        getattr(observer, event)(*details)


class Observer:
    """Base class of the tools: an event does nothing unless a subclass overrides it.

    As a context manager it observes what runs inside, in this thread or task. ``node`` is an Op
    or, for a tensor that was not computed, a Leaf. An exception raised by an event passes through
    to the caller of the op or of backward.
    """

    needs_every_contribution = False
    """``on_contribution`` must see each one alone: nothing is added up in place before it."""

    def __init_subclass__(cls):
        if "separate" in vars(cls):  # its earlier name
            cls.needs_every_contribution = cls.separate

    def start(self):
        """Start observing what runs in this context."""
        _observers.set((*_observers.get(), self))

    def stop(self):
        """Stop observing. A second call, or one in another context, has no effect there."""
        _observers.set(tuple([o for o in _observers.get() if o is not self]))

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def before_forward(self, op, args):
        """``op`` is about to compute from ``args``: Tensors, arrays and numbers."""

    def after_forward(self, op, args, output):
        """``op`` has computed ``output``; ``output._node is op`` if it was recorded."""

    def after_saving(self, op):
        """``op`` keeps more than it did when it was called: a recomputed segment."""

    def on_contribution(self, op, i, node, gradient):
        """``op`` contributes ``gradient`` (an array or a Scatter) to ``node``, its input number i.

        ``op`` and ``i`` are None for the gradient that the pass starts from. Under
        ``create_graph`` gradients are Tensors.
        """

    def on_gradient(self, node, gradient):
        """Every contribution to ``node`` has arrived; hooks, then its backward, come next."""

    def after_backward(self, op, released):
        """The backward of ``op`` has run; if ``released``, its saved values are freed next."""
