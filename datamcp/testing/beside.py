"""Acting where an event loop may be running already."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from datamcp.tasks import loop

T = TypeVar("T")


def beside_loop(act: Callable[[], T]) -> T:
    """Act here; or, where an event loop runs, on a thread of its own, as capabilities need a loop.

    The loop that runs here waits meanwhile.
    """
    __tracebackhide__ = True
    if not _loop_runs():
        return act()
    with ThreadPoolExecutor(1, "datamcp-beside") as thread:
        return thread.submit(copy_context().run, closing_loop, act).result()


def closing_loop(act: Callable[[], T]) -> T:
    """Act, and close the event loop on which this thread's coroutines ran."""
    __tracebackhide__ = True
    try:
        return act()
    finally:
        loop.close()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
