"""no_grad and enable_grad: nesting, decorators, generators, threads and tasks."""

import asyncio
import threading

import pytest
from leaves import leaf

from autograd import enable_grad, is_grad_enabled, no_grad


def test_nesting_and_exceptions_restore():
    with no_grad():
        with enable_grad():
            assert is_grad_enabled()
        assert not is_grad_enabled()
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_one_instance_can_be_entered_again():
    mode = no_grad()
    with mode, mode:
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_as_a_decorator():
    @no_grad()
    def f(x):
        """Doc."""
        return x, is_grad_enabled()

    assert f(3) == (3, False) and f.__doc__ == "Doc."
    assert is_grad_enabled()


def test_a_decorated_generator_holds_the_mode_only_while_it_runs():
    seen = []

    @no_grad()
    def numbers():
        try:
            for i in range(3):
                seen.append(is_grad_enabled())
                sent = yield i
                seen.append(sent)
        finally:
            seen.append(is_grad_enabled())
        return "end"

    generator = numbers()
    assert next(generator) == 0 and is_grad_enabled()
    assert generator.send("a") == 1 and is_grad_enabled()
    generator.close()
    assert seen == [False, "a", False, False] and is_grad_enabled()

    def outer():
        return (yield from numbers())

    walk = outer()
    assert list(walk) == [0, 1, 2]


def test_a_decorated_generator_can_be_thrown_into():
    @no_grad()
    def patient():
        while True:
            try:
                yield is_grad_enabled()
            except ValueError:
                yield "caught"

    generator = patient()
    assert next(generator) is False
    assert generator.throw(ValueError()) == "caught"
    with pytest.raises(KeyError):
        generator.throw(KeyError())
    assert is_grad_enabled()


def test_a_plain_with_around_a_yield_leaks_to_the_consumer():
    # Documented: the block is left only when the generator goes on, so the consumer is inside it.
    def leaky():
        with no_grad():
            yield 1

    generator = leaky()
    next(generator)
    assert not is_grad_enabled()
    list(generator)
    assert is_grad_enabled()


def test_a_new_thread_starts_with_recording_on():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
        assert not is_grad_enabled()
    assert seen == [True]


def test_tasks_do_not_disturb_each_other():
    async def off(started, go):
        with no_grad():
            started.set()
            await go.wait()
            return is_grad_enabled()

    @no_grad()
    async def decorated():
        await asyncio.sleep(0)
        return is_grad_enabled()

    async def main():
        started, go = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(off(started, go))
        await started.wait()
        here = is_grad_enabled()
        go.set()
        return here, await task, await decorated(), is_grad_enabled()

    assert asyncio.run(main()) == (True, False, False, True)


def test_an_async_generator_is_refused():
    async def stream():
        yield 1

    with pytest.raises(TypeError, match="asynchronous generator"):
        no_grad()(stream)


def test_recording_is_off_only_inside_no_grad():
    x = leaf(3)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad
