"""Whether operations are recorded: ``no_grad`` and ``enable_grad``.

The switch is a ``ContextVar``, not a global: each thread and each asyncio task has its own, so a
``no_grad`` in one never turns off the recording of another. A new thread starts with recording on.

If a generator function is decorated, the mode applies while the generator's own code runs and is
restored at every ``yield``. A plain ``with no_grad():`` around a ``yield`` cannot do that: the
consumer's code runs inside the block, and so in the block's mode.
"""

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Self, TypeVar

_enabled: ContextVar[bool] = ContextVar("autograd_enabled", default=True)

is_grad_enabled = _enabled.get

Function = TypeVar("Function", bound=Callable[..., Any])


class _GradMode:
    """Context manager and decorator that sets the recording switch to ``mode``."""

    mode: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_enabled.set(self.mode))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _enabled.reset(self._tokens.pop())

    def __call__(self, function: Function) -> Function:
        return decorated(type(self), type(self).__name__, function)


def decorated(mode, name, function):
    """``function``, running in ``mode()``, a context manager that the user calls ``name``."""
    if inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name} cannot decorate the asynchronous generator "
            f"{function.__qualname__}: use `with {name}():` inside it"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args, **kwargs):
            with mode():
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args, **kwargs):
            return (yield from _steps(mode, function(*args, **kwargs)))

        return generator

    @functools.wraps(function)
    def call(*args, **kwargs):
        with mode():
            return function(*args, **kwargs)

    return call


def _steps(mode, generator):
    """Drive ``generator``, entering ``mode()`` anew for each of its steps."""
    resume, argument = generator.send, None
    try:
        while True:
            try:
                with mode():
                    item = resume(argument)
            except StopIteration as stop:
                return stop.value
            try:
                resume, argument = generator.send, (yield item)
            except GeneratorExit:
                raise
            except BaseException as error:
                resume, argument = generator.throw, error
    finally:
        with mode():
            generator.close()


class no_grad(_GradMode):  # noqa: N801 (PyTorch's name)
    """Within this context, or in the decorated function, operations are not recorded."""

    mode = False


class enable_grad(_GradMode):  # noqa: N801
    """Within this context, or in the decorated function, operations are recorded again."""

    mode = True
