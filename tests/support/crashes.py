"""The end of a process at any of its steps, as far as its own code is concerned."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from datamcp.tasks.publish import BrokerPublisher


class Crash(BaseException):
    """The end of a process."""


@contextmanager
def crashing_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """End the process at a step: before a statement or a commit, or after it has sent something.

    What is after a statement is before the next one. Yields what tells how many steps there were.
    """
    count = 0

    def tick(*_: Any, **__: Any) -> None:
        nonlocal count
        count += 1
        if count - 1 == step:
            raise Crash

    publish = BrokerPublisher.publish

    def ticking(*args: Any) -> None:
        publish(*args)
        tick()

    names = ("before_cursor_execute", "commit")
    for name in names:
        event.listen(Engine, name, tick)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(BrokerPublisher, "publish", ticking)
            yield lambda: count
    finally:
        for name in names:
            event.remove(Engine, name, tick)
