"""Threads beside a process that forks: what they do with drivers must not be cut by a fork.

What a driver does holds locks that nobody would release in a child forked meanwhile: SQLite's and
the resolver's are the process's own. So a fork waits until no such thread is `at_work`, if only for
so long: a driver that takes longer waits for its server, and holds none.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

_PATIENCE = 1.0  # seconds that a fork waits

_changed = Condition()
_working = 0
_forking = False


@contextmanager
def at_work() -> Iterator[None]:
    """Hold up forks of this process during the block, for a moment; wait for one that began."""
    global _working  # noqa: PLW0603  between the hooks of one process
    with _changed:
        _changed.wait_for(lambda: not _forking)
        _working += 1
    try:
        yield
    finally:
        with _changed:
            _working -= 1
            _changed.notify_all()


def _before_fork() -> None:
    global _forking  # noqa: PLW0603
    _changed.acquire()
    _forking = True
    _changed.wait_for(lambda: not _working, _PATIENCE)


def _after_fork_in_parent() -> None:
    global _forking  # noqa: PLW0603
    _forking = False
    _changed.notify_all()
    _changed.release()


def _after_fork_in_child() -> None:
    global _changed, _working, _forking
    _changed, _working, _forking = Condition(), 0, False


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
