"""Let plain Celery calls reach one runtime, for a while."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from celery import _state

from datamcp.bootstrap.runtime import Runtime
from datamcp.tasks.celery_app import LedgerCelery

R = TypeVar("R", bound=Runtime)

_ABSENT = object()


@contextmanager
def using(runtime: R) -> Iterator[R]:
    """Let calls of capabilities and of `shared_task` functions go through a runtime's app.

    In the block it is `datamcp.celery`, and Celery's current and default app, for all threads that
    have no current one of their own. Whoever has taken `datamcp.celery` before keeps what it was;
    tasks of an app of a project's own go through that app, as ever.
    """
    package = vars(sys.modules["datamcp"])
    before = package.get("celery", _ABSENT)
    package["celery"] = runtime.app
    try:
        with _current(runtime.app):
            yield runtime
    finally:
        if before is _ABSENT:
            package.pop("celery", None)
        else:
            package["celery"] = before


@contextmanager
def _current(app: LedgerCelery) -> Iterator[None]:
    default, current = _state.default_app, _state._tls.current_app  # noqa: SLF001  no other way
    app.set_default()
    app.set_current()
    try:
        yield
    finally:
        _state.set_default_app(default)
        _state._tls.current_app = current  # noqa: SLF001  as above
