"""The one place where synchronous workers enter an event loop."""

import asyncio
import inspect
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any


class _Loops(threading.local):
    """One runner per thread, made anew in a forked child."""

    runner: asyncio.Runner | None = None
    owner: int = 0


_loops = _Loops()


def settle_awaitable(value: Any) -> Any:
    """Return a value, after running it on this thread's event loop if it is a coroutine.

    A coroutine that is interrupted from outside, by a time limit, is cancelled and ends before
    this raises: it does not go on beside the next one.
    """
    return _run(_runner(), value) if inspect.iscoroutine(value) else value


def close() -> None:
    """Close this thread's event loop; the next coroutine gets a new one."""
    runner, _loops.runner = _loops.runner, None
    if runner is not None and _loops.owner == os.getpid():
        runner.close()


def _runner() -> asyncio.Runner:
    if _loops.runner is None or _loops.owner != os.getpid():
        _loops.runner, _loops.owner = asyncio.Runner(), os.getpid()
    return _loops.runner


def _run(runner: asyncio.Runner, coroutine: Coroutine[Any, Any, Any]) -> Any:
    started: list[asyncio.Task[Any]] = []

    async def start() -> Any:
        started.extend(task for task in (asyncio.current_task(),) if task)
        return await coroutine

    try:
        # The runner's own choice would be the context of its first coroutine.
        return runner.run(start(), context=copy_context())
    except BaseException:
        for task in started:
            _end(runner, task)
        raise


def _end(runner: asyncio.Runner, task: "asyncio.Task[Any]") -> None:
    if task.done():
        return
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        runner.get_loop().run_until_complete(task)
