"""no_grad applies only to the asyncio task that entered it; a new task inherits the mode."""

import asyncio

import numpy as np

from autograd import Parameter, enable_grad, is_grad_enabled, no_grad

x = Parameter(np.ones(3))


@no_grad()
async def decorated(n):
    for _ in range(n):
        assert not (x * 2.0).requires_grad
        await asyncio.sleep(0)


async def inside(n):
    for _ in range(n):
        with no_grad():
            await asyncio.sleep(0)
            assert not (x * 2.0).requires_grad
            with enable_grad():
                await asyncio.sleep(0)
                assert (x * 2.0).requires_grad


async def outside(n):
    for _ in range(n):
        assert (x * 2.0).requires_grad
        await asyncio.sleep(0)


async def generator():
    @no_grad()
    def numbers():
        yield from (is_grad_enabled() for _ in range(3))

    for enabled in numbers():
        assert not enabled and is_grad_enabled()
        await asyncio.sleep(0)


async def main():
    with no_grad():  # a task, and a thread of asyncio's, inherit the mode of their creator
        child = asyncio.create_task(asyncio.to_thread(is_grad_enabled))
    assert not await child
    await asyncio.gather(decorated(50), inside(50), outside(50), generator(), outside(50))
    assert is_grad_enabled()


asyncio.run(main())
print("done")
