"""Greenlets in place of threads: what a process needs whose libraries gevent has patched.

gevent makes the sockets, locks and threads of Python give way to other greenlets. The driver of
PostgreSQL is C and does not; it can be told how to wait. That of SQLite can't: see `refusal`.
"""

import sys
from collections.abc import Sequence
from typing import Any

POOL = "gevent"

_CONNECTING = 20  # the driver's number; it has no name for it in Python
CONNECT_TIMEOUT = 5.0  # seconds; the driver's own holds only where it waits by itself


def is_green() -> bool:
    """Tell whether gevent has patched this process, so that greenlets stand for threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def refusal(*, dialect: str, coroutines: Sequence[str]) -> str | None:
    """Return why a worker can't run its tasks in greenlets, and what to do; None if it can. Pure.

    `coroutines` names the task types that run on an event loop.
    """
    if dialect == "sqlite":
        return (
            "the pool gevent needs PostgreSQL: where SQLite waits for one greenlet to write, all "
            "others stand still, that one too. Use the pool threads or prefork"
        )
    if coroutines:
        shown = ", ".join(coroutines[:3]) + (", …" if len(coroutines) > 3 else "")
        return (
            f"the pool gevent can't run what is `async` ({shown}): one event loop would stand in "
            "the way of the next. Use the pool threads or prefork"
        )
    return None


def install() -> None:
    """Let PostgreSQL's driver give way to other greenlets while it waits for the server."""
    from psycopg2 import extensions

    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    from gevent.socket import wait_read, wait_write
    from psycopg2 import OperationalError, extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        is_new = connection.status == _CONNECTING
        limit = CONNECT_TIMEOUT if is_new else None
        slow = OperationalError("the server did not answer in time") if is_new else None
        match state:
            case extensions.POLL_READ:
                wait_read(connection.fileno(), limit, slow)
            case extensions.POLL_WRITE:
                wait_write(connection.fileno(), limit, slow)
            case _:
                raise OperationalError(f"the driver is in an unknown state, {state}")
