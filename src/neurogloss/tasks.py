"""Coroutines side by side, and from code that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def together(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all, in order. The first error is raised, and the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """A loop that costs a request less, where it can be had."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


def wait(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What `work` gives.

    Where an event loop runs already, as in a notebook, the work gets a loop and a thread of its own. That holds
    the running loop up; code inside it that can await should.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            return runner.run(work())
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        found: Result = portal.call(work)
    return found
