"""The one place where synchronous workers enter an event loop."""

import asyncio
import inspect
import os
import threading
from typing import Any


class _Loops(threading.local):
    """One runner per thread, made anew in a forked child."""

    runner: asyncio.Runner | None = None
    owner: int = 0


_loops = _Loops()


def settle_awaitable(value: Any) -> Any:
    """Return a value, after running it on this thread's event loop if it is a coroutine."""
    if not inspect.iscoroutine(value):
        return value
    if _loops.runner is None or _loops.owner != os.getpid():
        _loops.runner, _loops.owner = asyncio.Runner(), os.getpid()
    return _loops.runner.run(value)
