"""Celery's pool of greenlets, in which a task is told that its time is up, and never cut off.

Celery's own throws an exception into the task wherever it is: in the middle of a statement, too.
Here deadlines are kept as in a pool of threads.
"""

from typing import Any

from celery.concurrency import ALIASES
from celery.concurrency.gevent import TaskPool

from datamcp.infra.green import POOL


def install() -> None:
    """Make this the pool that Celery calls `gevent`, in this process."""
    ALIASES[POOL] = f"{__name__}:CooperativeTaskPool"


class CooperativeTaskPool(TaskPool):  # type: ignore[misc]
    """Leaves deadlines to whoever keeps the leases."""

    def on_apply(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """Run a task in a greenlet."""
        return super().on_apply(*args, **kwargs)
