"""Let plain Celery calls of capabilities reach one runtime, for a while."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from datamcp.bootstrap.runtime import Runtime

R = TypeVar("R", bound=Runtime)

_ABSENT = object()


@contextmanager
def using(runtime: R) -> Iterator[R]:
    """Make a runtime's app `datamcp.celery` in the block, so that `Agent.capability.delay()` uses it.

    It holds for all threads. Whoever has taken `datamcp.celery` before keeps what it was.
    """
    package = vars(sys.modules["datamcp"])
    before = package.get("celery", _ABSENT)
    package["celery"] = runtime.app
    try:
        yield runtime
    finally:
        if before is _ABSENT:
            package.pop("celery", None)
        else:
            package["celery"] = before
